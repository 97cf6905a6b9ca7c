"""What the course replaces inside nbgrader, held against the nbgrader that is installed.

A failure means: nbgrader changed something that code of ours stands in for, or builds on without being invited to.
Read nbgrader's new version, bring ours up to date, and then enter what `describe` gives into the table below.
"""

import ast
import functools
import hashlib
import inspect
import json
import logging
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbgrader import api
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback, GenerateSolution
from nbgrader.converters.base import BaseConverter
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades, SaveCells
from nbgrader.utils import determine_grade
from traitlets.config import Config

from autograder.feedback.page import CHARSET
from autograder.nbgrader_plugin import late, marks
from autograder.nbgrader_plugin.gradebook import database_url, ensure_gradebook
from autograder.notebooks.nbgrader_convert import NotConverted, convert, course_config
from tests.checkout import ROOT
from tests.nbgrader_course import TINY_NAME, TINY_STEM, Course, scratch_course, tiny_release  # noqa: F401 (a fixture)


@dataclass(frozen=True)
class Piece:
    """A function of another package, as it was when ours was written; `ours` is the file that replaces or mirrors it."""

    module: str
    name: str
    ours: str
    parameters: str
    digest: str


@functools.cache
def text_of(module: str) -> str:
    """The module's file: what the process has put in the function's place does not count."""
    return inspect.getsource(import_module(module))


def describe(text: str, name: str) -> tuple[str, str] | None:
    """Parameters of the function and a digest of its text, however its lines are broken; None where there is none."""
    found: Any = ast.parse(text)
    for part in name.split("."):
        named = [node for node in found.body if getattr(node, "name", "") == part]
        if not named:
            return None
        found = named[-1]
    words = " ".join((ast.get_source_segment(text, found) or "").split())
    return ", ".join(arg.arg for arg in found.args.args), hashlib.sha256(words.encode()).hexdigest()[:12]


def changed(piece: Piece, text: str) -> str | None:
    """What to do about it, in one line; None where the piece is as it was."""
    package = piece.module.partition(".")[0]
    found = describe(text, piece.name)
    if found == (piece.parameters, piece.digest):
        return None
    how = "it is gone" if found is None else f"now: {found}"
    return (
        f"{package} {version(package)} changed {piece.name}, which {piece.ours} replaces: "
        f"compare them, update ours, and then the table in this test ({how})"
    )


PLUGIN = "autograder/nbgrader_plugin/"
# fmt: off
PIECES = (
    Piece("nbgrader.preprocessors.saveautogrades", "SaveAutoGrades.preprocess", PLUGIN + "marks.py", "self, nb, resources", "490104bdb1c3"),
    Piece("nbgrader.preprocessors.saveautogrades", "SaveAutoGrades.preprocess_cell", PLUGIN + "marks.py", "self, cell, resources, cell_index", "681ee94c40e9"),
    Piece("nbgrader.preprocessors.saveautogrades", "SaveAutoGrades._add_score", PLUGIN + "marks.py", "self, cell, resources", "664c034b58ae"),
    Piece("nbgrader.preprocessors.saveautogrades", "SaveAutoGrades._add_comment", PLUGIN + "marks.py", "self, cell, resources", "775851ddee2d"),
    Piece("nbgrader.utils", "determine_grade", PLUGIN + "marks.py", "cell, log", "c249f868879f"),
    Piece("nbgrader.utils", "compute_checksum", PLUGIN + "marks.py", "cell", "81c4bf5cdd44"),
    Piece("nbgrader.preprocessors.savecells", "SaveCells._create_notebook", PLUGIN + "gradebook.py", "self, nb", "e1e3e38524e2"),
    Piece("nbgrader.preprocessors.savecells", "SaveCells._create_grade_cell", PLUGIN + "gradebook.py", "self, cell", "77ba8c31e1e8"),
    Piece("nbgrader.preprocessors.savecells", "SaveCells._create_solution_cell", PLUGIN + "gradebook.py", "self, cell", "3270d70f907c"),
    Piece("nbgrader.preprocessors.savecells", "SaveCells._create_source_cell", PLUGIN + "gradebook.py", "self, cell", "820f0743c3c8"),
    Piece("nbgrader.api", "Gradebook.__init__", PLUGIN + "gradebook.py", "self, db_url, course_id, authenticator", "c1f45d8d3e8d"),
    Piece("nbgrader.api", "Gradebook.close", PLUGIN + "gradebook.py", "self", "2fd72aeb18bb"),
    Piece("nbgrader.api", "get_alembic_version", PLUGIN + "gradebook.py", "", "93285b90cff8"),
    Piece("nbgrader.converters.base", "BaseConverter.run_pre_convert_hook", PLUGIN + "gradebook.py", "self", "f3a2483d736d"),
    Piece("nbgrader.utils", "find_all_files", PLUGIN + "beside.py", "path, exclude", "8948b95deef9"),
    Piece("nbgrader.converters.base", "BaseConverter.init_assignment", PLUGIN + "beside.py", "self, assignment_id, student_id", "d9b3e84ba520"),
    Piece("nbgrader.coursedir", "CourseDirectory.get_existing_timestamp", PLUGIN + "late.py", "self, dest_path", "aa41622e9632"),
    Piece("nbgrader.plugins.latesubmission", "LateSubmissionPlugin.late_submission_penalty", PLUGIN + "late.py", "self, student_id, score, total_seconds_late", "65fd7456d86b"),
    Piece("nbgrader.preprocessors.latesubmissions", "AssignLatePenalties.preprocess", PLUGIN + "late.py", "self, nb, resources", "ba21b30c5117"),
    Piece("nbgrader.converters.base", "BaseConverter.start", PLUGIN + "record.py", "self", "6ebcddc42b78"),
    Piece("nbgrader.converters.base", "BaseConverter.init_notebooks", PLUGIN + "record.py", "self", "4a7fc9b61e85"),
    Piece("nbgrader.converters.base", "BaseConverter.convert_notebooks", PLUGIN + "record.py", "self", "2448465507aa"),
    Piece("nbgrader.converters.base", "BaseConverter.convert_single_notebook", PLUGIN + "record.py", "self, notebook_filename", "28eafb7e95fa"),
    Piece("nbgrader.converters.base", "BaseConverter.write_single_notebook", PLUGIN + "record.py", "self, output, resources", "735096edbef7"),
    Piece("nbgrader.converters.base", "BaseConverter.init_single_notebook_resources", PLUGIN + "preprocessors.py", "self, notebook_filename", "911b4afe1d95"),
    Piece("nbgrader.converters.autograde", "Autograde.init_assignment", PLUGIN + "record.py", "self, assignment_id, student_id", "243612ce9398"),
    Piece("nbgrader.converters.autograde", "Autograde.convert_single_notebook", PLUGIN + "record.py", "self, notebook_filename", "937b0a979812"),
    Piece("nbgrader.converters.autograde", "Autograde._init_preprocessors", PLUGIN + "record.py", "self", "87479f0a93cc"),
    Piece("nbgrader.converters.generate_solution", "GenerateSolution.init_assignment", "autograder/notebooks/build.py", "self, assignment_id, student_id", "cdab59838d62"),
    Piece("nbgrader.converters.generate_feedback", "GenerateFeedback.__init__", "autograder/feedback/page.py", "self, coursedir", "2195821547a3"),
    Piece("nbgrader.preprocessors.getgrades", "GetGrades.preprocess", "autograder/feedback/page.py", "self, nb, resources", "2d3d638ccfe2"),
    Piece("nbgrader.preprocessors.getgrades", "GetGrades._get_score", "autograder/feedback/page.py", "self, cell, resources", "364a13abac64"),
    Piece("nbgrader.preprocessors.getgrades", "GetGrades._get_comment", "autograder/feedback/page.py", "self, cell, resources", "bc591597017f"),
    Piece("nbgrader.server_extensions.formgrader.formgrader", "FormgradeExtension.build_extra_config", "autograder/feedback/page.py", "self", "006ab8d1679b"),
    Piece("nbgrader.server_extensions.formgrader.formgrader", "FormgradeExtension.init_tornado_settings", "autograder/feedback/page.py", "self, webapp", "91f24a0b45b7"),
    Piece("nbconvert.exporters.exporter", "Exporter.from_filename", PLUGIN + "preprocessors.py", "self, filename, resources", "275503583637"),
    Piece("nbconvert.exporters.html", "HTMLExporter.from_notebook_node", "autograder/feedback/page.py", "self, nb, resources", "8a3ba695a06d"),
    Piece("nbconvert.exporters.templateexporter", "TemplateExporter.from_notebook_node", "autograder/feedback/page.py", "self, nb, resources", "24aca44024bf"),
    Piece("nbconvert.exporters.templateexporter", "TemplateExporter._create_environment", "autograder/feedback/page.py", "self", "bb5c107afecd"),
)
# fmt: on


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.name)
def test_a_replaced_piece_is_as_it_was(piece):
    """Parameters and text. A change of the text alone may be harmless, and is to be looked at all the same."""
    if problem := changed(piece, text_of(piece.module)):
        pytest.fail(problem, pytrace=False)
    assert (ROOT / piece.ours).is_file()


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.name)
def test_a_change_is_told_plainly(piece):
    """Another parameter, and no such function."""
    text, name = text_of(piece.module), piece.name.rpartition(".")[2]
    package = piece.module.partition(".")[0]
    start = f"{package} {version(package)} changed {piece.name}, which {piece.ours} replaces: compare them"
    told = changed(piece, re.sub(rf"def {name}\(", f"def {name}(something_new, ", text))
    assert told.startswith(start) and "now: ('something_new" in told
    told = changed(piece, re.sub(rf"(?m)^( *)def {name}\b", r"\g<0>_gone", text))
    assert told.startswith(start) and told.endswith("(it is gone)")
    assert changed(replace(piece, digest="of another text"), text).startswith(start)


def hold(true: bool, what: str, ours: str, package: str = "nbgrader") -> None:
    """Fail with one plain line."""
    if not true:
        pytest.fail(
            f"{package} {version(package)} changed {what}, which {ours} relies on: compare them and update ours",
            pytrace=False,
        )


def test_a_broken_promise_is_told_plainly():
    """One line, without a traceback."""
    with pytest.raises(pytest.fail.Exception, match=rf"^nbgrader {version('nbgrader')} changed x, which y relies on: "):
        hold(False, "x", "y")
    hold(True, "x", "y")


def names(steps: list[Any]) -> list[str]:
    """Of preprocessors that are given as classes or by import strings."""
    return [step.rpartition(".")[2] if isinstance(step, str) else step.__name__ for step in steps]


STEPS = {
    GenerateAssignment: (
        "preprocessors",
        "IncludeHeaderFooter InstantiateTests LockCells ClearSolutions ClearOutput CheckCellMetadata ComputeChecksums "
        "SaveCells ClearHiddenTests ClearMarkScheme ComputeChecksums CheckCellMetadata",
    ),
    GenerateSolution: ("preprocessors", "IncludeHeaderFooter LockCells ClearOutput ClearMarkScheme Execute"),
    GenerateFeedback: ("preprocessors", "GetGrades CSSHTMLHeaderPreprocessor"),
}


@pytest.mark.parametrize("converter", STEPS, ids=lambda converter: converter.__name__)
def test_the_stock_steps_are_those_that_the_configuration_was_made_from(converter):
    """nbgrader_config.py replaces whole lists, so that a new step of nbgrader would be missing."""
    trait, steps = STEPS[converter]
    found = names(getattr(converter, trait).default_args[0])
    hold(found == steps.split(), f"{converter.__name__}.{trait} to {found}", "nbgrader_config.py")


def test_the_stock_steps_of_autograding_are_those_that_ours_stand_for():
    """`SandboxedGrade` stands for the first list and for the first four steps of the second."""
    found = names(Autograde.sanitize_preprocessors.default_args[0])
    known = ["ClearOutput", "DeduplicateIds", "OverwriteKernelspec", "OverwriteCells", "CheckCellMetadata"]
    hold(found == known, f"Autograde.sanitize_preprocessors to {found}", "nbgrader_config.py")
    found = names(Autograde.autograde_preprocessors.default_args[0])
    known = ["Execute", "IgnorePattern", "ClearMetadataPreprocessor", "LimitOutput", "SaveAutoGrades"]
    known += ["AssignLatePenalties", "CheckCellMetadata"]
    hold(found == known, f"Autograde.autograde_preprocessors to {found}", "nbgrader_config.py")


def test_every_setting_of_the_configuration_is_one_of_nbgrader():
    """traitlets drops a setting that no class knows without a word."""
    unknown = []
    for owner, settings in course_config(ROOT, ROOT).items():
        for module in ("nbgrader.preprocessors", "nbgrader.converters", "nbgrader.coursedir", *OWNERS):
            if (cls := getattr(import_module(module), owner, None)) is not None:
                unknown += [f"{owner}.{name}" for name in settings if name not in cls.class_traits()]
                break
        else:
            unknown.append(owner)
    hold(unknown == [], f"the settings {unknown}", "nbgrader_config.py")


OWNERS = ("nbconvert.exporters", "autograder.feedback.page", "autograder.notebooks.colab")


def test_the_gradebook_makes_its_engine_by_a_name_that_is_replaced(course: Course):
    """`Gradebook` looks `create_engine` up in its module, and a disposed engine connects again."""
    ensure_gradebook(course.tiny)
    before = api.create_engine.cache_info()
    for _ in range(2):
        with Gradebook(database_url(course.root)) as gradebook:
            hold([a.name for a in gradebook.assignments] == [TINY_NAME], "Gradebook.close", PLUGIN + "gradebook.py")
    after = api.create_engine.cache_info()
    hold((after.hits - before.hits, after.misses) == (2, before.misses), "Gradebook's engine", PLUGIN + "gradebook.py")


def test_our_gradebook_of_a_release_is_the_one_that_nbgrader_makes(course: Course, tmp_path: Path):
    """The same records with the same values, from stock SaveCells and from `ensure_gradebook`."""
    ensure_gradebook(course.tiny)
    stock = f"sqlite:///{tmp_path / 'stock.db'}"
    with Gradebook(stock) as gradebook:
        gradebook.add_assignment(TINY_NAME)
    names_of = {"notebook": TINY_STEM, "assignment": TINY_NAME, "db_url": stock}
    SaveCells().preprocess(tiny_release(), {"nbgrader": names_of})
    recorded = []
    for url in (stock, database_url(course.root)):
        with Gradebook(url) as gradebook:
            notebook = gradebook.find_notebook(TINY_STEM, TINY_NAME)
            cells = [*notebook.grade_cells, *notebook.solution_cells, *notebook.source_cells, *notebook.task_cells]
            records = [{k: v for k, v in cell.to_dict().items() if k != "id"} for cell in cells]
            recorded.append((json.loads(notebook.kernelspec), sorted(records, key=str)))
    hold(recorded[0] == recorded[1] and len(recorded[0][1]) == 13, "SaveCells", PLUGIN + "gradebook.py")


def test_no_table_of_nbgrader_has_the_name_of_ours():
    """`marked_answer` stands beside nbgrader's tables; a grade's id is a short text."""
    hold("marked_answer" not in api.Base.metadata.tables, "its tables", PLUGIN + "marks.py")
    identity = api.Base.metadata.tables["grade"].columns["id"].type
    hold(getattr(identity, "length", None) == 32, "Grade.id", PLUGIN + "marks.py")


def test_marks_are_saved_cell_by_cell():
    """`SaveMarks` overrides what stock SaveAutoGrades calls for each cell, and leaves it the choice of cells."""
    calls: list[str] = []
    saver = SaveAutoGrades()
    saver._add_score = lambda cell, resources: calls.append(f"score {cell.metadata.nbgrader.grade_id}")
    saver._add_comment = lambda cell, resources: calls.append(f"comment {cell.metadata.nbgrader.grade_id}")
    for index, cell in enumerate(tiny_release().cells):
        saver.preprocess_cell(cell, {}, index)
    known = ["comment double", "score double-tests", "comment triple", "score triple-tests"]
    hold(calls == [*known, "score q1-why", "comment q1-why"], "SaveAutoGrades.preprocess_cell", PLUGIN + "marks.py")
    hold(issubclass(marks.SaveMarks, SaveAutoGrades), "SaveAutoGrades", PLUGIN + "marks.py")


def test_an_output_gives_the_grade_that_our_feedback_relies_on():
    """An error output is no point, none is all points, a number as the result is that many; an answer is for a person."""
    log = logging.getLogger("test")
    _, _, _, tests, *_, answer = tiny_release().cells
    found = [determine_grade(tests, log)]
    tests.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "1.5"})]
    found.append(determine_grade(tests, log))
    tests.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    found.append(determine_grade(tests, log))
    found.append(determine_grade(answer, log))
    answer.source = "Because."
    found.append(determine_grade(answer, log))
    hold(found == [(3, 3), (1.5, 3), (0, 3), (0, 2), (None, 2)], "determine_grade", "autograder/feedback/cells.py")


def test_a_penalty_is_asked_for_by_place():
    """Student, score and seconds, from a plugin that takes its settings from the configuration."""
    plugin = LateSubmissionPlugin(config=Config({"LateSubmissionPlugin": {"penalty_method": "zero"}}))
    hold(plugin.late_submission_penalty("ada", 7.0, 60.0) == 7.0, "LateSubmissionPlugin", PLUGIN + "late.py")
    from nbgrader.preprocessors import AssignLatePenalties

    hold("plugin_class" in AssignLatePenalties.class_traits(), "AssignLatePenalties.plugin_class", PLUGIN + "late.py")


def test_a_course_asks_for_arrival_times_by_folder(tmp_path: Path):
    """STEP/STUDENT/ASSIGNMENT, which is where the file of arrivals is keyed from."""
    course = CourseDirectory(root=str(tmp_path))
    folder = course.format_path(course.submitted_directory, "ada", TINY_NAME)
    hold(Path(folder).parts[-3:] == ("submitted", "ada", TINY_NAME), "CourseDirectory.format_path", PLUGIN + "late.py")
    (tmp_path / "submitted").mkdir()
    (tmp_path / "submitted" / "arrivals.csv").write_text("student,assignment,time\nada,tiny-course,2026-11-22T18:00\n")
    assert late._recorded_arrival(course, folder).hour == 18


class Probe(NbGraderPreprocessor):
    """Keeps what a preprocessor of ours is given."""

    seen: dict[str, Any] = {}  # noqa: RUF012 (one for the test)

    def preprocess(self, nb, resources):
        Probe.seen = {
            **resources["nbgrader"],
            "coursedir": self.parent.parent.coursedir,
            "key": resources["unique_key"],
        }
        return nb, resources


class Broken(NbGraderPreprocessor):
    def preprocess(self, nb, resources):
        raise RuntimeError("the reason")


def with_step(course: Course, step: type[NbGraderPreprocessor]) -> Config:
    shutil.rmtree(course.tiny.release.parent)  # what is there is not made again
    config = course_config(course.root, course.root)
    config.GenerateAssignment.preprocessors = [step]
    config.GenerateAssignment.no_database = True
    return config


def test_a_preprocessor_finds_the_course_and_the_names(course: Course):
    """Its parent is the exporter, whose parent is the converter, which has the course's directories."""
    convert(GenerateAssignment, TINY_NAME, with_step(course, Probe))
    known = {"student": ".", "assignment": TINY_NAME, "notebook": TINY_STEM, "key": TINY_STEM}
    hold(known.items() <= Probe.seen.items(), "the resources of a notebook", PLUGIN + "preprocessors.py")
    hold(Probe.seen["coursedir"].root == str(course.root), "BaseConverter.start", PLUGIN + "preprocessors.py")


def test_a_failed_step_is_logged_with_its_traceback(course: Course):
    """nbgrader raises without the reason, which stands at the end of what it has logged."""
    with pytest.raises(NotConverted) as refused:
        convert(GenerateAssignment, TINY_NAME, with_step(course, Broken))
    hold("RuntimeError: the reason" in str(refused.value), "what it logs", "autograder/notebooks/nbgrader_convert.py")


@pytest.mark.parametrize(("raised", "passes"), [(ValueError, False), (SystemExit, True)])
def test_a_hook_gets_names_and_stops_nbgrader_by_systemexit_alone(raised, passes):
    """Every other error of a hook is swallowed."""

    def hook(assignment, student, notebooks):
        raise raised(f"{assignment} {student} {notebooks}")

    converter = SimpleNamespace(pre_convert_hook=hook, log=logging.getLogger("test"), notebooks=["n"])
    converter.coursedir = SimpleNamespace(assignment_id="a", student_id="s")
    told = ""
    try:
        BaseConverter.run_pre_convert_hook(converter)
    except SystemExit as stopped:
        told = str(stopped)
    hold(told == ("a s ['n']" if passes else ""), "BaseConverter.run_pre_convert_hook", PLUGIN + "gradebook.py")


def test_files_beside_a_notebook_are_found_by_a_name_that_is_replaced(monkeypatch, tmp_path):
    """`BaseConverter.init_assignment` looks `find_all_files` up in its module."""
    from nbgrader.converters import base

    asked = []
    monkeypatch.setattr(base, "find_all_files", lambda path, exclude: asked.append(path) or [])
    converter = SimpleNamespace(
        _format_source=lambda *_: str(tmp_path), _format_dest=lambda *_: "", coursedir=SimpleNamespace(ignore=[])
    )
    BaseConverter.init_assignment(converter, TINY_NAME, "ada")
    hold(asked == [str(tmp_path)], "BaseConverter.init_assignment", PLUGIN + "beside.py")


def test_the_feedback_template_is_where_and_what_it_was():
    """GenerateFeedback knows its folder; it has one place for our policy and takes its typesetter by a macro."""
    settings = GenerateFeedback().config.HTMLExporter
    hold(settings.template_name == "feedback", "GenerateFeedback's template", "autograder/feedback/page.py")
    template = Path(settings.extra_template_basedirs[0]) / "feedback" / "index.html.j2"
    text = template.read_text(encoding="utf-8")
    hold(text.count(CHARSET) == 1, "the head of its template", "autograder/feedback/page.py")
    hold(text.count("mathjax()") == 1, "the typesetter of its template", "autograder/feedback/page.py")
    printed = set(re.findall(r"resources\.nbgrader\.(\w+)", text))
    known = {"notebook", "score", "max_score", "late_penalty"}
    hold(printed == known, f"what its template prints to {printed}", "autograder/feedback/page.py")


def test_notebooks_are_checked_without_a_grammar_of_web_addresses():
    """autograder/__init__.py hides rfc3987_syntax, which jsonschema imports if it can, for a format that none here has."""
    ours = "autograder/__init__.py"
    program = (
        "import autograder, nbformat, sys; print(sys.modules['rfc3987_syntax'], nbformat.v4.new_notebook().nbformat)"
    )
    program += (
        "; nbformat.validate(nbformat.from_dict({'nbformat': 4, 'nbformat_minor': 5, 'metadata': 1, 'cells': []}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    hold(done.stdout == "None 4\n" and "ValidationError" in done.stderr, "the check of a notebook", ours, "jsonschema")
    used = inspect.getsource(import_module("jsonschema._format"))
    block = r"with suppress\(ImportError\):\s+from rfc3987_syntax import"
    hold(bool(re.search(block, used)), "how it looks for rfc3987_syntax", ours, "jsonschema")
    schemas = Path(nbformat.__file__).parent.rglob("*.schema.json")
    asked = {found for path in schemas for found in re.findall(r'"format":\s*"([^"]+)"', path.read_text())}
    hold(not any("iri" in one for one in asked), f"the formats of a notebook to {asked}", ours, "nbformat")
