"""Pages of a class share most of their cells, the course's own: what was made of those once is used again."""

from collections import OrderedDict
from collections.abc import Callable

MOST = 512  # texts; those of the course stay, for every page asks for them
CHARACTERS = 50_000  # of a result that is kept


def remembered(function: Callable[..., str]) -> Callable[..., str]:
    """`function`, which makes a text from texts and nothing else, with the short ones of its last results kept."""
    known: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def made_once(*texts: str) -> str:
        if texts in known:
            known.move_to_end(texts)
            return known[texts]
        made = function(*texts)
        if len(made) <= CHARACTERS:
            known[texts] = made
            if len(known) > MOST:
                known.popitem(last=False)
        return made

    return made_once
