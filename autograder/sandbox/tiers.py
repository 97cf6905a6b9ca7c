"""Which confinement there is on this machine."""

from typing import Literal

from autograder.sandbox import bubblewrap

Tier = Literal["namespaces", "none"]


class NoSandbox(Exception):
    """Grading would run unknown code without confinement."""


def choose(wanted: Literal["auto", "none"]) -> Tier:
    """The strongest tier that works here; `none` only where it was asked for."""
    if wanted == "none":
        return "none"
    reason = bubblewrap.works()
    if reason is None:
        return "namespaces"
    raise NoSandbox(
        f"no sandbox on this machine ({reason}): grade on Linux with unprivileged user namespaces, "
        "or pass --sandbox none for files of your own"
    )
