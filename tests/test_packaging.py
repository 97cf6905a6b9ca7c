"""What is installed: the wheel holds the whole package and nothing else, and declares what it imports."""

import ast
import functools
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from autograder import student_check
from autograder.publishing.packages import student_requirements
from tests.checkout import ROOT
from tests.this_course import ASSIGNMENTS

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = [Requirement(line) for line in SETTINGS["project"]["dependencies"]]
DEVELOPMENT = [Requirement(line) for line in SETTINGS["project"]["optional-dependencies"]["dev"]]
PYTHONS = ("3.11", "3.12", "3.13")
# declared although nothing imports them, and why
USED_OTHERWISE = {
    "jupyterlab": "where students and instructors open the notebooks",
    "seaborn": "students draw with it, where they want to",
    "gguf": "transformers reads the language model with it",
    "accelerate": "transformers reads the language model with it",
    "playwright": "drives the browser in tests/browser, which are skipped where there is none",
    "pytest-xdist": "`make test` runs on several cores",
    "ruff": "`make lint`",
    "mypy": "`make types`",
    "setuptools": "builds the wheel, in a test of this module",
}


def tracked(place: str) -> list[Path]:
    """Files below `place` that git knows, or would with the next commit."""
    line = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", place]
    found = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [Path(name) for name in found if (ROOT / name).is_file()]


def modules(*places: str) -> list[Path]:
    """Python files below these places; samples are submissions, and some are broken on purpose."""
    return [p for place in places for p in tracked(place) if p.suffix == ".py" and "samples" not in p.parts]


def imported(paths: list[Path]) -> dict[str, set[str]]:
    """Top-level modules outside the standard library, each with the files that import them."""
    found: dict[str, set[str]] = {}
    for path in paths:
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            for name in imports(node):
                if name not in sys.stdlib_module_names:
                    found.setdefault(name, set()).add(path.as_posix())
    return found


def imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        yield node.module.partition(".")[0]


installed = functools.cache(packages_distributions)


def distributions(module: str) -> set[str]:
    return {str(canonicalize_name(name)) for name in installed().get(module, [module])}


def names(requirements: list[Requirement]) -> set[str]:
    return {str(canonicalize_name(requirement.name)) for requirement in requirements}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel that is built from what git knows, without a network."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in (*tracked("autograder"), *tracked("data"), *tracked("tests"), Path("pyproject.toml")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    (folder / "autograder" / "graders" / "__pycache__").mkdir()
    (folder / "autograder" / "graders" / "__pycache__" / "old.cpython-311.pyc").touch()
    line = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "."]
    subprocess.run([*line, "--wheel-dir", str(folder / "built")], cwd=folder, check=True, capture_output=True)
    (built,) = (folder / "built").glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        return set(opened.namelist())


def test_the_wheel_holds_every_file_of_the_package(wheel):
    """Modules, graders, drivers, the bank, samples, styles: what git knows below autograder/, and no other file."""
    inside = {name for name in wheel if name.startswith("autograder/")}
    assert inside == {path.as_posix() for path in tracked("autograder")}


def test_the_wheel_installs_one_package(wheel):
    """No `data`, no `tests`: such names would clash with those of others."""
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"autograder"}


def test_what_the_package_imports_is_declared_or_part_of_it():
    """Each module that is neither Python's nor the package's own comes from a declared distribution."""
    declared = names(DEPENDENCIES)
    found = imported(modules("autograder", "nbgrader_config.py"))
    missing = {
        module: sorted(places)[:3]
        for module, places in found.items()
        if module != "autograder" and not distributions(module) & declared
    }
    assert missing == {}


def test_what_is_declared_is_used():
    """By the package or a notebook, or for a reason that is written down."""
    found = imported(modules("autograder", "source", "nbgrader_config.py"))
    used = set().union(*map(distributions, found)) | USED_OTHERWISE.keys()
    assert names(DEPENDENCIES) - used == set()


def test_development_tools_are_declared_and_used():
    """Tests import nothing else than the package's dependencies and the tools for development."""
    found = imported(modules("tests"))
    # a helper program runs inside autograder/ and names its subpackages alone
    local = {"tests", "autograder", "data"} | {path.parent.name for path in modules("autograder")}
    local |= {path.stem for path in modules("tests")}
    missing = {m for m in found.keys() - local if not distributions(m) & names(DEPENDENCIES + DEVELOPMENT)}
    used = set().union(*map(distributions, found)) | USED_OTHERWISE.keys()
    assert missing == set() and names(DEVELOPMENT) - used == set()


def test_students_get_what_their_part_imports():
    """The published modules and the notebooks run with the packages that students are given."""
    published = [
        Path("autograder") / name for name in student_check.published(ASSIGNMENTS.values()) if name.endswith(".py")
    ]
    found = imported([*published, *modules("source")])
    lines = student_requirements(ROOT / "requirements.lock").splitlines()[1:]
    given = names([Requirement(line) for line in lines])
    missing = {module for module in found if module != "autograder" and not distributions(module) & given}
    assert missing == set() and len(published) > 10


def locked() -> dict[str, Version]:
    lines = map(Requirement, (ROOT / "requirements.lock").read_text().splitlines())
    return {str(canonicalize_name(line.name)): Version(str(line.specifier).removeprefix("==")) for line in lines}


def test_the_lock_has_a_version_that_is_declared_of_everything_that_is_declared():
    """What pip installs from the lock is what pyproject.toml allows."""
    lock = locked()
    wrong = [
        str(one) for one in DEPENDENCIES + DEVELOPMENT if lock.get(canonicalize_name(one.name)) not in one.specifier
    ]
    assert wrong == []


def test_the_lock_is_complete():
    """Whatever a locked package requires here is locked, so that nothing comes in another version each month."""
    lock, missing = locked(), set()
    for name in lock:
        try:
            lines = map(Requirement, requires(name) or [])
        except PackageNotFoundError:  # for another system than this one
            continue
        for below in lines:
            if below.marker is None or below.marker.evaluate({"extra": ""}):
                missing |= {canonicalize_name(below.name)} - lock.keys()
    assert missing == set()


def test_nbgrader_has_an_upper_bound():
    """Internals of it are replaced, which another minor version may change: see test_nbgrader_internals.py."""
    (nbgrader,) = [one for one in DEPENDENCIES if one.name == "nbgrader"]
    assert "0.9.99" in nbgrader.specifier and "0.10" not in nbgrader.specifier and "1.0" not in nbgrader.specifier


def test_python_versions_are_those_that_are_named():
    """The oldest is the one that ruff and pip hold the code to."""
    project = SETTINGS["project"]
    prefix = "Programming Language :: Python :: "
    assert tuple(c.removeprefix(prefix) for c in project["classifiers"] if c.startswith(prefix)) == PYTHONS
    assert project["requires-python"] == f">={PYTHONS[0]}"
    assert SETTINGS["tool"]["ruff"]["target-version"] == "py" + PYTHONS[0].replace(".", "")
