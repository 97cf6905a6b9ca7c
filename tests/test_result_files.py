"""Damaged result files: one reader refuses them in one line, and every command that reads results survives them."""

import csv
import json
import os
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.batch import cluster
from autograder.batch.unchanged import earlier_result
from autograder.bench import modes
from autograder.cli import app
from autograder.commands import demo, explain
from autograder.gradescope import results as gradescope
from autograder.nbgrader_plugin.autograde import autograde_class
from autograder.nbgrader_plugin.export import marks
from autograder.reporting.gather import gather
from autograder.results.result import CellOutcome, Result
from autograder.results.result import TestOutcome as Outcome
from autograder.results.result_file import DamagedResult, read_result
from tests.nbgrader_course import RIGHT, TINY_NAME, Course, fake_grade_all, scratch_course  # noqa: F401 (a fixture)
from tests.this_course import COURSE

TEST = Outcome("test_value", "The value is right", "failed", 3.0, 0.0, "The value is wrong.", "double-adds-two", True)
GOOD = Result(
    TINY_NAME, "ada.ipynb", "graded", 0.3, 3.3, 1.5, {"double-tests": CellOutcome(0.0, 3, (TEST,))}, None, "landlock"
)
RAW = json.loads(GOOD.to_json())


def with_cell(**changes: object) -> str:
    return json.dumps(RAW | {"cells": {"double-tests": RAW["cells"]["double-tests"] | changes}})


def with_test(**changes: object) -> str:
    return with_cell(tests=[RAW["cells"]["double-tests"]["tests"][0] | changes])


# what stands in the file, and what its reader says of it
TEXTS = {
    "empty": ("", "not JSON from line 1 on"),
    "cut short": (GOOD.to_json()[:-40], "not JSON from line"),
    "a list": ("[]", "the result does not have the fields of a Result"),
    "a number": ("7", "the result does not have the fields of a Result"),
    "a field is missing": (json.dumps({k: v for k, v in RAW.items() if k != "score"}), "fields of a Result"),
    "a field too many": (json.dumps(RAW | {"colour": "red"}), "fields of a Result"),
    "cells are a list": (json.dumps(RAW | {"cells": [1]}), "the result, cells has the wrong type or value"),
    "a cell is a text": (json.dumps(RAW | {"cells": {"x": "y"}}), "cells x does not have the fields of a CellOutcome"),
    "a cell without tests' list": (with_cell(tests={}), "cells double-tests, tests has the wrong type"),
    "a cell's score is a text": (with_cell(score="0"), "cells double-tests, score has the wrong type or value"),
    "a test with a field too many": (with_test(colour="red"), "tests 1 does not have the fields of a TestOutcome"),
    "a test is a number": (with_cell(tests=[1]), "tests 1 does not have the fields of a TestOutcome"),
    "a title is a list": (with_test(title=["a"]), "tests 1, title has the wrong type or value"),
    "a test's status is another": (with_test(status="excellent"), "tests 1, status has the wrong type or value"),
    "a test's status is a list": (with_test(status=[]), "tests 1, status has the wrong type or value"),
    "a mistake is a number": (with_test(misconception=1), "tests 1, misconception has the wrong type or value"),
    "points are true": (with_test(points=True), "tests 1, points has the wrong type or value"),
    "NaN": (json.dumps(RAW | {"score": float("nan")}), "score has the wrong type or value"),
    "infinity": (json.dumps(RAW | {"seconds": float("inf")}), "seconds has the wrong type or value"),
    "an integer beyond floats": (json.dumps(RAW | {"max_score": 10**400}), "max_score has the wrong type or value"),
    "an integer of 5,000 digits": (GOOD.to_json().replace("1.5", "9" * 5000), "integer string conversion"),
    "a number that sums overflow from": (json.dumps(RAW | {"score": 1e308}), "score has the wrong type or value"),
    "notes hold a number": (json.dumps(RAW | {"notes": [1]}), "notes 1 has the wrong type or value"),
    "an error with a line break is kept": (json.dumps(RAW | {"error": ["a\nb"]}), "error has the wrong type or value"),
    "nested deeply": ("[" * 100_000 + "]" * 100_000, "JSON that is nested too deeply"),
    "a name with an escape": (json.dumps(RAW | {"cells": {"\x1b[2J\n": 1}}), "cells ?[2J? does not have the fields"),
    "not UTF-8": (b"\xff\xfe{}", "not UTF-8"),
    "a byte of nothing": (b"\0" * 64, "not JSON from line 1 on"),
}


def put(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def put_folder(path: Path) -> None:
    path.mkdir()


def put_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def put_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_too_much(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**34)


ODD = (put_folder, put_link_to_itself, put_link_to_nothing, put_pipe, put_too_much)


def test_a_result_survives_being_written_and_read(tmp_path):
    """Every field, with numbers as they were; a link to an ordinary file is followed."""
    GOOD.write(tmp_path / "ada.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "ada.json")
    assert read_result(tmp_path / "ada.json") == read_result(tmp_path / "link.json") == GOOD
    assert read_result(tmp_path / "ada.json").to_json() == GOOD.to_json()


def test_fields_with_a_default_may_be_missing(tmp_path):
    """Older result files have fewer."""
    put(tmp_path / "ada.json", json.dumps({k: v for k, v in RAW.items() if k not in ("notes", "digest", "tier")}))
    assert read_result(tmp_path / "ada.json").tier == "none"


@pytest.mark.parametrize(("content", "reason"), TEXTS.values(), ids=TEXTS.keys())
def test_a_damaged_result_is_refused_in_one_line(tmp_path, content, reason):
    """The line names the file, what is wrong and what to do."""
    put(path := tmp_path / "ada.json", content)
    with pytest.raises(DamagedResult) as refused:
        read_result(path)
    told = str(refused.value)
    assert str(path) in told and reason in told and told.endswith("delete it and grade again") and told.isprintable()
    assert earlier_result(path) is None


@pytest.mark.parametrize("put_odd", ODD)
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, put_odd):
    """Nothing is waited for, and what is far too large is not read."""
    put_odd(path := tmp_path / "ada.json")
    with pytest.raises(DamagedResult, match=r"not an ordinary file|larger than 16 MB|symbolic links"):
        read_result(path)
    assert earlier_result(path) is None


def test_a_missing_result_is_told_from_a_damaged_one(tmp_path):
    """Nothing is damaged where nothing is."""
    with pytest.raises(FileNotFoundError, match="grade the notebook first"):
        read_result(tmp_path / "ada.json")
    assert earlier_result(tmp_path / "ada.json") is None


def test_there_is_one_reader():
    """Only `read_result`, and the cluster's reply, which is no file, parse a result."""
    package = COURSE.root / "autograder"
    parsing = {
        p.name for p in package.rglob("*.py") if re.search(r"(?m)^(?! *>>>).*Result\.from_json\(", p.read_text())
    }
    assert parsing == {"result_file.py", "cluster.py"}


DAMAGE = {name: (lambda path, c=content: put(path, c)) for name, (content, _) in TEXTS.items()}
DAMAGE |= {odd.__name__: odd for odd in ODD}


@pytest.fixture
def graded(course: Course) -> Course:
    """Two students who were graded."""
    for student in ("ada", "ben"):
        course.submit(student, RIGHT)
    autograde_class(course.tiny, fake_grade_all)
    return course


def test_every_reader_survives_every_damage(graded, capsys, monkeypatch, subtests):
    """Export, report, explain, Gradescope, the demonstration and the benchmark; then the class is graded again."""
    path, target = graded.root / "results" / TINY_NAME / "ada.json", graded.root / "gradescope.json"
    for name, damage in DAMAGE.items():
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        damage(path)
        with subtests.test(name):
            survives(graded, path, target, capsys, monkeypatch)
    put(path, "{")
    assert {marked.student: marked.fresh for marked in autograde_class(graded.tiny, fake_grade_all)}["ada"]
    assert graded.result("ada").score == 3.3


def survives(graded: Course, path: Path, target: Path, capsys, monkeypatch) -> None:
    told: list[DamagedResult] = []
    rows = {row["student"]: row for row in marks(graded.root, on_damaged=told.append)}
    assert rows["ada"]["automatic"] == rows["ben"]["automatic"] == 3.3
    assert (rows["ada"]["status"], rows["ben"]["status"]) == ("damaged result file", "graded")
    assert [str(path) in str(one) for one in told] == [True]

    found = gather(graded.tiny, graded.root)
    assert list(found.results) == ["ben"] and list(found.unreadable) == ["ada"]

    assert explain._recorded(graded.tiny, "ada") is None
    assert "delete it and grade again" in " ".join(capsys.readouterr().err.split())

    monkeypatch.setattr(sys, "argv", ["results", str(target), "x.ipynb", str(path)])
    gradescope.main()
    if path.is_file():
        content = json.loads(target.read_text())
        assert content["score"] == 0 and "not your fault" in content["output"]
        assert "delete it and grade again" in capsys.readouterr().err

    for reader in (
        lambda: modes._marks(path),
        lambda: demo.table(graded.tiny, [type("Sample", (), {"student": "ada"})]),
    ):
        with pytest.raises(DamagedResult):
            reader()


@pytest.mark.parametrize("content", [text for text, _ in TEXTS.values() if isinstance(text, str)])
def test_a_damaged_reply_of_a_cluster_is_a_value_error(tmp_path, content):
    """As a whole, and as the result in it."""
    whole = json.dumps({"result": content, "notebook": '{"cells": [], "nbformat": 4, "metadata": {}}', "lasting": True})
    for reply in (content, whole):
        with pytest.raises(ValueError):
            cluster._graded(reply, tmp_path)


def test_the_commands_tell_it_in_one_line_and_go_on(graded, monkeypatch):
    """`export` writes every mark and `report` every other student; where nothing else is left, it refuses."""
    monkeypatch.chdir(graded.root)
    path = graded.root / "results" / TINY_NAME / "ada.json"
    put(path, "{")
    done = CliRunner().invoke(app, ["export"])
    said = [line for line in done.stderr.replace("\n", " ").split("marks.csv") if "is damaged" in line]
    assert done.exit_code == 0 and len(said) == 1 and done.stderr.count("is damaged") == 1
    with (graded.root / "marks.csv").open(newline="") as file:
        assert {row["student"]: row["total"] for row in csv.DictReader(file)} == {"ada": "3.3", "ben": "3.3"}
    done = CliRunner().invoke(app, ["report", TINY_NAME])
    assert done.exit_code == 0 and done.stderr.count("is damaged") == 1 and "1 submissions" in done.stderr
    path.with_name("ben.json").unlink()
    done = CliRunner().invoke(app, ["report", TINY_NAME])
    assert done.exit_code == 2 and done.stderr.count("is damaged") == 1
