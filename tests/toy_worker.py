"""Preloaded by the Dask workers of the tests: the toy course, at $TOY_COURSE, in place of the real one."""

import os
from pathlib import Path

from autograder.course import assignment as assignments
from tests.toy_course import TOY

assignments.ROOT = Path(os.environ["TOY_COURSE"])
assignments.ASSIGNMENTS["toy"] = TOY
