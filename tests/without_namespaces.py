"""Runs a command where no new namespaces can be made, as in default Docker, so that only the second tier works.

`python -m tests.without_namespaces python -m pytest tests/test_session.py`, as root or as any user.
"""

import os
import sys

from autograder.worker import seccomp
from autograder.worker.syscalls import call

FORBIDDEN = [
    seccomp.Rule("unshare"),
    seccomp.Rule("clone", when=(seccomp.Argument(0, 0, seccomp.NEW_NAMESPACES, differs=True),)),
    seccomp.Rule("clone3", seccomp.ENOSYS),  # its flags cannot be looked at; programs then use clone
]


def main() -> None:
    call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    seccomp.install(FORBIDDEN)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
