"""Names the limit behind an error of the system's, which itself says only that something is used up."""

import errno
import os
import resource

MEGABYTE = 2**20


def limit_behind(error: BaseException) -> str | None:
    """What the sandbox allows, in words, if this error is how a limit shows."""
    text = str(error)
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EMFILE:
        return f"{_limit('NOFILE')} open files"
    if code == errno.EFBIG:
        return f"{_limit('FSIZE') // MEGABYTE} MB a file"
    if code in (errno.ENOSPC, errno.EDQUOT):
        room = os.statvfs(".")
        return f"{room.f_blocks * room.f_frsize // MEGABYTE} MB of files"
    if code == errno.EAGAIN or "can't start new thread" in text:
        return f"{_limit('NPROC')} processes and threads"
    bounded = _limit("AS") != resource.RLIM_INFINITY  # not with a GPU
    if bounded and (isinstance(error, MemoryError) or code == errno.ENOMEM or "allocate memory" in text):
        return f"{_limit('AS') / 2**30:g} GB of memory in one process"
    return None


def _limit(name: str) -> int:
    return resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0]
