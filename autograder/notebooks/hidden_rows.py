"""Hidden data as texts to search for in a release, and the rows that may stand in one."""

import base64
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from autograder.datasets.data_set import DataSet
from autograder.datasets.secret import course_secret
from autograder.notebooks.withheld import ONE_LINE, Withheld, squash


def withheld(data_sets: Iterable[DataSet], root: Path) -> list[Withheld]:
    """What the data sets hold back, and the secret of the course in `root`."""
    texts = [
        Withheld(squash(text), f"a hidden row of {one.name}", text) for one in data_sets for text in one.withheld()
    ]
    secret = course_secret(root)
    forms = (secret.hex(), base64.b64encode(secret).decode())
    return [w for w in texts if len(w.text) >= ONE_LINE] + [Withheld(f, "the course secret", "") for f in forms]


def like_hidden(text: str, visible: str, data_sets: Iterable[DataSet]) -> Iterator[str]:
    """Texts that a data set takes for hidden ones, but for those that stand in `visible` anyway."""
    for data_set in data_sets:
        for one in data_set.hidden_in(text):
            if one not in visible:
                yield f"a text like the hidden ones of {data_set.name}: {one}"


def not_public(table: Path, data_sets: Iterable[DataSet]) -> Iterator[tuple[int, str]]:
    """Lines of `table` that are not public rows, nor the header, of the data set that its folder names."""
    known = next((one for one in data_sets if one.name == table.parent.name), None)
    for number, line in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if known is None or (line != known.header if number == 1 else line not in _rows(known)):
            yield number, f"not a public row of {table.parent.name}"


@cache
def _rows(data_set: DataSet) -> frozenset[str]:
    return frozenset(line for split in data_set.public() for line in data_set.lines(split))
