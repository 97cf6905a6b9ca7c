"""Grade on other machines, by dask.distributed: bytes of notebooks go out, results come back as JSON.

No file system is shared. Each machine has the same version of the course, its data set up, and a sandbox; a worker
process has one thread. An open scheduler runs anybody's code, so that the connection has to be TLS, or stay on this
machine.
"""

import json
import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat

from autograder.batch.digest import course_digest, grading_digest, submission_digest
from autograder.batch.many import Faults, Settings, grade_one
from autograder.course.course import this_course
from autograder.datasets.secret import course_secret
from autograder.faults import Fault
from autograder.files import printable
from autograder.grading.graded import Graded
from autograder.limits import SUBMISSION_BYTES
from autograder.results.result import Mode, Result
from autograder.sandbox.tiers import choose

CONNECT_SECONDS = 30
RETRIES = 2  # of a submission whose worker was lost
HERE = ("127.0.0.1", "localhost", "::1")


class ClusterError(Fault):
    """The cluster cannot be used; one line."""


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler and the files of the TLS connection to it."""

    address: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def grade_on_cluster(
    paths: Sequence[Path],
    settings: Settings,
    cluster: Cluster,
    on_fault: Callable[[Path, str], None] = lambda path, reason: None,
) -> Generator[tuple[Path, Graded], None, None]:
    """Each path with what grading it gave, in the order in which they finish. They are started in the order of `paths`.

    Raises ClusterError, at the end where some could not be graded; `on_fault` hears of each at once.
    """
    from distributed import as_completed
    from distributed.client import FutureCancelledError

    assignment = settings.assignment
    version, secret = course_digest(assignment), course_secret(assignment.root).hex()
    grading = grading_digest(assignment, settings.execute)
    resources = {"GPU": 1} if os.environ.get("COURSE_GPU") == "1" else None
    faults = Faults()
    with _client(cluster) as client, client.as_current():
        waiting = {}
        for number, path in enumerate(paths):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > SUBMISSION_BYTES:
                yield path, grade_one(path, settings)  # a refusal, which needs no worker
                continue
            key = f"grade-{assignment.name}-{path.parent.parent.name}-{submission_digest(path, grading)[:16]}"
            task = (path.name, path.read_bytes(), assignment.name, settings.execute, version, secret)
            options = {"retries": RETRIES, "resources": resources, "priority": -number}
            waiting[client.submit(grade_bytes, *task, key=key, **options)] = path
        try:
            for done in as_completed(list(waiting)):
                path = waiting.pop(done)
                if done.status in ("cancelled", "lost"):  # what futures become when the connection has gone
                    raise ConnectionError
                if done.status != "finished":
                    on_fault(path, _reason(done))
                    faults.add(f"{path.parent.parent.name} ({_reason(done)})")
                    if faults.too_many:
                        break
                    continue
                try:
                    graded = _graded(done.result(), path)
                except ValueError as error:
                    reason = f"the worker's reply is damaged: {printable(str(error))[:200]}"
                    on_fault(path, reason)
                    faults.add(f"{path.parent.parent.name} ({reason})")
                    if faults.too_many:
                        break
                    continue
                faults.none()
                yield path, graded
        except (OSError, FutureCancelledError) as error:
            raise ClusterError(
                f"lost the scheduler {cluster.address} ({type(error).__name__}); what was finished is kept, "
                "run the command again for the rest"
            ) from None
        finally:
            for future in waiting:
                future.release()
    if faults.told:
        raise ClusterError(f"not graded on {cluster.address}: {faults}")


def grade_bytes(name: str, content: bytes, assignment_name: str, execute: Mode, version: str, secret: str) -> str:
    """Grade one notebook where this runs, a Dask worker; JSON of result and notebook. Refuses with RuntimeError."""
    from distributed import get_worker

    assignment = this_course().named(assignment_name)
    if get_worker().state.nthreads != 1:
        raise RuntimeError("a worker needs exactly one thread (dask worker --nthreads 1)")
    if course_digest(assignment) != version:
        raise RuntimeError("a worker has another version of the course, of Python or of torch: update it")
    choose("auto", assignment.root)  # never without a sandbox, whatever the controller asked for
    with tempfile.TemporaryDirectory() as folder:
        secret_file = Path(folder) / "secret"
        secret_file.touch(0o600)
        secret_file.write_text(secret)
        os.environ["COURSE_SECRET_FILE"] = str(secret_file)
        path = Path(folder) / "submission" / Path(name).name
        path.parent.mkdir()
        path.write_bytes(content)
        try:
            graded = grade_one(path, Settings(assignment, "auto", execute))
        finally:
            del os.environ["COURSE_SECRET_FILE"]
    parts = {"result": graded.result.to_json(), "notebook": nbformat.writes(graded.notebook), "lasting": graded.lasting}
    return json.dumps(parts)


def _client(cluster: Cluster) -> Any:
    from distributed import Client, Security

    tls = (cluster.ca, cluster.certificate, cluster.key)
    address = urlsplit(cluster.address if "//" in cluster.address else f"tcp://{cluster.address}")
    if not all(tls) and (any(tls) or address.hostname not in HERE):
        raise ClusterError(
            f"the connection to {cluster.address} would not be encrypted, and an open scheduler runs anybody's code: "
            "start it with TLS and give --tls-ca, --tls-cert and --tls-key"
        )
    if missing := [str(path) for path in tls if path is not None and not path.is_file()]:
        raise ClusterError(f"no such file: {', '.join(missing)}")
    files = {"tls_ca_file": cluster.ca, "tls_client_cert": cluster.certificate, "tls_client_key": cluster.key}
    security = Security(require_encryption=True, **{k: str(v) for k, v in files.items()}) if all(tls) else None
    try:
        return Client(cluster.address, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"no scheduler answers at {cluster.address} ({type(error).__name__})") from None


def _graded(text: str, path: Path) -> Graded:
    """Raises ValueError where the reply is not what `grade_bytes` gives."""
    try:
        parts = json.loads(text)
        notebook = nbformat.reads(parts["notebook"], as_version=4)
        return Graded(Result.from_json(parts["result"]), notebook, parts["lasting"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None


def _reason(future: Any) -> str:
    error = future.exception()
    return " ".join(str(error).split())[:200] if isinstance(error, RuntimeError) else type(error).__name__
