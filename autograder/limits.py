"""Limits on a submission: what its workers may use, how long it may take, what is read of its file.

No honest solution comes near any of them. Three kinds stand elsewhere: the sizes of one reply, one error and one cell's
outputs in `worker/bounds.py`, since the worker, which sees nothing else of this package, holds to them, too; how much
of a text, formula or picture a feedback page shows in `feedback/`, and how much of a value is compared in
`diagnosis/sketch.py` and `grading/expect.py`, each beside the code whose time it bounds.
"""

MEMORY_BYTES = 4 * 2**30  # of all processes of a worker together; honest ones need 0.7 GB, with a language model 1.5
ADDRESS_BYTES = 6 * 2**30  # address space of one process, so that one huge tensor is an error and not the worker's end
PROCESSES = 128  # and threads, of the sandbox's user
FILE_BYTES = 64 * 2**20
SCRATCH_BYTES = 256 * 2**20
SCRATCH_FILES = 5_000
OPEN_FILES = 256
CPU_SECONDS = 600
WATCH_SECONDS = 0.2  # between two looks at a worker's memory and files

START_SECONDS = 60.0  # until the worker has imported torch and answers
CELL_SECONDS = 30.0  # one set-up, solution or added cell
DEMO_SECONDS = 240.0  # one demonstration cell, with `--execute all`
CALL_SECONDS = 10.0  # one call into a student's function
GRACE_SECONDS = 2.0  # after a soft limit, before the worker is killed
TOTAL_SECONDS = 270.0  # a submission from start to result
TIMEOUTS_PER_CELL = 2  # after so many the cell's other tests are not tried

SUBMISSION_BYTES = 50 * 2**20
CELLS = 2000
OUTPUTS = 1000  # of all cells together; what comes after them is not read
PARSED_CHARACTERS = 200_000  # a tree takes some hundred times the memory of its text
PARSED_IN_ALL = 500_000  # of one submission: parsing the whole of a file would take minutes
PARTS = 2_000_000  # lists and objects of one file: each takes about 80 bytes of memory for 2 of the file
VALUES = 4_000_000  # numbers, texts and keys of one file, by their commas: each may take 80 bytes for 5 of the file
MESSAGE_CHARACTERS = 1500
SHOWN_PICTURE_BYTES = 32 * 2**20  # of all cells of a graded notebook together; one cell's limits: `worker/bounds.py`
SHOWN_CHARACTERS = 4_000_000


def resource_limits(uid: int | None, *, gpu: bool = False) -> dict[str, int]:
    """What the worker sets on itself before it runs anything of the student's.

    CUDA reserves more addresses than any machine has memory: with a GPU only the watch on memory in use is left.
    """
    limits = {
        "AS": -1 if gpu else ADDRESS_BYTES,  # RLIM_INFINITY
        "NPROC": PROCESSES,
        "FSIZE": FILE_BYTES,
        "NOFILE": OPEN_FILES,
        "CPU": CPU_SECONDS,
        "CORE": 0,
    }
    return limits | ({"uid": uid} if uid is not None else {})
