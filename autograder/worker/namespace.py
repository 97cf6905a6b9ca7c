"""The names that a notebook's cells have defined, and how graders' requests use them.

The same code serves the student's cells inside the sandbox and the reference's cells in the grader's own process.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .wire import Handle

ALIASES = {"gamma": "weight", "beta": "bias", "weight": "gamma", "bias": "beta"}


Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


class Missing(Exception):
    """The notebook does not define a name that the contract asks for."""


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would also queue a call, with its stack, for every kind of device that is not in use
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


class NotebookNamespace:
    """Names and kept objects of one run of a notebook."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.kept: dict[int, Any] = {}
        self.stand_ins: dict[str, dict[str, Any]] = {}

    def get(self, name: str) -> Any:
        """The object that `name` is bound to in the notebook."""
        if name not in self.names:
            raise Missing(name)
        return self.names[name]

    def keep(self, value: Any) -> Handle:
        handle = Handle(len(self.kept))
        self.kept[handle.number] = value
        return handle

    def resolve(self, value: Any) -> Any:
        """`value` with every handle replaced by the object that it stands for."""
        if isinstance(value, Handle):
            return self.kept[value.number]
        if isinstance(value, tuple | list):
            return type(value)(self.resolve(v) for v in value)
        if isinstance(value, dict):
            return {k: self.resolve(v) for k, v in value.items()}
        return value

    def call(self, name: str, args: Arguments, kwargs: Keywords, seed: int) -> Any:
        seed_everything(seed)
        with torch.no_grad():
            return self.get(name)(*self.resolve(args), **self.resolve(kwargs))

    def build(
        self, name: str, args: Arguments, kwargs: Keywords, seed: int, state: dict[str, torch.Tensor] | None
    ) -> Handle:
        seed_everything(seed)
        made = self.get(name)(*self.resolve(args), **self.resolve(kwargs))
        if state is not None:
            self.load(made, state)
        return self.keep(made)

    def forward(self, handle: Handle, args: Arguments, kwargs: Keywords, seed: int, train: bool) -> Any:
        module = self.resolve(handle)
        if isinstance(module, nn.Module):
            module.train(train)
        seed_everything(seed)
        with torch.no_grad():
            return module(*self.resolve(args), **self.resolve(kwargs))

    def method(self, handle: Handle, name: str, args: Arguments, kwargs: Keywords, seed: int) -> Any:
        seed_everything(seed)
        with torch.no_grad():
            return getattr(self.resolve(handle), name)(*self.resolve(args), **self.resolve(kwargs))

    def attribute(self, handle: Handle, path: str) -> Any:
        value = self.resolve(handle)
        for part in path.split("."):
            value = _step(value, part)
        return value

    def parameters(self, module: nn.Module | Handle) -> dict[str, torch.Tensor]:
        """Parameters by path, as `named_parameters` gives them."""
        return {name: p.detach().clone() for name, p in self.resolve(module).named_parameters()}

    def load(self, module: Any, state: dict[str, torch.Tensor]) -> None:
        """Copy tensors into parameters found by attribute path: how a module registers them does not matter."""
        module = self.resolve(module)
        with torch.no_grad():
            for path, value in state.items():
                target = module
                for part in path.split("."):
                    target = _step(target, part)
                if not isinstance(target, torch.Tensor):
                    raise AttributeError(f"'{path}' is not a parameter")
                if target.shape != value.shape:
                    raise ValueError(f"'{path}' has shape {tuple(target.shape)}, not {tuple(value.shape)}")
                target.copy_(value)

    def bind(self, source: str, names: list[str]) -> None:
        """Bind `names` to what the text `source` defines; its text is run once."""
        if source not in self.stand_ins:
            made: dict[str, Any] = {"__name__": "stand_ins"}
            exec(compile(source, "<stand-ins>", "exec"), made)  # the grader's own text, run where the student's runs
            self.stand_ins[source] = made
        for name in names:
            self.names[name] = self.stand_ins[source][name]

    def drive(self, source: str, name: str, inputs: dict[str, Any], seed: int) -> Any:
        """Run `run(space, **inputs)` of a driver, whose text the grader sends."""
        names: dict[str, Any] = {"__name__": f"driver_{name}"}
        exec(compile(source, f"<driver {name}>", "exec"), names)  # the grader's own text, run where the student's runs
        run: Callable[..., Any] = names["run"]
        seed_everything(seed)
        return run(self, **self.resolve(inputs))


def _step(value: Any, part: str) -> Any:
    if part.isdecimal():
        return value[int(part)]
    if not hasattr(value, part) and hasattr(value, ALIASES.get(part, part)):
        return getattr(value, ALIASES[part])
    return getattr(value, part)
