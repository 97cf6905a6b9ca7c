"""The benchmark: the same work and the same marks for every system, and numbers that are measured."""

import json
import subprocess
import sys
from dataclasses import replace

import nbformat

from autograder.bank.versions import correct_variants, wrong_versions
from autograder.bench.measure import Cost, cost_of
from autograder.bench.modes import grade, ways
from autograder.bench.modes import submissions as submissions_of_the_bank
from autograder.bench.notebook import CHECKS, NAME, SOLUTIONS, submissions
from autograder.bench.peers import plain_environment
from autograder.bench.scratch_courses import lay_out_nbgrader, lay_out_otter, lay_out_ours
from autograder.bench.systems import Row, _systems, big_class, real_class, where_time_goes
from autograder.bench.tables import chart, table, table_of_classes, table_of_phases, table_of_waits
from autograder.bench.waits import help_of_the_command, public_checks
from autograder.course.course import VARIABLE
from tests.this_course import ASSIGNMENTS


def test_all_systems_get_the_same_submissions(tmp_path):
    """The sources of the students' cells are the same in all three layouts."""
    ours = lay_out_ours(tmp_path / "ours", 3)
    lay_out_nbgrader(tmp_path / "nbgrader", 3)
    otter = lay_out_otter(tmp_path / "otter", 3)
    for number, (one, other) in enumerate(zip(ours, otter, strict=True)):
        third = tmp_path / "nbgrader" / "submitted" / f"student{number}" / "bench" / "bench.ipynb"
        assert one.read_bytes() == other.read_bytes() == third.read_bytes()
    assert len(submissions(1)[0].cells) == 24 and CHECKS.keys() == SOLUTIONS.keys()


def test_our_marks_are_what_the_submissions_deserve(tmp_path, tier):
    """The solved ones get full points, the one with a mistake loses one function's."""
    lay_out_ours(tmp_path / "course", 3)
    done = cost_of(
        [sys.executable, "-m", "autograder", "autograde", NAME, "--jobs", "1", "--quiet"],
        tmp_path,
        plain_environment() | {VARIABLE: str(tmp_path / "course")},
    )
    assert (done.code, done.output) == (0, "")
    results = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "course" / "results" / NAME).iterdir()}
    assert {student: one["score"] for student, one in results.items()} == {
        "student0": 8.0,
        "student1": 8.0,
        "student2": 6.0,
    }
    assert (tmp_path / "course" / "gradebook.db").is_file()
    assert (tmp_path / "course" / "feedback" / "student2" / "bench" / "bench.html").is_file()
    assert done.wall > 0 and done.cpu > 0 and done.memory > 50 * 2**20


def test_the_cost_of_a_command_counts_what_it_starts(tmp_path):
    """Processor time and memory of a child's child are part of a command's cost; its exit code is kept."""
    busy = "import time\nx = bytearray(80 * 2**20)\nend = time.monotonic() + 3\nwhile time.monotonic() < end: pass"
    line = [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); sys.exit(3)",
    ]
    found = cost_of(line, tmp_path, plain_environment())
    assert found.code == 3 and 0.4 < found.cpu < 4 and found.memory > 80 * 2**20


def test_the_floor_is_a_number():
    """Cells and checks alone run in well under the time of any system."""
    done = subprocess.run(
        [sys.executable, "-m", "autograder.bench.floor", "1", "definitions", "2"],
        capture_output=True,
        text=True,
        check=True,
    )
    wall, cpu = map(float, done.stdout.split())
    assert 0 < cpu <= wall * 1.5 and wall < 60


def test_table_and_picture_show_every_system(tmp_path):
    """Ratios are those to each peer."""
    cost = cost_of([sys.executable, "-c", "pass"], tmp_path, plain_environment())
    rows = [Row("nbgrader autograde", 2, cost), Row("otter run", 2, cost), Row("ours, one core", 4, cost)]
    text = table(rows)
    assert all(row.system in text for row in rows) and text.strip().endswith("| 2.0 | 2.0 |")
    assert chart(rows).startswith(b"<?xml")


def test_phases_add_up_to_the_whole(tmp_path, tier):
    """Each phase of our own grading takes some time, and more where demonstrations are run again."""
    all_again, definitions = where_time_goes(tmp_path, 3)
    assert all(seconds > 0 for where in (all_again, definitions) for seconds in where.seconds.values())
    assert all_again.seconds["student's cells"] > definitions.seconds["student's cells"]
    assert "student's cells" in table_of_phases([all_again, definitions])


def test_other_waits_are_measured(tier):
    """The help of the command line, and the slowest public check of an assignment."""
    found = [help_of_the_command(), public_checks(ASSIGNMENTS["transformer-fundamentals"])]
    assert all(0 < wait.seconds < 60 for wait in found)
    assert "-tests`" in found[1].what and "`autograder --help`" in table_of_waits(found)


def test_memory_that_grows_shows():
    """The last quarter of a run beside its second: one is flat, the other doubles."""
    cost = Cost(1.0, 1.0, 8, 0, "", (1, 9, 5, 5, 5, 5, 5, 5))
    assert cost.growth() == 1
    assert replace(cost, memory_by_look=(1, 1, 2, 2, 3, 3, 4, 4)).growth() == 2


def test_a_class_in_one_run_is_told_of(tmp_path, tier):
    """Its cost beside that of one core, and what it left."""
    big = replace(big_class(tmp_path, 4, 2, "definitions"), left=("process 7",))
    twice = replace(big.row.cost, wall=2 * big.row.cost.wall)
    text = table_of_classes([replace(big, cores=1, row=replace(big.row, cost=twice)), big])
    assert "| 4, bench | definitions | 2 |" in text and "| 2.00 |" in text
    assert text.endswith("Left behind: process 7.\n")


def test_a_class_of_a_real_assignment_is_graded(tmp_path, tier):
    """What is measured is grading of the demonstration's samples, with a result each."""
    big = real_class(tmp_path, ASSIGNMENTS["llm-internals"], 1, 1)
    assert (big.notebook, big.row.count, big.row.cost.code) == ("llm-internals", 1, 0)
    result = json.loads((tmp_path / "class-1-llm-internals" / "results" / "student0.json").read_text())
    assert result["score"] == result["max_score"] and table_of_classes([big]).count("| 1, llm-internals |") == 1


def test_the_gradebook_is_there_before_the_clock_runs(tmp_path, tier):
    """As nbgrader's is, which `generate_assignment` makes."""
    _, course, _ = next(prepare for system, prepare in _systems(tmp_path, tmp_path, 2) if "one core" in system)(1)
    assert (course / "gradebook.db").is_file() and not (course / "results").exists()


def test_ways_to_grade_are_compared_on_the_bank(tmp_path, tier):
    """Files hold the bank's texts; a way that is run tells marks, costs and what is left behind."""
    assignment = ASSIGNMENTS["transformer-fundamentals"]
    versions = [*wrong_versions(assignment), *correct_variants(assignment)][::250]
    paths = submissions_of_the_bank(assignment, tmp_path, 250)
    assert [p.stem for p in paths if not p.stem.startswith("sample-")] == [v.id for v in versions]
    assert versions[0].source in [cell.source for cell in nbformat.read(paths[-len(versions)], 4).cells]
    blank = [path for path in paths if path.stem == "sample-gita"]
    found = [grade(assignment, blank, way, tmp_path / str(n)) for n, way in enumerate(ways(2)[:3])]
    assert len({one.marks["sample-gita"] for one in found}) == 1 and '"graded"' in found[0].marks["sample-gita"]
    assert all(one.cost.wall > 0 and one.cost.memory_by_look for one in found)
