"""All that a grading process needs, for the process that they are forked from: it imports this module first."""

import gc

gc.disable()  # what imports make stays

import autograder.batch.many  # noqa: E402
import autograder.grading.grade  # noqa: E402, F401

gc.enable()
gc.collect()
gc.freeze()  # no grading process looks through what never changes, which would copy it, too
