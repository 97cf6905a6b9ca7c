"""Starts a worker in a process group of its own and, when the grader lets go or dies, kills that group.

`python supervisor.py FOLDER COMMAND...`; FOLDER is removed at the end. Standard input is a pipe that the grader holds
open.
Workers of the second tier cannot leave their group, and a group is killed at once, however fast its processes multiply.
"""

import os
import signal
import sys


def main() -> None:
    worker = os.fork()
    if worker == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(sys.argv[2], sys.argv[2:])
    os.closerange(2, 1024)  # the worker's channel among them: its end must show
    while os.read(0, 1):
        pass
    os.killpg(worker, signal.SIGKILL)
    os.waitpid(worker, 0)  # not before: until then nothing else can have its number
    if os.fork() == 0:  # the grader does not wait for a slow disk
        for program in (
            ["chmod", "-R", "u+rwx"],
            ["rm", "-rf", "--one-file-system"],
        ):  # no depth of folders stops these
            os.spawnvp(os.P_WAIT, program[0], [*program, "--", sys.argv[1]])


if __name__ == "__main__":
    main()
