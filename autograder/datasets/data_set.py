"""What every data set can tell: its public rows, its hidden ones, its README, and how a leak of it is recognised."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autograder.datasets.examples import Example, Splits


def label_and_text(example: Example) -> tuple[str, str]:
    """The fields of a labelled text, as its row has them.

    >>> label_and_text(Example("Dull.", 0))
    ('0', 'Dull.')
    """
    return str(example.label), example.text


@dataclass(frozen=True)
class DataSet:
    """One data set. Its module defines it as DATA_SET and has its name.

    `public` gives what students are given, the same in every checkout; `hidden` makes the test set of a seed, which
    follows from the course secret. `readme` is its section in the README beside the notebook, `files` are further files
    of its folder, such as a licence. `downloads` names entries of `data/manifest.toml`.

    No release may hold a text of `withheld`. `hidden_in` finds texts that look like hidden ones, whatever the secret.
    `row` gives the fields of one example under `columns`.
    """

    name: str
    public: Callable[[], Splits]
    hidden: Callable[[int], Sequence[Any]]
    readme: Callable[[], str]
    withheld: Callable[[], Iterable[str]] = tuple
    hidden_in: Callable[[str], Iterable[str]] = lambda text: ()
    files: Callable[[], Mapping[str, bytes]] = dict
    downloads: tuple[str, ...] = ()
    columns: tuple[str, ...] = ("label", "text")
    row: Callable[[Any], tuple[str, ...]] = label_and_text

    @property
    def header(self) -> str:
        return "\t".join(self.columns)

    def lines(self, examples: Iterable[Any]) -> list[str]:
        """Tab-separated rows, one a line. Raises ValueError for a field that cannot stand in one."""
        return ["\t".join(map(_field, self.row(example))) for example in examples]


def _field(text: str) -> str:
    # any character that some reader takes for the end of a line or a field, not only tab and newline
    if text.splitlines() != [text] or "\t" in text:
        raise ValueError(f"a text with a tab or a line break, or none, cannot be a row: {text!r}")
    return text
