"""The class as a CSV file with the columns id, name, canvas_id and email, in any order; only `id` must be there."""

import csv
import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from autograder.collecting.bulk_download import CollectError
from autograder.collecting.names import Owner
from autograder.files import printable

ROSTER = "roster.csv"  # in submitted/, where it is looked for when none is named
STUDENT_ID = re.compile(r"[\w@+][\w.@+ -]*")  # what autograding takes for a folder's name
COLUMNS = ("id", "name", "canvas_id", "email")


@dataclass(frozen=True)
class Student:
    """One line of the roster; `id` is the name of the student's folders and in the gradebook."""

    id: str
    name: str = ""
    canvas_id: str = ""
    email: str = ""


@dataclass(frozen=True)
class Roster:
    """A class. Without students it stands for an unknown one."""

    students: tuple[Student, ...] = ()

    def find(self, owner: Owner) -> tuple[Student, ...]:
        """Every student who may have handed the file in: none, the one, or several."""
        by_id = tuple(s for s in self.students if s.canvas_id and s.canvas_id in owner.users)
        if by_id:
            return by_id
        who = squash(owner.who)
        # where the LMS gave a number, a student with another one is somebody else
        open_to = [s for s in self.students if not (owner.users and s.canvas_id)]
        named = tuple(s for s in open_to if who and who in _forms(s))
        return named or tuple(s for s in open_to if plain(owner.who) in {plain(f) for f in _forms(s)} - {""})

    def __bool__(self) -> bool:
        return bool(self.students)


def read_roster(path: Path) -> Roster:
    """Raises CollectError, with the line, for a file that is not such a roster."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CollectError(f"the roster {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise CollectError(f"the roster {path} is not UTF-8: save it as CSV UTF-8") from None
    with io.StringIO(text, newline="") as file:
        try:
            kind: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:4096].split("\n")[0], ",;\t")
        except csv.Error:
            kind = csv.excel
        rows = csv.DictReader(file, dialect=kind)
        rows.fieldnames = [(name or "").strip().casefold().replace(" ", "_") for name in rows.fieldnames or ()]
        if "id" not in rows.fieldnames:
            raise CollectError(f"the roster {path} has no column 'id': its first line names {', '.join(COLUMNS)}")
        students = [_student(row, f"{path.name}, line {rows.line_num}") for row in rows if any(row.values())]
    for column in ("id", "canvas_id"):
        values = [value for s in students if (value := getattr(s, column))]
        if twice := sorted({v for v in values if values.count(v) > 1}):
            raise CollectError(f"{path.name}: the {column} {printable(twice[0])} stands there twice")
    return Roster(tuple(students))


def known_roster(named: Path | None, submitted: Path) -> Roster:
    """The roster that is named, else the one in `submitted/`, else an empty one."""
    if named is not None:
        return read_roster(named)
    return read_roster(submitted / ROSTER) if (submitted / ROSTER).is_file() else Roster()


def squash(name: str) -> str:
    """A name as Canvas writes it: letters and digits only, in lower case.

    >>> squash("O'Neil, Ada")
    'oneilada'
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if c.isalnum())


def plain(name: str) -> str:
    """The same without accents, for systems that drop them."""
    return "".join(c for c in unicodedata.normalize("NFKD", squash(name)) if not unicodedata.combining(c))


def _forms(student: Student) -> set[str]:
    """The ways in which an LMS may write the student: the name's words in any rotation, the id, the address."""
    words = student.name.replace(",", " ").split()
    rotated = {squash("".join(words[i:] + words[:i])) for i in range(len(words))}
    return (rotated | {squash(student.id), squash(student.email), squash(student.email.split("@")[0])}) - {""}


def _student(row: dict[str | None, str | list[str] | None], where: str) -> Student:
    values = {c: v.strip() if isinstance(v := row.get(c), str) else "" for c in COLUMNS}
    if not STUDENT_ID.fullmatch(values["id"]):
        raise CollectError(f"{where}: an id may have letters, digits, and . _ @ + -")
    return Student(**values)
