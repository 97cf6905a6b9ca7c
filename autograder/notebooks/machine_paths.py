"""Paths that tell whose machine a text comes from: find them, or put a plain word in their place."""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ANYBODYS_HOME = r"/(?:home|Users)/[^\s/'\"<>:,;)\\]+|/root|[A-Za-z]:\\+Users\\+[^\s\\'\"<>:,;)]+"
_BEFORE, _AFTER = r"(?<![\w./~-])", r"(?![\w.-])"


def find_paths(text: str, root: Path) -> list[str]:
    """Every place of this machine (the course in `root`, environment, home) and any home folder in `text`."""
    return [m.group() for m in re.finditer("|".join(pattern for pattern, _ in _patterns(root)), text)]


def scrub(text: str, here: Path, root: Path) -> str:
    """`text` with words such as <course> in place of paths: `here` is where the program ran; temporary files, too."""
    ran_in = _BEFORE + re.escape(str(here)) + _AFTER
    temporary = _BEFORE + re.escape(tempfile.gettempdir()) + r"/[^\s'\":,;)]+"
    for pattern, word in ((ran_in, "<here>"), *_patterns(root), (temporary, "<temporary file>")):
        text = re.sub(pattern, word, text)
    return text


def _patterns(root: Path) -> Iterator[tuple[str, str]]:
    # the environment comes first because it often stands inside the checkout
    for place, word in ((Path(sys.prefix), "<environment>"), (root, "<course>"), (Path.home(), "<home>")):
        if len(place.parts) > 1:
            yield f"{_BEFORE}{re.escape(str(place))}{_AFTER}", word
    yield f"{_BEFORE}(?:{ANYBODYS_HOME}){_AFTER}", "<home>"
