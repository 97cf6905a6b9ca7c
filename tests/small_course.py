"""A course of one small assignment in a scratch folder: instructor notebook, data, and a hidden test."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.course.assignment import ROOMS, Assignment
from autograder.course.course import VARIABLE, course_at
from autograder.course.manifest import MANIFEST
from autograder.datasets.examples import Example, Splits

SMALL_NAME, SMALL_STEM = "small-course", "small_course"
SMALL_MANIFEST = """\
data_sets = ["movie_snippets", "clause_order"]

[cells.double]
defines = ["double"]

[cells.mean]
defines = ["mean"]
"""
PUBLIC = Splits(
    train=(Example("A film that is well worth the evening.", 1), Example("Two hours that nobody gives back.", 0)),
    validation=(Example("The cast is better than the story deserves.", 1),),
)
RESERVE = (Example("Nothing in this sequel is as sharp as its poster.", 0),)
# modules of its own folder of data sets, by their names
DATA_SETS = {
    "movie_snippets": f'''"""Three public sentences, and one that is held back."""

from autograder.datasets.data_set import DataSet
from autograder.datasets.examples import Example, Splits

RESERVE = {RESERVE!r}
DATA_SET = DataSet(
    "movie_snippets",
    public=lambda: {PUBLIC!r},
    hidden=lambda seed: RESERVE,
    readme=lambda: "## movie_snippets",
    withheld=lambda: [one.text for one in RESERVE],
)
''',
    "clause_order": '''"""The clauses of the real course, none of them public."""

from dataclasses import replace

from autograder.datasets.examples import Splits
from autograder.graders.transformer_fundamentals.data_sets.clause_order import DATA_SET

DATA_SET = replace(DATA_SET, public=lambda: Splits((), ()))
''',
}
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
    """Lay the course out under `root`, with the data sets above, and make it the one that commands work on."""
    monkeypatch.setenv(VARIABLE, str(root))
    monkeypatch.setenv("COURSE_SECRET_FILE", str(root / ".course-secret"))
    graders = root / ROOMS / SMALL_STEM
    (graders / "data_sets").mkdir(parents=True)
    (graders / MANIFEST).write_text(SMALL_MANIFEST)
    (graders / "test_double.py").write_text(GRADER)
    for name, module in DATA_SETS.items():
        (graders / "data_sets" / f"{name}.py").write_text(module)
    shutil.copy(Path(__file__).parent.parent / "nbgrader_config.py", root)
    small = course_at(root).named(SMALL_NAME)
    source = small.source.parent
    for split, examples in PUBLIC._asdict().items():
        table = source / "data" / "movie_snippets" / f"{split}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("label\ttext\n" + "".join(f"{e.label}\t{e.text}\n" for e in examples))
    (source / "small_course.py").write_text(TEXT)
    return small


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
