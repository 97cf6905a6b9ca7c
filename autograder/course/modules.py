"""Import a module of an assignment's folder, in this checkout or in a course elsewhere."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[1]


def module_at(path: Path) -> ModuleType:
    """The module in the file `path`, imported once a process; under its own name where this package holds it."""
    if path.is_relative_to(PACKAGE):
        return importlib.import_module(".".join([PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts]))
    name = f"course:{path}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
