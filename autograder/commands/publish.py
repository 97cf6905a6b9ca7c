"""`autograder publish`: a folder that students may have, and that nothing else gets into."""

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from autograder.commands.errors import CommandError
from autograder.commands.options import Quiet
from autograder.course.course import this_course

LIST = ".published.json"  # what an earlier call wrote, with SHA-256
CLUTTER = {".ipynb_checkpoints", "__pycache__", ".DS_Store"}


def publish(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one that was published before.")],
    assignment: Annotated[list[str] | None, typer.Option(help="Only this assignment; may be repeated.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write what students may have: notebooks, data, packages, a README. Nothing else gets in."""
    # Whole or not at all; raises CommandError where the folder holds what this command did not write.
    from autograder.commands.progress import Say
    from autograder.notebooks.swap import staging, swap
    from autograder.publishing.layout import student_files
    from autograder.publishing.leak_check import refuse_leaks

    course = this_course()
    chosen = [course.named(name) for name in assignment or course.assignments]
    target = folder.resolve()
    if unknown := _not_ours(target):
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise CommandError(
            f"{folder} holds what was not published by this command, or was changed since: {shown}; name an empty "
            "folder (in a git repository, one inside it), or move these files away"
        )
    files = student_files(chosen)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    files[LIST] = (json.dumps(sums, indent=1) + "\n").encode()
    try:
        with staging(target) as stage:
            built = stage / "built"
            for name, data in files.items():
                (built / name).parent.mkdir(parents=True, exist_ok=True)
                (built / name).write_bytes(data)
            refuse_leaks(built, chosen)
            swap(built, target)
    except OSError as error:
        raise CommandError(f"cannot write {folder} ({error.strerror or error}); what was there is kept") from None
    Say(quiet)(f"{folder}: {len(files)} files for students ({', '.join(one.name for one in chosen)})")


def _not_ours(target: Path) -> list[str]:
    """What a folder holds beside the unchanged files of an earlier call; its name where it is no folder."""
    if not target.exists():
        return []
    if not target.is_dir():
        return [target.name]
    try:
        ours = json.loads((target / LIST).read_text())
        ours = ours if isinstance(ours, dict) else {}
    except (OSError, ValueError):
        ours = {}
    found = [p for p in sorted(target.rglob("*")) if not CLUTTER & set(p.relative_to(target).parts)]
    files = {p.relative_to(target).as_posix(): p for p in found if p.is_symlink() or not p.is_dir()}
    return [name for name, path in files.items() if name != LIST and not _is(path, ours.get(name))]


def _is(path: Path, sha256: str | None) -> bool:
    ordinary = path.is_file() and not path.is_symlink()
    return ordinary and sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
