"""Public rows: files that give back exactly the public splits, with their source and licence, swapped in whole."""

import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.cli import app
from autograder.course.assignment import ROOMS
from autograder.course.course import course_at
from autograder.datasets import public_files as publish
from autograder.datasets.examples import Example
from autograder.datasets.find import data_sets_of
from autograder.datasets.prepare import prepare
from autograder.datasets.public_files import content, table, write_public
from autograder.datasets.secret import derive
from autograder.datasets.sources import source
from autograder.faults import DataError
from autograder.graders.data_sets import movie_snippets
from autograder.graders.data_sets.movie_snippets import normalise
from autograder.graders.transformer_fundamentals.data_sets import clause_order
from tests.this_course import COURSE, TRANSFORMER_FUNDAMENTALS

SETS = {one.name: one for one in data_sets_of(TRANSFORMER_FUNDAMENTALS)}
NAMES = ("movie_snippets", "clause_order")
ALL, GENERATED = tuple(SETS[name] for name in NAMES), (clause_order.DATA_SET,)


def read(path: Path) -> tuple[Example, ...]:
    """What a student's notebook makes of a file."""
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header == "label\ttext"
    return tuple(Example(text, int(label)) for label, text in (row.split("\t") for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A published folder, for tests that only look."""
    folder = tmp_path_factory.mktemp("published") / "data"
    write_public(folder, ALL)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_files_give_back_the_public_splits(folder, name):
    """Reading a file line by line, without any quoting, restores every example in its order."""
    for part, examples in SETS[name].public()._asdict().items():
        assert read(folder / name / f"{part}.tsv") == examples


def test_folder_holds_what_was_asked_for_and_nothing_else(folder, tmp_path):
    """Rows of the named sets, a README and the licence of the sentences; a set not named is not there."""
    rows = {f"{name}/{part}.tsv" for name in NAMES for part in ("train", "validation")}
    assert set(content(folder)) == rows | {"README.md", "movie_snippets/LICENSE.txt"}
    write_public(tmp_path / "data", GENERATED)
    assert set(content(tmp_path / "data")) == {"README.md", "clause_order/train.tsv", "clause_order/validation.tsv"}


def test_readme_says_source_licence_citation_and_what_is_held_back(folder):
    """Whoever has the folder knows where the sentences come from and what is not in it."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    entry = source("movie_snippets")
    for said in (entry.package, entry.version, entry.licence, entry.citation, entry.origin):
        assert said in text
    assert text.count("Held back") == 2
    assert "{" not in text
    assert "Permission is hereby granted" in (folder / "movie_snippets" / "LICENSE.txt").read_text()


def test_no_hidden_text_is_published(folder):
    """No text of the hidden sets of this checkout, or of another secret, is in any file."""
    published = {normalise(e.text) for path in folder.rglob("*.tsv") for e in read(path)}
    for seed in (derive(COURSE.root, "publish test"), 1, 2):
        for example in movie_snippets.hidden(seed) + clause_order.hidden(seed):
            assert normalise(example.text) not in published


def test_same_bytes_every_time(folder, tmp_path):
    """Publishing elsewhere gives the same bytes, with line feeds only."""
    write_public(tmp_path / "elsewhere", ALL)
    assert content(tmp_path / "elsewhere") == content(folder)
    assert not any(b"\r" in data for data in content(folder).values())


def test_right_folder_is_left_alone_and_a_wrong_one_replaced(tmp_path):
    """Publishing again touches nothing; a changed, added or missing file is put right."""
    folder = tmp_path / "data"
    write_public(folder, GENERATED)
    before, inode = content(folder), folder.stat().st_ino
    write_public(folder, GENERATED)
    assert folder.stat().st_ino == inode
    (folder / "clause_order" / "train.tsv").write_text("label\ttext\n")
    (folder / "stray.txt").write_text("left over")
    (folder / "README.md").unlink()
    write_public(folder, GENERATED)
    assert content(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_failure_keeps_the_old_folder(tmp_path, monkeypatch):
    """When writing stops half-way, the old rows stay and nothing is left beside them."""
    folder = tmp_path / "data"
    write_public(folder, GENERATED)
    before = content(folder)
    monkeypatch.setattr(publish, "table", lambda data_set, rows: "label\ttext\n")
    real = Path.write_bytes

    def disk_full(path, data):
        if path.name == "validation.tsv":
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(DataError, match="No space left") as caught:
        write_public(folder, GENERATED)
    assert "\n" not in str(caught.value)
    assert content(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_many_at_once_agree(tmp_path, monkeypatch):
    """Several that publish at the same moment, over an old folder, all end with the right one."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    together = threading.Barrier(4, timeout=20)
    real = publish.replace_folder

    def at_once(*arguments):
        together.wait()
        real(*arguments)

    monkeypatch.setattr(publish, "replace_folder", at_once)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_public(folder, GENERATED), range(4)))
    assert content(folder) == publish.public_files(GENERATED)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("same", [True, False], ids=["the same rows", "other rows"])
def test_folder_put_there_in_between_is_no_error(tmp_path, monkeypatch, same):
    """Where another process puts its folder in place first, the right one is kept and a wrong one replaced."""
    folder = tmp_path / "data"
    expected = publish.public_files(GENERATED)
    real = Path.rename

    def late(path, target):
        if path.name == "new":
            monkeypatch.setattr(Path, "rename", real)
            for name, data in (expected if same else {"other.txt": b"other"}).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        return real(path, target)

    monkeypatch.setattr(Path, "rename", late)
    write_public(folder, GENERATED)
    assert content(folder) == expected
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\u2028b", "a\x85b", ""])
def test_text_that_is_not_one_field_is_refused(text):
    """A tab, a line break of any kind or an empty text would break the file: refused, not written."""
    with pytest.raises(ValueError, match="cannot be a row"):
        table(clause_order.DATA_SET, [Example(text, 1)])


def test_preparation_does_not_depend_on_the_secret(tmp_path, monkeypatch):
    """Two checkouts with different secrets lay out the same bytes beside the notebook; the secret is made."""
    found = []
    for checkout in (tmp_path / "one", tmp_path / "two"):
        shutil.copytree(COURSE.root / ROOMS, checkout / ROOMS, ignore=shutil.ignore_patterns("__pycache__"))
        prepare(course_at(checkout).assignments.values(), quiet=True)
        found.append(
            (content(checkout / "source/transformer-fundamentals/data"), (checkout / ".course-secret").read_text())
        )
    assert found[0][0] == found[1][0]
    assert len(found[0][0]) == 6
    assert found[0][1] != found[1][1]


def test_unknown_assignment_is_one_line():
    """`autograder prepare` of an assignment that does not exist: it is refused by name, with the known ones."""
    done = CliRunner().invoke(app, ["prepare", "no-such-assignment", "--quiet"])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert re.search(r"'no-such-assignment'.*transformer-fundamentals", done.stderr)
