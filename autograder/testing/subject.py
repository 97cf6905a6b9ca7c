"""The verbs of a hidden test, the same for a submission in its worker and for the reference in this process."""

import builtins
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch

from autograder.course.assignment import Assignment
from autograder.sandbox.session import Raised
from autograder.testing.expect import Mistake
from autograder.worker.namespace import NotebookNamespace
from autograder.worker.wire import Handle


class Subject(ABC):
    """The few verbs of a grader."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    @abstractmethod
    def request(self, do: str, seconds: float | None, **fields: Any) -> Any:
        """Have the worker's `NotebookNamespace` do one thing."""

    def call(self, name: str, *args: Any, seed: int = 0, seconds: float | None = None, **kwargs: Any) -> Any:
        """Call the function `name` of the notebook."""
        return self.request("call", seconds, name=name, args=_plain(args), kwargs=_plain(kwargs), seed=seed)

    def build(
        self, name: str, *args: Any, state: dict[str, torch.Tensor] | None = None, seed: int = 0, **kwargs: Any
    ) -> "Built":
        """Construct the class `name` of the notebook; copy `state` (tensors by path) into its parameters."""
        handle = self.request(
            "build", None, name=name, args=_plain(args), kwargs=_plain(kwargs), seed=seed, state=state
        )
        return Built(self, handle)

    def drive(self, driver: str, *, seconds: float | None = None, seed: int = 0, **inputs: Any) -> Any:
        """Run a driver file, the assignment's own or one that all share, beside the notebook's code."""
        source = self.assignment.driver(driver).read_text()
        return self.request("drive", seconds, source=source, name=driver, inputs=_plain(inputs), seed=seed)

    @contextlib.contextmanager
    def raises(self, *names: str, symptom: str | None = None) -> Iterator[None]:
        """The code inside must raise one of these built-in exceptions, or a subclass."""
        wanted = " or ".join(names)
        try:
            yield
        except Raised as error:
            if not _is_one_of(error, names):
                raise Mistake(symptom or "Another error than the expected one is raised.", f"Raise {wanted}.") from None
        else:
            raise Mistake(symptom or "No error is raised where one should be.", f"Raise {wanted}.")


class Built:
    """An object that the notebook's code has built, kept where that code runs."""

    def __init__(self, subject: Subject, handle: Handle) -> None:
        self.subject, self.handle = subject, handle

    def forward(self, *args: Any, train: bool = False, seed: int = 0, **kwargs: Any) -> Any:
        """Call the module without gradients, in evaluation mode unless `train`."""
        return self.subject.request(
            "forward", None, handle=self.handle, args=_plain(args), kwargs=_plain(kwargs), seed=seed, train=train
        )

    def method(self, name: str, *args: Any, seed: int = 0, **kwargs: Any) -> Any:
        return self.subject.request(
            "method", None, handle=self.handle, name=name, args=_plain(args), kwargs=_plain(kwargs), seed=seed
        )

    def attribute(self, path: str) -> Any:
        """A dotted attribute, if it is data."""
        return self.subject.request("attribute", None, handle=self.handle, path=path)

    def parameters(self) -> dict[str, torch.Tensor]:
        return self.subject.request("parameters", None, module=self.handle)

    def load(self, state: dict[str, torch.Tensor]) -> None:
        self.subject.request("load", None, module=self.handle, state=state)


class Reference(Subject):
    """The solution cells of the instructor's notebook."""

    def __init__(self, names: dict[str, Any], assignment: Assignment) -> None:
        super().__init__(assignment)
        self.space = NotebookNamespace(names)

    def request(self, do: str, seconds: float | None, **fields: Any) -> Any:
        return getattr(self.space, do)(**fields)


def _plain(value: Any) -> Any:
    """`value` with kept objects replaced by their handles."""
    if isinstance(value, Built):
        return value.handle
    if isinstance(value, tuple | list):
        return type(value)(_plain(v) for v in value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _is_one_of(error: Raised, names: tuple[str, ...]) -> bool:
    bases = tuple(getattr(builtins, n) for n in names)
    return any(isinstance(base := getattr(builtins, n, None), type) and issubclass(base, bases) for n in error.bases)
