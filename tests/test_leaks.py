"""Whatever a release must not hold is found, and the place is named; a clean release passes."""

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autograder.course.assignment import Assignment
from autograder.course.course import this_course
from autograder.notebooks.build import build_release
from autograder.notebooks.leaks import Leak, ReleaseRefused, find_leaks
from tests.small_course import ANSWER, GRADER, RESERVE, SMALL_NAME, make_course, names, silent

NOTEBOOK = "small_course.ipynb"
SOLUTION_LINE = "shifted_to_the_left = number << 1  # one place to the left"
SHORT_LINES = "total = 0\nfor one_of_them in numbers:"
HIDDEN_CLAUSES = "the plot was dull . the cast was superb . the end ."
Cells = dict[str, dict[str, Any]]


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assignment:
    return make_course(tmp_path, monkeypatch)


@pytest.fixture
def release(course: Assignment) -> Path:
    build_release(course, progress=silent)
    return course.release.parent


def plant(release: Path, change: Callable[[Cells], None]) -> list[Leak]:
    """What is found after `change` was made to the released notebook, whose cells it gets by id."""
    path = release / NOTEBOOK
    notebook = json.loads(path.read_text())
    change({cell["id"]: cell for cell in notebook["cells"]} | {"notebook": notebook})
    path.write_text(json.dumps(notebook))
    return find_leaks(release, this_course().named(SMALL_NAME))


def add(release: Path, name: str, content: str | bytes) -> list[Leak]:
    path = release / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return find_leaks(release, this_course().named(SMALL_NAME))


def test_a_clean_release_has_no_leaks(course: Assignment, release: Path) -> None:
    """What nbgrader makes of a good source is let through, scaffold, hints, data and README included."""
    (release / "data" / "README.md").write_text("# Data\n\nTwice the number. The arithmetic mean.\n")
    assert find_leaks(release, course) == []


@pytest.mark.parametrize(
    "text",
    [
        "    " + SOLUTION_LINE,
        "shifted_to_the_left=number<<1",
        "shifted_to_the_left\t= number <<\n        1",
        "# " + SOLUTION_LINE,
        "> " + SOLUTION_LINE,
        "x = 0; shifted_to_the_left = number << 1; print(x)",
        "&nbsp;shifted_to_the_left = number &lt;&lt; 1",
        "shifted_to_the_left = number << 1\u200b",
    ],
)
def test_a_distinctive_line_of_a_solution_is_found(release: Path, text: str) -> None:
    """One long line of a solution is found in another cell, in any layout, quoted, commented out or escaped."""
    found = plant(release, lambda cells: cells["mean"].update(source=[text]))
    assert [leak.where for leak in found] == [f"{NOTEBOOK}, cell mean"]
    assert found[0].what.startswith("the solution of cell double: shifted_to_the_left")


@pytest.mark.parametrize(
    "text",
    [
        SHORT_LINES,
        "    total = 0  # start\n\n    for one_of_them in numbers:  # go on\n        pass",
        "# total = 0\n# for one_of_them in numbers:",
        json.dumps({"source": ["total = 0\n", "for one_of_them in numbers:\n"]}),
    ],
)
def test_two_lines_of_a_solution_in_a_row_are_found(release: Path, text: str) -> None:
    """Short lines count when two of them follow each other, with comments or blank lines between."""
    found = add(release, "notes.txt", text)
    assert [(leak.where, leak.what[:32]) for leak in found] == [("notes.txt", "the solution of cell mean: total")]


def test_single_short_lines_are_not_leaks(release: Path) -> None:
    """`total = 0` alone, or what the scaffold shows anyway, is nobody's secret."""
    assert (
        add(release, "notes.txt", 'total = 0\nprint("hello")\ndef double(number):\n    """Twice the number."""') == []
    )


def inputs(cells: Cells) -> None:
    cells["demo-rows"]["source"] += [f"\n# {SOLUTION_LINE}"]


def deep_metadata(cells: Cells) -> None:
    cells["demo-rows"]["metadata"]["editor"] = {"undo": [{"text": SOLUTION_LINE}]}


def metadata_key(cells: Cells) -> None:
    cells["demo-rows"]["metadata"][SOLUTION_LINE] = True


def attachment(cells: Cells) -> None:
    encoded = base64.b64encode(SOLUTION_LINE.encode()).decode()
    cells["demo-rows"]["attachments"] = {"hint.txt": {"text/plain": encoded}}


@pytest.mark.parametrize("change", [inputs, deep_metadata, metadata_key, attachment])
def test_a_solution_is_found_in_every_part_of_a_cell(release: Path, change: Callable[[Cells], None]) -> None:
    """Source, nested metadata, their keys and attachments are searched, and the cell is named."""
    found = plant(release, change)
    assert [leak.where for leak in found] == [f"{NOTEBOOK}, cell demo-rows"]
    assert "the solution of cell double" in found[0].what


def test_a_solution_is_found_in_an_output(release: Path) -> None:
    """An output is a leak by itself, and what it prints another."""
    output = {"output_type": "stream", "name": "stdout", "text": [SOLUTION_LINE + "\n"]}
    found = plant(release, lambda cells: cells["demo-rows"].update(outputs=[output]))
    assert {leak.where for leak in found} == {f"{NOTEBOOK}, cell demo-rows"}
    assert [leak.what[:28] for leak in found] == ["the solution of cell double:", "a stored output"]


def test_a_solution_is_found_in_the_notebooks_metadata(release: Path) -> None:
    """Metadata of the notebook is searched like that of its cells."""
    found = plant(release, lambda cells: cells["notebook"]["metadata"].update(note=SHORT_LINES))
    assert [leak.where for leak in found] == [f"{NOTEBOOK}, its metadata"]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("README.md", []),
        ("deep/er/notes.txt", []),
        ("small_course.py", ["a file of a kind that no release holds (.py)"]),
        ("graders.pyc", ["a file of a kind that no release holds (.pyc)"]),
        (".ipynb_checkpoints/notes.txt", []),
        ("figure.svg", []),
    ],
)
def test_a_solution_is_found_in_any_file(release: Path, name: str, kinds: list[str]) -> None:
    """The text twin, notes, nested folders and checkpoints are searched, whatever their type."""
    found = [leak for leak in add(release, name, f"<!-- {SOLUTION_LINE} -->") if leak.where == name]
    assert [leak.what for leak in found[:-1]] == kinds
    assert found[-1].what.startswith("the solution of cell double")


def test_model_answers_are_found(release: Path) -> None:
    """One sentence of a model answer is enough."""
    sentence = ANSWER.removeprefix("# ").split(". ")[0] + "."
    found = plant(release, lambda cells: cells["q1-why"].update(source=[f"Think: {sentence}"]))
    assert [leak.where for leak in found] == [f"{NOTEBOOK}, cell q1-why"]
    assert found[0].what.startswith("the model answer of cell q1-why")


@pytest.mark.parametrize(
    "marker", ["### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN HIDDEN TESTS", "=== END MARK SCHEME"]
)
def test_markers_are_found(release: Path, marker: str) -> None:
    """A marker that is left shows that something was not cut."""
    found = plant(release, lambda cells: cells["mean"].update(source=[marker]))
    assert [str(leak) for leak in found] == [f"{NOTEBOOK}, cell mean: a marker: {marker.strip('#= ')}"]


@pytest.mark.parametrize("text", [GRADER, GRADER.splitlines()[5], "see test_doubles_large_numbers"])
def test_hidden_tests_are_found(release: Path, text: str) -> None:
    """A copy of a grader, one line of it, and the name of a hidden test."""
    found = add(release, "notes.md", text)
    assert [leak.where for leak in found] == ["notes.md"]
    assert found[0].what.startswith("the hidden tests in test_double.py: ")


def test_hidden_rows_are_found_in_tables_and_elsewhere(release: Path) -> None:
    """A reserved sentence in a public table, in a table of its own, and quoted in a cell."""
    text = RESERVE[0].text
    table = release / "data" / "movie_snippets" / "train.tsv"
    table.write_text(table.read_text() + f"0\t{text}\n")
    add(release, "data/movie_snippets/hidden.tsv", f"label\ttext\n0\t{text}\n")
    found = plant(release, lambda cells: cells["demo-rows"].update(source=[f'predict("{text}")']))
    assert [str(leak) for leak in found] == [
        "data/movie_snippets/hidden.tsv: a split that is not public",
        "data/movie_snippets/hidden.tsv, line 2: not a public row of movie_snippets",
        "data/movie_snippets/train.tsv, line 4: not a public row of movie_snippets",
        f"{NOTEBOOK}, cell demo-rows: a hidden row of movie_snippets: {text}",
    ]


def test_a_table_holds_public_rows_and_nothing_else(release: Path) -> None:
    """A solution, a comment or another column cannot hide in a table."""
    found = add(release, "data/movie_snippets/validation.tsv", f"label\ttext\tnote\n1\t{SOLUTION_LINE}\n")
    assert [leak.where[-6:] for leak in found] == ["line 1", "line 2"]


def test_texts_like_the_hidden_ones_of_clause_order_are_found(release: Path) -> None:
    """A text of the generator's shape that is not a public one may be a hidden one, under this secret or the next."""
    found = plant(release, lambda cells: cells["demo-rows"].update(source=[f'predict("{HIDDEN_CLAUSES}")']))
    assert [leak.where for leak in found] == [f"{NOTEBOOK}, cell demo-rows"]
    assert "clause_order" in found[0].what


def test_the_course_secret_is_found_and_not_repeated(course: Assignment, release: Path) -> None:
    """The secret is recognised anywhere, and the report does not give it away."""
    secret = (course.source.parents[2] / ".course-secret").read_text().strip()
    found = plant(release, lambda cells: cells["demo-rows"].update(source=[f"seed = 0x{secret}"]))
    assert [leak.what for leak in found] == ["the course secret"]


@pytest.mark.parametrize(
    "path",
    [
        "COURSE/data",
        sys.prefix,
        str(Path.home() / "notes"),
        "/home/ada/course",
        "/Users/ada",
        "C:\\Users\\Ada",
        "/root/x",
    ],
)
def test_machine_paths_are_found(course: Assignment, release: Path, path: str) -> None:
    """Course, environment and home folders, this machine's and others'."""
    path = path.replace("COURSE", str(course.root))
    found = plant(release, lambda cells: cells["demo-rows"].update(source=[f"open({path!r})"]))
    assert {leak.where for leak in found} == {f"{NOTEBOOK}, cell demo-rows"}
    assert found[0].what.startswith("a path of a machine: ")


def test_ordinary_paths_and_addresses_pass(release: Path) -> None:
    """Relative paths, web addresses and words that only contain such a path are no leaks."""
    assert (
        add(release, "notes.md", "data/home/x https://example.org/root/home see ./root and /rooted, and/or /tmp") == []
    )


def test_an_execution_count_is_found(release: Path) -> None:
    """A count without outputs shows that the notebook was run."""
    found = plant(release, lambda cells: cells["double"].update(execution_count=3))
    assert [str(leak) for leak in found] == [f"{NOTEBOOK}, cell double: an execution count"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("gradebook.db", "a file of a kind that no release holds (.db)"),
        ("native.so", "a file of a kind that no release holds (.so)"),
        ("script", "a file of a kind that no release holds (no suffix)"),
        (".env", "a hidden file or folder"),
        ("data/.DS_Store", "a hidden file or folder"),
        ("other.ipynb", "a notebook beside the released one"),
        ("data/small_course.ipynb", "a notebook beside the released one"),
        ("data/movie_snippets/test.tsv", "a split that is not public"),
    ],
)
def test_unexpected_files_are_found(release: Path, name: str, what: str) -> None:
    """Files that students do not need are refused by name, whatever is in them."""
    assert Leak(name, what) in add(release, name, "{}")


def test_links_and_large_files_are_found(course: Assignment, release: Path) -> None:
    """A link leads out of the release, also a broken one; a file over 20 MB is no teaching material."""
    (release / "source.txt").symlink_to(course.source)
    (release / "nowhere").symlink_to("nothing-there")
    with (release / "large.txt").open("wb") as file:
        file.truncate(20 * 2**20 + 1)
    assert [str(leak) for leak in find_leaks(release, course)] == [
        "large.txt: larger than 20 MB",
        "nowhere: a link to nothing-there",
        f"source.txt: a link to {course.source}",
    ]


def test_a_damaged_notebook_is_found(release: Path) -> None:
    """A release whose notebook cannot be read is no release, and its bytes are searched all the same."""
    found = add(release, NOTEBOOK, f'{{"cells": [ {SOLUTION_LINE}')
    assert [leak.where for leak in found] == [NOTEBOOK, NOTEBOOK]
    assert found[1].what == "not a notebook"


def test_a_release_that_leaks_is_refused_and_the_old_one_stays(course: Assignment, release: Path) -> None:
    """The error names the places, a line each, and students go on with what they had."""
    before = (release / NOTEBOOK).read_bytes()
    notes = course.source.parent / "notes.md"
    notes.write_text(f"{SOLUTION_LINE}\n")
    with pytest.raises(ReleaseRefused) as refused:
        build_release(course, progress=silent)
    assert str(refused.value).splitlines() == [
        "release/small-course was refused, 1 place leaks:",
        "  notes.md: the solution of cell double: shifted_to_the_left = number << 1",
    ]
    assert (release / NOTEBOOK).read_bytes() == before
    assert names(release.parent) == ["small-course"]
