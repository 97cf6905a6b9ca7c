"""Who handed a file in, by the names that Canvas and Moodle give to files of a bulk download.

    lovelaceada_LATE_12345_67890_notebook-1.ipynb                      Canvas: user 12345, upload 67890, handed in again
    Ada Lovelace_4711_assignsubmission_file_/notebook.ipynb            Moodle, with folders or without

Only what the LMS wrote counts: the part after it is the student's own name for the file.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

CANVAS = re.compile(r"(?P<who>[^/]+?)_(?:LATE_)?(?P<user>\d{1,20})_(?P<upload>\d{1,20})_(?P<file>.+)")
CANVAS_IDS = re.compile(r"(?=_(\d{1,20})_(\d{1,20})_.)")
MOODLE = re.compile(r"(?P<who>.+?)_(?P<number>\d{1,20})_assignsubmission_(?:file|onlinetext)(?:_(?P<file>.*))?")
# `notebook (1)` is a browser's or Moodle's second copy, `notebook-1` Canvas's second upload
COPY = re.compile(r"(?P<stem>.*?)(?:[ _]?\((?P<browser>\d{1,4})\)|-(?P<canvas>\d{1,4}))?")


@dataclass(frozen=True)
class Owner:
    """What the LMS says of a file. `users` are the Canvas ids that it may mean: a name can be read in two ways."""

    lms: str
    who: str
    users: tuple[str, ...]
    late: bool
    upload: int
    file: str

    @property
    def stem(self) -> str:
        """The file's name without its ending and its copy number, to compare with the released notebook's."""
        return re.sub(r"[\s_]+", "_", _copy(self.file)["stem"].casefold()).strip("_")

    @property
    def copy(self) -> int:
        found = _copy(self.file)
        return int(found["browser"] or found["canvas"] or 0)


def owner_of(parts: tuple[str, ...]) -> Owner:
    """The owner by the outermost part of the path in which an LMS has left its mark, else by the outermost part."""
    for part in parts:
        if found := MOODLE.fullmatch(part):
            return Owner("Moodle", found["who"].strip(), (), False, 0, found["file"] or parts[-1])
        if found := CANVAS.fullmatch(part):
            users = tuple(dict.fromkeys(m[1] for m in CANVAS_IDS.finditer(part)))
            late = f"_LATE_{found['user']}_" in part
            return Owner("Canvas", found["who"], users, late, int(found["upload"]), found["file"])
    who = parts[0] if len(parts) > 1 else PurePosixPath(parts[0]).stem
    return Owner("", _copy(f"{who}.x")["stem"] if len(parts) == 1 else who, (), False, 0, parts[-1])


def _copy(file: str) -> re.Match[str]:
    found = COPY.fullmatch(PurePosixPath(file).stem)
    assert found is not None
    return found
