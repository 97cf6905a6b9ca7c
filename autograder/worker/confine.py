"""How a worker gives up, for good and before anything of the student's runs, what a notebook does not need."""

import os
import resource
import struct
from ctypes import create_string_buffer
from pathlib import Path
from typing import Any

SEARCH = 1 << 2  # CAP_DAC_READ_SEARCH


def confine(limits: dict[str, Any]) -> None:
    """Resource limits; then, as far as `limits` says: Landlock, an unused user, no capabilities, fewer system calls.

    Raises OSError, or UnknownMachine, where one of them cannot be had: the worker must not start then.
    """
    for name in ("AS", "NPROC", "FSIZE", "NOFILE", "CPU", "CORE"):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limits[name], limits[name]))
    if not limits.get("sealed"):
        return
    from . import landlock_rules, seccomp
    from .syscalls import call

    # where the machine runs out of memory, the kernel ends this process before any other
    Path("/proc/self/oom_score_adj").write_text("1000")
    rules, allowed = seccomp.rules(gpu="gpu" in limits), limits.get("landlock")
    if allowed:
        made = landlock_rules.ruleset(**allowed)
        os.open("/proc/self", os.O_PATH)  # kept: a folder that the kernel makes anew is no longer the allowed one
        rules += seccomp.rules_without_namespaces(allowed["version"], os.getpid())
    keep = SEARCH if limits.get("search") else 0
    if limits.get("uid"):
        call("prctl", 8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS: else the next line leaves none to keep
        os.setgroups([])
        os.setresgid(limits["uid"], limits["uid"], limits["uid"])
        os.setresuid(limits["uid"], limits["uid"], limits["uid"])
    version, none = struct.pack("=Ii", 0x20080522, 0), struct.pack("=III", 0, 0, 0)
    call("capset", create_string_buffer(version), create_string_buffer(struct.pack("=III", keep, keep, 0) + none))
    call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if allowed:
        landlock_rules.restrict(made)
    seccomp.install(rules)
