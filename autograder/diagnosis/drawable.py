"""Parts of an answer that can be drawn beside the right ones."""

from typing import Any

import torch

ROWS, COLUMNS = 16, 24
Part = tuple[str, torch.Tensor, torch.Tensor]  # what it is in words, the right one, the one that was found


def drawable(right: Any, found: Any) -> list[Part]:
    """Parts of an answer that are matrices of the same small shape in both."""
    if isinstance(right, tuple | list) and isinstance(found, tuple | list) and len(right) == len(found) <= 3:
        names = ("first", "second", "third")
        return [
            (f"the {names[i]} part of the result", r, f)
            for i in reversed(range(len(right)))  # attention weights say more than what is computed from them
            for _, r, f in drawable(right[i], found[i])
        ]
    if not isinstance(right, torch.Tensor) or not isinstance(found, torch.Tensor) or right.shape != found.shape:
        return []
    small = right.dim() >= 2 and 1 < right.shape[-1] <= COLUMNS and 1 < right.shape[-2] <= ROWS
    plain = right.is_floating_point() and found.is_floating_point() and bool(torch.isfinite(found).all())
    return [("the result", right, found)] if small and plain else []
