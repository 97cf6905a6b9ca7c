"""Makes this repository an nbgrader course: every stock `nbgrader` command works in its root."""

import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821 (nbgrader provides it)

# nbgrader starts `alembic` by name and imports the preprocessors below by name, also where no environment is activated
_root, _bin = str(Path(__file__).resolve().parent), str(Path(sys.executable).parent)
if _bin not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join((_bin, os.environ.get("PATH", os.defpath)))
if _root not in sys.path:
    sys.path.insert(0, _root)

c.CourseDirectory.course_id = "transformers"
c.CourseDirectory.solution_directory = "solutions"
# what stands beside a notebook is copied to students and beside each submission, except for these
c.CourseDirectory.ignore = [".*", "*.py", "*.pyc", "__pycache__", "*.db", "*.log", "*~", "feedback"]

# --- notebooks: source -> release, solutions ---

c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError()"}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"
c.ClearSolutions.enforce_metadata = True
c.ClearHiddenTests.enforce_metadata = True
c.ClearMarkScheme.enforce_metadata = True

# "OWNER/NAME" where anyone can read the releases: notebooks then get a link to Colab and the address of their data
c.ColabLinks.repository = ""
c.GenerateAssignment.preprocessors = [
    "autograder.notebooks.tidy.TidyNotebook",
    "autograder.notebooks.colab.ColabLinks",
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ClearSolutions",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]
# the stock list with our executor in place of Execute, which stops a cell after 30 seconds and goes on after an error
c.GenerateSolution.preprocessors = [
    "autograder.notebooks.tidy.TidyNotebook",
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.ClearMarkScheme",
    "autograder.notebooks.execute.ExecuteSolution",
]
# stock `generate_solution` refuses an assignment that the gradebook does not know, as on a fresh clone
c.GenerateSolution.pre_convert_hook = "autograder.notebooks.nbgrader_convert.enter_assignment"

# `nbgrader validate` runs the whole notebook; training demonstrations take longer than its 30 seconds a cell
c.Execute.timeout = 600

# --- grading ---

import warnings  # noqa: E402

from sqlalchemy.exc import SAWarning  # noqa: E402

from autograder.feedback.page import rendering_config  # noqa: E402
from autograder.nbgrader_plugin.late import believe_arrivals_only  # noqa: E402

c.Autograde.pre_convert_hook = "autograder.nbgrader_plugin.gradebook.before_autograde"
c.Autograde.exporter_class = "autograder.nbgrader_plugin.preprocessors.SubmissionExporter"
c.Autograde.sanitize_preprocessors = []  # SandboxedGrade reads the submission and rebuilds it on the release
# without AssignLatePenalties: what lateness costs is computed at export, when due dates are final; and without
# CheckCellMetadata, which takes its time: the marks of the skeleton's cells were checked when it was released
c.Autograde.autograde_preprocessors = [
    "autograder.nbgrader_plugin.preprocessors.SandboxedGrade",
    "autograder.nbgrader_plugin.marks.SaveMarks",
    "autograder.nbgrader_plugin.preprocessors.SaveResult",
]
# a `timestamp.txt` inside a submission is the student's word; see the module for where times come from
believe_arrivals_only()
# feedback pages and the formgrader show what students wrote
c.merge(rendering_config())
# nbgrader 0.9 is older than SQLAlchemy 2.1, which warns of how it is used
warnings.filterwarnings("ignore", category=SAWarning, module=r"nbgrader\.")
