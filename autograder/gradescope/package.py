"""The zip that an instructor uploads: set-up, the command that grades, and the course without students' work."""

import io
import tarfile
import zipfile
from pathlib import Path

from autograder.course.assignment import Assignment
from autograder.datasets.secret import course_secret

SETUP = """#!/usr/bin/env bash
# Run once, while Gradescope builds the image. The base image is an Ubuntu with apt.
set -euo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"
apt-get update -qq
apt-get install -y -qq python3.11 python3.11-venv || apt-get install -y -qq python3 python3-venv
mkdir -p "$root/course"
tar -xf "$root/source/course.tar" -C "$root/course"
python="$(command -v python3.11 || command -v python3)"
"$python" -m venv "$root/venv"
"$root/venv/bin/pip" install --quiet --requirement "$root/course/requirements.lock"
"$root/venv/bin/pip" install --quiet --no-deps --editable "$root/course"
cd "$root/course" && COURSE_CACHE="$root/cache" "$root/venv/bin/python" -m autograder prepare
"""
RUN = """#!/usr/bin/env bash
# Run for each submission. Whatever happens, there is a results.json at the end.
set -uo pipefail
root="${{AUTOGRADER_ROOT:-/autograder}}"
export COURSE_CACHE="$root/cache" OMP_NUM_THREADS=1
out="$(mktemp -d)"
shopt -s nullglob
notebooks=("$root"/submission/*.ipynb)
if [ "${{#notebooks[@]}}" -eq 1 ]; then
    cp -- "${{notebooks[0]}}" "$out/{stem}.ipynb"
    "$root/venv/bin/autograder" grade "$out/{stem}.ipynb" --assignment {name} --output "$out/results" --quiet
fi
mkdir -p "$root/results"
"$root/venv/bin/python" -m autograder.gradescope.results "$root/results/results.json" {stem}.ipynb "$out"/results/*.json
"""
PARTS = ("autograder", "data", "release", "source", "pyproject.toml", "requirements.lock", "README.md")
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache"}


def build(assignment: Assignment) -> bytes:
    """The zip as bytes. It holds the graders, the answers and the course secret: for instructors only."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
        _script(package, "setup.sh", SETUP)
        _script(package, "run_autograder", RUN.format(name=assignment.name, stem=assignment.stem))
        package.writestr("course.tar", _course(assignment.root))
    return made.getvalue()


def _script(package: zipfile.ZipFile, name: str, text: str) -> None:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o755 << 16
    package.writestr(entry, text)


def _course(root: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for part in PARTS:
            archive.add(root / part, arcname=part, filter=_kept)
        secret = tarfile.TarInfo(".course-secret")
        content = course_secret(root).hex().encode() + b"\n"
        secret.size, secret.mode = len(content), 0o600
        archive.addfile(secret, io.BytesIO(content))
    return made.getvalue()


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = set(Path(entry.name).parts)
    return None if parts & LEFT_OUT or entry.name.endswith(".pyc") else entry
