"""A stand-in for Google Colab: `python colab_machine.py NOTEBOOK ORDER`, in the folder that the notebook is to run in.

ORDER is JSON: `cells` (grade ids to run), `packages` (name -> version, all that seem to be installed), `files` (address
-> file, all that the network gives). Neither pip nor the network is reached. Prints JSON: the command lines of pip,
the addresses asked for, and the error that stopped it.
"""

import importlib.metadata
import io
import json
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

notebook, order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), json.loads(sys.argv[2])
pip: list[list[str]] = []
asked: list[str] = []


def version(package: str) -> str:
    if package not in order["packages"]:
        raise importlib.metadata.PackageNotFoundError(package)
    return order["packages"][package]


def run(line: list[str], **options: object) -> object:
    if "pip" not in line:
        return real_run(line, **options)
    pip.append(line[1:])
    return types.SimpleNamespace(returncode=1 if "download" in line else 0)


def urlopen(address: str, timeout: float) -> io.BytesIO:
    asked.append(address)
    return io.BytesIO(Path(order["files"][address]).read_bytes())


sources = {c["metadata"].get("nbgrader", {}).get("grade_id"): "".join(c["source"]) for c in notebook["cells"]}
space: dict[str, object] = {"__name__": "__main__"}
error = None
real_version, real_run = importlib.metadata.version, subprocess.run
try:
    for name in order["cells"]:
        if name == "setup-colab":
            importlib.metadata.version, urllib.request.urlopen = version, urlopen
            subprocess.run = run
        exec(compile(sources[name], name, "exec"), space)
        importlib.metadata.version = real_version
except Exception as raised:
    error = f"{type(raised).__name__}: {raised}"
print(json.dumps({"pip": pip, "asked": asked, "error": error}))
