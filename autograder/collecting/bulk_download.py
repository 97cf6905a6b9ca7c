"""The files of a bulk download, a zip archive or a folder, read as if an enemy had packed it.

No path of an archive ever becomes a path on the disk. What is odd is refused with a line; the rest is collected.
"""

import os
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath

from autograder.faults import Fault
from autograder.files import printable
from autograder.limits import SUBMISSION_BYTES

FILES = 50_000  # of one download
NAME_CHARACTERS = 1000
CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


class CollectError(Fault):
    """The download, or what is given with it, cannot be used at all; one line."""


class Refused(Exception):
    """One file of the download is not taken; the text says why, in a line."""


@dataclass(frozen=True)
class Handed:
    """One file: its path in the download, when it arrived (UTC; None where nothing tells), and a way to its bytes."""

    parts: tuple[str, ...]
    arrived: datetime | None
    read: Callable[[], bytes]

    @property
    def shown(self) -> str:
        return printable("/".join(self.parts))


@dataclass(frozen=True)
class Download:
    """Every file that may be looked at, and a line for each that may not."""

    files: list[Handed]
    refused: list[str]


def open_download(path: Path) -> Download:
    """Raises CollectError where `path` is neither a folder nor a zip archive."""
    if path.is_dir():
        return _sorted(_of_folder(path))
    if not path.exists():
        raise CollectError(f"{path} does not exist: name the zip archive or folder that the LMS gave you")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CollectError(f"{path} is no zip archive and no folder ({error}): download it again") from None
    return _sorted(_of_archive(archive))


def _sorted(found: Iterator[Handed | str]) -> Download:
    download = Download([], [])
    for number, one in enumerate(found):
        if number >= FILES:
            raise CollectError(f"the download has more than {FILES:,} files: collect one assignment at a time")
        if isinstance(one, str):
            download.refused.append(one)
        elif not set(one.parts) & set(CLUTTER) and not one.parts[-1].startswith("._"):
            download.files.append(one)
    return download


def _of_archive(archive: zipfile.ZipFile) -> Iterator[Handed | str]:
    for entry in archive.infolist():
        shown = printable(entry.filename[:200])
        try:
            parts = _checked_parts(entry.filename.replace("\\", "/"))
        except Refused as reason:
            yield f"{shown}: {reason}"
            continue
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.is_dir():
            continue
        if kind not in (0, stat.S_IFREG):
            yield f"{shown}: a link or device, not a file"
        elif entry.flag_bits & 0x1:
            yield f"{shown}: encrypted"
        else:
            yield Handed(parts, _time_of_entry(entry), partial(_read_entry, archive, entry))


def _checked_parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise Refused("its path leads out of the archive")
    if not path.parts or "\0" in name or len(name) > NAME_CHARACTERS:
        raise Refused("a name that no file can have")
    return path.parts


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """At most one byte more than a submission may have, whatever the archive says of the size."""
    try:
        with archive.open(entry) as file:
            data = file.read(SUBMISSION_BYTES + 1)
    except Exception as error:  # whatever a crafted archive sets off in the decompressors
        raise Refused(f"cannot be unpacked ({type(error).__name__})") from None
    return _not_too_large(data)


def _time_of_entry(entry: zipfile.ZipInfo) -> datetime | None:
    """The time in UTC: of the extra field for it, else the time of day, which is this machine's by convention."""
    if (seconds := _unix_time(entry.extra)) is not None:
        return plausible(datetime.fromtimestamp(seconds, UTC))
    try:
        return plausible(datetime.fromtimestamp(time.mktime((*entry.date_time, 0, 0, -1)), UTC))
    except (ValueError, OverflowError):
        return None


def _unix_time(extra: bytes) -> int | None:
    """Time of last change from the extended-timestamp field (0x5455) of a zip entry."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == 0x5455 and size >= 5 and len(extra) >= 9 and extra[4] & 1:
            return int.from_bytes(extra[5:9], "little", signed=True)
        extra = extra[4 + size :]
    return None


def plausible(moment: datetime) -> datetime | None:
    """None for a time that nobody handed anything in at: archives hold 1980 in place of no time."""
    return moment if datetime(2000, 1, 1, tzinfo=UTC) <= moment <= datetime.now(UTC) + timedelta(days=1) else None


def _of_folder(folder: Path) -> Iterator[Handed | str]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders.sort()
        for name in [n for n in folders if (here / n).is_symlink()] + sorted(names):
            path = here / name
            shown = printable(path.relative_to(folder).as_posix())
            if not stat.S_ISREG((found := path.lstat()).st_mode):
                yield f"{shown}: a link or device, not a file"
                continue
            arrived = plausible(datetime.fromtimestamp(found.st_mtime, UTC))
            yield Handed(path.relative_to(folder).parts, arrived, partial(read_file, path))


def read_file(path: Path) -> bytes:
    """The bytes of an ordinary file; links are not followed, and pipes not waited for. Raises Refused."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused("not an ordinary file")
            data = file.read(SUBMISSION_BYTES + 1)
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})") from None
    return _not_too_large(data)


def _not_too_large(data: bytes) -> bytes:
    if len(data) > SUBMISSION_BYTES:
        raise Refused(f"larger than {SUBMISSION_BYTES // 2**20} MB: ask for it with the outputs cleared")
    return data
