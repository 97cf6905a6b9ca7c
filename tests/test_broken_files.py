"""Whatever is handed in gets a result, and the submission after it is graded as if nothing had been."""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.converters import Autograde, GenerateFeedback
from typer.testing import CliRunner

from autograder.batch import many
from autograder.batch.many import NotAllGraded, Settings, grade_many
from autograder.cli import app
from autograder.grading import grade as run
from autograder.nbgrader_plugin.autograde import NotSaved, autograde_class
from autograder.notebooks.nbgrader_convert import convert, course_config
from autograder.notebooks.read_submission import read_submission
from autograder.notebooks.rebuild import grade_id, rebuild
from tests import deadly_grader
from tests.broken_files import GRADED, REFUSED, put, strange_files, text
from tests.nbgrader_course import RIGHT, TINY_NAME, TINY_STEM, Course, fake_grade_all, scratch_course, stock_fake_grade  # noqa: F401
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy, toy_course  # noqa: F401


def grade(paths: Iterable[Path], output: Path, *options: str) -> tuple[int, str, Callable[[str], dict[str, Any]]]:
    """`autograder grade` on these files; gives exit code, standard error, and a reader of results by file stem."""
    arguments = ["grade", "--assignment", "toy", "--output", str(output), *options, "--", *map(str, paths)]
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.stderr
    return done.exit_code, done.stderr, lambda stem: json.loads((output / f"{stem}.json").read_bytes())


def assert_refused(found: dict[str, Any], reason: str) -> None:
    assert (found["status"], found["score"], found["max_score"]) == ("could-not-run", 0, 6)
    assert reason in found["error"] and found["error"].isprintable(), found["error"]
    assert set(found["cells"]) == {"double-tests", "quadruple-tests"}


@pytest.mark.parametrize("name", GRADED)
def test_a_damaged_notebook_whose_meaning_is_clear_is_read(tmp_path, toy, name):
    """Encodings, old formats, wrong types, tampering, junk of any depth and size: both answers are in their places."""
    rebuilt = rebuild(notebook(), read_submission(put(tmp_path / "ada.ipynb", GRADED[name]())), toy)
    cells = {grade_id(cell): cell for cell in rebuilt.notebook.cells}
    assert (cells["double"].source, cells["quadruple"].source) == (DOUBLE, QUADRUPLE)
    assert cells["double-tests"] == notebook().cells[2]
    assert any("kernel for R" in note for note in rebuilt.notes) == (name == "other kernel")
    nbformat.writes(rebuilt.notebook).encode()


@pytest.mark.usefixtures("toy_course", "tier")
def test_damaged_notebooks_get_the_marks_of_their_answers(tmp_path):
    """Some of them from the file to marks and page: nothing in them stops what comes after reading."""
    names = ("format 3", "utf-16", "wrong types", "lone surrogates", "null characters", "tampered", "large outputs")
    paths = [put(tmp_path / f"{name}.ipynb", GRADED[name]()) for name in names]
    code, _, result = grade(paths, tmp_path / "out")
    found = {name: (result(name)["status"], result(name)["score"], result(name)["max_score"]) for name in names}
    assert (code, found) == (0, dict.fromkeys(names, ("graded", 6, 6)))
    assert all(b"Graded automatically" in (tmp_path / "out" / f"{name}.html").read_bytes() for name in names)


@pytest.mark.usefixtures("toy_course", "tier")
def test_what_is_no_submission_is_refused_in_one_line_and_the_next_is_graded(tmp_path):
    """Broken files, links, pipes and devices: a result that says what is wrong, a page, and exit code 0."""
    strange = strange_files(tmp_path)
    paths = [put(tmp_path / f"{name}.ipynb", content()) for name, (content, _) in REFUSED.items()]
    paths += [path for path, _ in strange.values()]
    paths.append(put(tmp_path / "zoe.ipynb", text()))
    code, _, result = grade(paths, tmp_path / "out")
    for name, (_, reason) in (REFUSED | strange).items():
        assert_refused(result(name), reason)
        assert b"could not be graded" in (tmp_path / "out" / f"{name}.html").read_bytes()
    assert (code, result("zoe")["score"]) == (0, 6)
    assert (tmp_path / "out" / "out.html").read_text().find("secret") < 0


@pytest.mark.usefixtures("toy_course", "tier")
def test_files_of_odd_names_are_graded_and_named_in_one_line(tmp_path):
    """Line breaks, terminal escapes, quotes, dashes, broken text and the longest name there is."""
    names = [
        "a\nb", "\x1b[31mred", "it's \"quoted\"", "-rf", "--output", "<img src=x onerror=alert(1)>", "naïve 你好 \u202e",
        "x" * 249, "%s{0}$(id)`id`;&|", os.fsdecode(b"caf\xe9"), " ", "a.b.c",
    ]  # fmt: skip
    paths = [put(tmp_path / f"{name}.ipynb", "{") for name in names]
    code, said, result = grade(paths, tmp_path / "out")
    assert code == 0
    for name in names:
        assert_refused(result(name), "not JSON")
        page = (tmp_path / "out" / f"{name}.html").read_text()
        assert "could not be graded" in page and "<img src=x" not in page
    assert "\x1b[31m" not in said and "a?b.ipynb" in said
    code, said, _ = grade([tmp_path / "a\nnobody.ipynb", tmp_path / ("y" * 300)], tmp_path / "out", "--quiet")
    assert code == 2 and len(said.splitlines()) == 1


@pytest.mark.usefixtures("toy_course", "tier")
def test_a_fault_of_ours_in_one_submission_stops_no_other(tmp_path, monkeypatch):
    """An exception that nobody thought of is a could-not-run result with its place, not its text."""
    real = run.grade_notebook

    def faulty(path: Path, *rest: Any, **how: Any) -> Any:
        if path.stem == "ada":
            raise RuntimeError("the student's own words")
        return real(path, *rest, **how)

    monkeypatch.setattr(run, "grade_notebook", faulty)
    paths = [put(tmp_path / f"{name}.ipynb", text()) for name in ("ada", "zoe")]
    code, _, result = grade(paths, tmp_path / "out")
    assert (code, result("zoe")["score"]) == (0, 6)
    assert_refused(result("ada"), "RuntimeError in test_broken_files.py")
    assert "own words" not in result("ada")["error"]


@pytest.fixture
def deadly(monkeypatch, toy):
    """Grading that goes wrong for files called ada and broke."""
    monkeypatch.setattr(many, "grade_one", deadly_grader.grade)
    return Settings(toy)


@pytest.mark.usefixtures("toy_course")
def test_a_killed_grading_process_costs_one_submission(deadly):
    """The one that was at fault is found by trying it alone; every other is graded, each once."""
    paths = [Path(f"{name}.ipynb") for name in ("ben", "ada", "cleo", "dan", "ada-2", "eve", "finn")]
    found = [(p.stem, g if g == "graded" else g.result.status) for p, g in many._in_processes(paths, deadly, 2)]
    assert sorted(found) == sorted((p.stem, "could-not-run" if "ada" in p.stem else "graded") for p in paths)


@pytest.mark.usefixtures("toy_course")
def test_grading_gets_little_ahead_of_recording(deadly, tmp_path):
    """Results would pile up in memory, and at the end be left to one core, while the others have nothing to do."""
    paths = [tmp_path / f"told-{number}.ipynb" for number in range(12)]
    outcomes = many._in_processes(paths, deadly, 2)
    found, graded = [next(outcomes)], 1 + 2 * many.AHEAD
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < graded and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == graded
    assert sorted(path for path, _ in [*found, *outcomes]) == sorted(paths)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_fault_of_the_machine_leaves_its_submission_ungraded_and_grades_the_others(deadly, monkeypatch, jobs):
    """A full disk is not the student's doing, so no mark is given; the fault is told at the end."""
    monkeypatch.setattr(many, "Graded", str)
    graded = []
    with pytest.raises(NotAllGraded, match=r"not graded: broke.ipynb .*No space left"):
        for path, _ in grade_many([Path("broke.ipynb"), Path("ben.ipynb"), Path("cleo.ipynb")], deadly, jobs):
            graded.append(path.stem)
    assert sorted(graded) == ["ben", "cleo"]


def hand_in(course: Course, student: str, content: str | bytes) -> Path:
    return put(course.submission(student), content)


@pytest.mark.filterwarnings("ignore")
def test_a_class_with_every_kind_of_broken_file_gets_a_mark_each(course, tmp_path_factory):
    """`autograder autograde`: gradebook, page and result for each, and full marks for the student after them."""
    strange = strange_files(tmp_path_factory.mktemp("strange"))
    for n, (content, _) in enumerate(REFUSED.values()):
        hand_in(course, f"broken{n}", content())
    for name, (path, _) in strange.items():
        course.submission(f"odd-{name}").parent.mkdir(parents=True)
        path.rename(course.submission(f"odd-{name}"))
    course.submit("zoe", RIGHT)
    done = {marked.student: marked.result for marked in autograde_class(course.tiny, fake_grade_all)}
    reasons = {f"broken{n}": reason for n, (_, reason) in enumerate(REFUSED.values())}
    reasons |= {f"odd-{name}": reason for name, (_, reason) in strange.items()}
    assert done.keys() == {*reasons, "zoe"} and done["zoe"].score == 3.3
    for student, reason in reasons.items():
        assert done[student].status == "could-not-run" and reason in done[student].error
        assert "could not be graded" in course.feedback(student) and course.result(student).score == 0
    assert not any(marked.fresh for marked in autograde_class(course.tiny, fake_grade_all))


def stock_grades(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    config = course_config(course.root, course.root)
    stock_fake_grade(monkeypatch)
    for converter in (Autograde, GenerateFeedback):
        convert(converter, TINY_NAME, config)


@pytest.mark.parametrize("how", [lambda course, patch: autograde_class(course.tiny, fake_grade_all), stock_grades])
def test_what_stands_beside_a_notebook_leads_nowhere(course, monkeypatch, how):
    """Links out of the submission, pipes and devices are neither followed nor waited for, nor shown to the student."""
    folder = course.submit("ada", RIGHT).parent
    secret = put(course.root / "secret.txt", "the hidden labels")
    (folder / "data.txt").symlink_to(secret)
    (folder / "up").symlink_to(course.root)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "zero").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe")
    how(course, monkeypatch)
    assert course.result("ada").score == 3.3
    shown = [p for step in ("autograded", "feedback") for p in (course.root / step).rglob("*") if p.is_file()]
    assert not any(b"hidden labels" in p.read_bytes() for p in shown)


def test_a_folder_that_is_none_is_named_and_the_others_are_graded(course):
    """A link out of submitted/, a file, a link that leads nowhere, names that break lines or terminals."""
    course.submit("zoe", RIGHT)
    for student in ("linked", "file", "dangling", "a\nb", "\x1b[31mred", "-rf"):
        (course.root / "submitted" / student).mkdir()
    elsewhere = put(course.root / "elsewhere" / f"{TINY_STEM}.ipynb", "{").parent
    (course.root / "submitted" / "linked" / TINY_NAME).symlink_to(elsewhere)
    (course.root / "submitted" / "dangling" / TINY_NAME).symlink_to("nowhere")
    put(course.root / "submitted" / "file" / TINY_NAME, "I am a file")
    for student in ("a\nb", "\x1b[31mred", "-rf"):
        (course.root / "submitted" / student / TINY_NAME).mkdir()
    with pytest.raises(NotSaved) as told:
        autograde_class(course.tiny, fake_grade_all)
    assert str(told.value).isprintable()
    assert all(name in str(told.value) for name in ("linked (", "file (", "dangling (", "a?b (", "?[31mred (", "-rf ("))
    assert course.result("zoe").score == 3.3


def test_the_names_of_misnamed_notebooks_stay_on_one_line(course):
    """The student reads what was found instead, in a result that can be written."""
    folder = course.submit("ada", RIGHT).parent
    course.submission("ada").rename(folder / "a\nb\udce9<script>.ipynb")
    (marked,) = autograde_class(course.tiny, fake_grade_all)
    assert "found a?b?<script>.ipynb" in marked.result.error
    assert "<script>.ipynb" not in course.feedback("ada")
