"""Random inputs for graders."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


class Draw:
    """A source of random inputs.

    >>> Draw("a seed").integers(0, 9, (5,)).tolist() == Draw("a seed").integers(0, 9, (5,)).tolist()
    True
    >>> sorted(Draw("a seed").shuffled("abc")), Draw("a seed").mask(4, 3).shape
    (['a', 'b', 'c'], torch.Size([4, 3]))

    `hidden_seeds` gives the seeds of hidden data sets by name; without it the inputs are public, so that a message may
    show what follows from them.
    """

    def __init__(self, seed: bytes | str, hidden_seeds: Callable[[str], int] | None = None) -> None:
        raw = seed.encode() if isinstance(seed, str) else seed
        self.generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(raw).digest()[:7], "big"))
        self._hidden_seeds = hidden_seeds

    @property
    def public(self) -> bool:
        return self._hidden_seeds is None

    def hidden_seed(self, name: str) -> int | None:
        """The seed of the hidden part of the data set `name`; None where the inputs are public."""
        return None if self._hidden_seeds is None else self._hidden_seeds(name)

    def normal(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator) * scale

    def uniform(self, low: float, high: float, shape: Sequence[int] = ()) -> torch.Tensor:
        return torch.rand(tuple(shape), generator=self.generator) * (high - low) + low

    def integers(self, low: int, high: int, shape: Sequence[int] = ()) -> torch.Tensor:
        """Integers from `low` up to, not including, `high`."""
        return torch.randint(low, high, tuple(shape), generator=self.generator)

    def integer(self, low: int, high: int) -> int:
        return int(self.integers(low, high))

    def seed(self) -> int:
        """A seed for a call into a component that draws random numbers itself."""
        return self.integer(0, 2**31)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items))]

    def permutation(self, n: int) -> torch.Tensor:
        return torch.randperm(n, generator=self.generator)

    def derangement(self, n: int) -> torch.Tensor:
        """A permutation that leaves nothing in its place."""
        while True:
            order = self.permutation(n)
            if bool((order != torch.arange(n)).all()):
                return order

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return [items[i] for i in self.permutation(len(items)).tolist()]

    def orthogonal(self, n: int) -> torch.Tensor:
        return torch.linalg.qr(self.normal(n, n))[0]

    def mask(self, *shape: int, keep: float = 0.6) -> torch.Tensor:
        """Zeros and ones (int64); every row of the last dimension holds at least one of each."""
        mask = (torch.rand(*shape, generator=self.generator) < keep).long()
        first = self.integers(0, shape[-1], shape[:-1])
        other = (first + self.integers(1, shape[-1], shape[:-1])) % shape[-1]
        mask.scatter_(-1, first.unsqueeze(-1), 1)
        return mask.scatter_(-1, other.unsqueeze(-1), 0)

    def state(self, parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Random values for parameters: matrices that keep the scale of what they act on, gains between 0.5 and 1.5."""
        return {path: self._parameter(path, old.shape) for path, old in parameters.items()}

    def words(self, n: int) -> list[str]:
        """Different made-up words of four to eight letters."""
        found: dict[str, None] = {}
        while len(found) < n:
            found["".join(self.choice(SYLLABLES) for _ in range(self.integer(2, 5)))] = None
        return list(found)

    def _parameter(self, path: str, shape: torch.Size) -> torch.Tensor:
        if len(shape) > 1:
            return self.normal(*shape, scale=1.5 * shape[-1] ** -0.5)
        return self.uniform(0.5, 1.5, shape) if path.endswith("gamma") else self.normal(*shape, scale=0.5)
