"""Hidden data as texts to search for in a release, and the rows that may stand in one."""

import base64
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from autograder.notebooks.withheld import ONE_LINE, Withheld, squash
from data import movie_snippets
from data.examples import Splits
from data.publish import PUBLIC
from data.secret import course_secret

HEADER = "label\ttext"
CLAUSES = re.compile(r"(?:the \w+ was \w+ \. ){2,}the end \.")


def withheld() -> list[Withheld]:
    """The reserve of `movie_snippets`, of which any secret makes its hidden test set, and the course secret itself."""
    reserve = movie_snippets.parts()[2]
    texts = [Withheld(squash(e.text), "a hidden row of movie_snippets", e.text) for e in reserve]
    secret = course_secret()
    forms = (secret.hex(), base64.b64encode(secret).decode())
    return [w for w in texts if len(w.text) >= ONE_LINE] + [Withheld(f, "the course secret", "") for f in forms]


def hidden_clauses(text: str, visible: str) -> Iterator[str]:
    """Texts like those of `clause_order` that neither are public nor stand in `visible`: any secret may hide them."""
    for one in dict.fromkeys(CLAUSES.findall(" ".join(text.split()))):
        if one not in visible and one not in _texts(PUBLIC["clause_order"]):
            yield f"a text like the hidden ones of clause_order: {one}"


def not_public(table: Path) -> Iterator[tuple[int, str]]:
    """Lines of `table`, after its header, whose text is not a public one of the data set that its folder names."""
    public = PUBLIC.get(table.parent.name)
    known = _texts(public) if public else frozenset()
    for number, line in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        label, _, text = line.partition("\t")
        if line != HEADER if number == 1 else label not in ("0", "1") or text not in known:
            yield number, f"not a public row of {table.parent.name}"


@cache
def _texts(public: Callable[[], Splits]) -> frozenset[str]:
    return frozenset(example.text for split in public() for example in split)
