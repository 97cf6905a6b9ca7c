"""A course of one small assignment in a scratch folder: instructor notebook, data, and a hidden test."""

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.course import assignment as assignments
from autograder.course.assignment import Assignment
from autograder.notebooks import hidden_rows
from autograder.graders.data_sets import movie_snippets
from autograder.datasets.examples import Example, Splits

SMALL = Assignment(
    "small-course", upstream={"double": (), "mean": ()}, defines={"double": ("double",), "mean": ("mean",)}
)
PUBLIC = Splits(
    train=(Example("A film that is well worth the evening.", 1), Example("Two hours that nobody gives back.", 0)),
    validation=(Example("The cast is better than the story deserves.", 1),),
)
RESERVE = (Example("Nothing in this sequel is as sharp as its poster.", 0),)
GRADER = '''"""Hidden tests of double."""


def test_doubles_large_numbers(student, reference, draw):
    """Large numbers are doubled."""
    number = int(draw.integers(10_000, 99_999, (1,))[0])
    assert student.call("double", number) == reference.call("double", number)
'''
HEADER = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

"""


def cell(body: str, grade_id: str, kind: str = "", tags: str = "", **marks: object) -> str:
    """One percent cell with nbgrader's metadata, keys in the order in which jupytext writes them."""
    given = {"grade": False, "locked": False, "schema_version": 3, "solution": False, "task": False} | marks
    pairs = sorted((given | {"grade_id": grade_id}).items())
    written = ", ".join(f'"{k}": ' + (f'"{v}"' if isinstance(v, str) else str(v).lower()) for k, v in pairs)
    return f"# %%{kind} nbgrader={{{written}}}{tags}\n{body.strip()}\n"


DOUBLE = '''
def double(number):
    """Twice the number."""
    ### BEGIN SOLUTION
    shifted_to_the_left = number << 1  # one place to the left
    return shifted_to_the_left
    ### END SOLUTION
'''
MEAN = '''
def mean(numbers):
    """The arithmetic mean."""
    # Step 1: add up, then divide.
    ### BEGIN SOLUTION
    total = 0
    for one_of_them in numbers:
        total += one_of_them
    return total / len(numbers)
    ### END SOLUTION
'''
ANSWER = "# Shifting moves every binary digit up by one place, so the value doubles. It costs one instruction."
CELLS = [
    "# %% [markdown]\n# # Small course\n#\n# Hint: what does a shift to the left do?\n",
    cell("import sys\nfrom pathlib import Path", "setup-imports", tags=' tags=["setup"]', locked=True),
    cell('ROWS = Path("data/movie_snippets/train.tsv").read_text().splitlines()', "setup-data", locked=True),
    cell(DOUBLE, "double", solution=True),
    cell("assert double(2) == 4", "double-tests", grade=True, locked=True, points=3),
    cell(MEAN, "mean", solution=True),
    cell("assert mean([1, 3]) == 2", "mean-tests", grade=True, locked=True, points=2),
    "# %% [markdown]\n# Why does it double?\n",
    cell(ANSWER, "q1-why", " [markdown]", grade=True, solution=True, points=2),
    cell("print(len(ROWS), Path.cwd(), sys.prefix)", "demo-rows", tags=' tags=["demo"]', locked=True),
]
TEXT = HEADER + "\n".join(CELLS)


def make_course(root: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    """Lay the course out under `root` and make it the one that the package works on; data sets are those above."""
    monkeypatch.setattr(assignments, "ROOT", root)
    monkeypatch.setattr(
        hidden_rows, "PUBLIC", {"movie_snippets": lambda: PUBLIC, "clause_order": lambda: Splits((), ())}
    )
    monkeypatch.setattr(movie_snippets, "parts", lambda: (*PUBLIC, RESERVE))
    monkeypatch.setenv("COURSE_SECRET_FILE", str(root / ".course-secret"))
    source = SMALL.source.parent
    for split, examples in PUBLIC._asdict().items():
        table = source / "data" / "movie_snippets" / f"{split}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("label\ttext\n" + "".join(f"{e.label}\t{e.text}\n" for e in examples))
    (source / "small_course.py").write_text(TEXT)
    SMALL.graders.mkdir(parents=True)
    (SMALL.graders / "test_double.py").write_text(GRADER)
    return SMALL


def names(folder: Path) -> list[str]:
    """What stands in a folder, hidden things included."""
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    """Every file under a folder but for hidden ones, by its relative path."""
    files = {p.relative_to(folder): p for p in folder.rglob("*") if p.is_file()}
    return {str(name): p.read_bytes() for name, p in files.items() if not any(n.startswith(".") for n in name.parts)}


def cells(path: Path) -> dict[str, NotebookNode]:
    """The cells of a notebook by id."""
    return {one.id: one for one in nbformat.read(path, as_version=4).cells}


def change_text(course: Assignment, old: str, new: str) -> None:
    """Edit the text form of the source, which is then the newer one."""
    text = course.source.with_suffix(".py")
    assert old in text.read_text()
    text.write_text(text.read_text().replace(old, new))


def silent(line: str) -> None:
    """Progress for nobody."""
