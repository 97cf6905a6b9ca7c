"""The course secret, from which everything that must not be guessable is derived.

It is made on first use, never leaves this checkout and is ignored by git. With the secret lost or changed, hidden data
is made anew; what students are given does not depend on it.
"""

import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path

from autograder.faults import DataError


def secret_file(root: Path) -> Path:
    """`$COURSE_SECRET_FILE`, else `.course-secret` in the root of the course."""
    chosen = os.environ.get("COURSE_SECRET_FILE")
    return Path(chosen).expanduser() if chosen else root / ".course-secret"


def course_secret(root: Path) -> bytes:
    """The 32 bytes of the secret of the course in `root`; made on first use. Raises DataError for a bad file."""
    path = secret_file(root)
    try:
        if not path.exists():
            create(path)
        text = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"course secret: cannot use {path} ({error.strerror or error}); set COURSE_SECRET_FILE to a file in a "
            "folder you can write to"
        ) from error
    if not re.fullmatch(rb"[0-9a-f]{64}\s*", text):
        raise DataError(
            f"course secret: {path} is damaged (not 64 hexadecimal digits); restore it, or delete it to have all "
            "hidden data made anew"
        )
    return bytes.fromhex(text.decode().strip())


def derive(root: Path, purpose: str) -> int:
    """A 64-bit seed for `purpose` in the course in `root`: HMAC-SHA256 of its name under the secret.

    numpy's `default_rng` and torch's `manual_seed` take it as it is; `numpy.random.seed` wants 32 bits.
    """
    return int.from_bytes(hmac.digest(course_secret(root), purpose.encode(), "sha256")[:8], "big")


def create(path: Path) -> None:
    """Write a new secret to `path`, readable by its owner only, unless another process is first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link fails where the name exists, a rename would not: all processes agree on the first secret.
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink(missing_ok=True)
