"""Dates as people write them, in eight formats, with their ISO form.

A row is a text such as "July 14, 1998" and the same day as "1998-07-14". Each day stands in one row only, in one
format, so that no part of the data set shares a day with another. The formats take turns: every part holds all of them,
and any eight neighbouring rows hold each once.
"""

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from random import Random
from typing import NamedTuple

from autograder.datasets.data_set import DataSet

# fmt: off
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# fmt: on
FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
PUBLIC_SEED = 20170612
TRAIN = 8000
VALIDATION = 800
LIKE_A_ROW = re.compile(r"^(.+?)\t(\d{4}-\d\d-\d\d)$", re.MULTILINE)
README = """\
## date_formats

Made for this course by a generator. A row is a date as people write it, in one of eight formats, and the same day as
`YYYY-MM-DD`. Each day stands in one row only, and any eight neighbouring rows hold each format once.

- Source and licence: part of this course, under its licence; nothing is downloaded.
- Held back: the rows that the hidden tests measure on. They are made from a secret number, and none of their days
  stands in these files.
"""


class DateExample(NamedTuple):
    """A date as somebody wrote it, and in ISO 8601."""

    text: str
    iso: str


class DateSplits(NamedTuple):
    """The two parts that students are given."""

    train: tuple[DateExample, ...]
    validation: tuple[DateExample, ...]


@cache
def public() -> DateSplits:
    """What students are given; the same in every checkout."""
    rows = examples(PUBLIC_SEED, TRAIN + VALIDATION, avoid=frozenset())
    return DateSplits(rows[:TRAIN], rows[TRAIN:])


def hidden(seed: int, count: int = 1000) -> tuple[DateExample, ...]:
    """The test set of this seed: `count` rows, none of them of a day that stands in the public rows."""
    return examples(seed, count, avoid=frozenset(row.iso for split in public() for row in split))


def examples(seed: int, count: int, avoid: frozenset[str]) -> tuple[DateExample, ...]:
    """`count` rows, no two of the same day and none of a day in `avoid`."""
    found: dict[str, DateExample] = {}
    for day in days(Random(seed)):
        if len(found) >= count:
            break
        iso = day.isoformat()
        if iso not in found and iso not in avoid:
            found[iso] = DateExample(written(day)[len(found) % 8], iso)
    return tuple(found.values())


def days(random: Random) -> Iterator[date]:
    """Days without end, drawn with `random()`: the one call that gives the same numbers in every version of Python."""
    count = LAST.toordinal() - FIRST.toordinal() + 1
    while True:
        yield date.fromordinal(FIRST.toordinal() + int(random.random() * count))


def written(day: date) -> tuple[str, ...]:
    """The day in each of the eight formats.

    >>> written(date(1998, 7, 4))[:4]
    ('4 July 1998', 'July 4, 1998', 'Saturday 4 July 1998', '4-Jul-1998')
    >>> written(date(1998, 7, 4))[4:]
    ('04.07.1998', '7/4/1998', 'the 4th of July 1998', '19980704')
    """
    month = MONTHS[day.month - 1]
    return (
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{WEEKDAYS[day.weekday()]} {day.day} {month} {day.year}",
        f"{day.day}-{month[:3]}-{day.year}",
        f"{day.day:02}.{day.month:02}.{day.year}",
        f"{day.month}/{day.day}/{day.year}",
        f"the {day.day}{ending(day.day)} of {month} {day.year}",
        f"{day.year}{day.month:02}{day.day:02}",
    )


def ending(number: int) -> str:
    """What makes a number from 1 to 31 an ordinal.

    >>> [f"{n}{ending(n)}" for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '22nd', '23rd', '31st']
    """
    if number in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def hidden_in(text: str) -> Iterator[str]:
    """Rows like those of this data set whose day is not public: any secret may hide them."""
    for one, iso in dict.fromkeys(LIKE_A_ROW.findall(text)):
        if iso not in _public_days() and _is_written(one, iso):
            yield f"{one}\t{iso}"


def _is_written(text: str, iso: str) -> bool:
    try:
        day = date.fromisoformat(iso)
    except ValueError:
        return False
    return FIRST <= day <= LAST and text in written(day)


@cache
def _public_days() -> frozenset[str]:
    return frozenset(row.iso for split in public() for row in split)


DATA_SET = DataSet(
    "date_formats",
    public=public,
    hidden=hidden,
    readme=lambda: README,
    hidden_in=hidden_in,
    columns=("text", "iso"),
    row=tuple,
)
