"""All systems on the same submissions, one after the other; what each costs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from autograder.bench.measure import Cost, cost_of, remains
from autograder.bench.notebook import EPOCHS, NAME
from autograder.bench.peers import environment, plain_environment
from autograder.bench.scratch_courses import lay_out_nbgrader, lay_out_otter, lay_out_ours
from autograder.course.assignment import Assignment
from autograder.course.course import VARIABLE, course_at
from autograder.demo.submissions import place_samples, sample_file
from autograder.faults import Fault
from autograder.nbgrader_plugin.gradebook import ensure_gradebook

ONE_CORE = "one core"
GREEDY = {"ivan"}  # samples whose lists grow until they are ended
FLOOR = {"all": "floor: all cells and checks", "definitions": "floor: definitions and checks"}


@dataclass(frozen=True)
class Row:
    """One system's cost for `count` submissions."""

    system: str
    count: int
    cost: Cost

    @property
    def seconds(self) -> float:
        """Wall seconds a submission."""
        return self.cost.wall / self.count

    @property
    def processor(self) -> float:
        """Processor seconds a submission."""
        return self.cost.cpu / self.count


@dataclass(frozen=True)
class Where:
    """Wall seconds a submission, by phase, of one submission after another in one process."""

    mode: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class BigClass:
    """A class that was graded in one go: its cost, and processes and folders that were there afterwards only.

    `notebook` is an assignment's name, or the benchmark's own.
    """

    notebook: str
    mode: str
    cores: int
    row: Row
    left: tuple[str, ...]


class Failed(Fault):
    """A system did not grade the submissions; one line."""


def measure(
    folder: Path, peers: Path, count: int, cores: int, step: Callable[[str], None], epochs: int = EPOCHS
) -> list[Row]:
    """The floor, alone and on all cores at once, then every system once, in scratch folders below `folder`.

    Peers, which grade one submission after another, have all cores; of ours only what is so named has one.
    """
    floors = (("all", 1), ("all", cores), ("definitions", 1))
    rows = [_floor(mode, count, processes, epochs) for mode, processes in floors]
    for system, prepare in _systems(folder, peers, cores, epochs):
        step(system)
        command, where, variables = prepare(count)
        cost = cost_of(command, where, variables, 1 if system.endswith(ONE_CORE) else None)
        if cost.code != 0:
            last = cost.output.strip().splitlines()[-1:] or ["it said nothing"]
            raise Failed(f"{system} ended with exit code {cost.code}: {last[0][:300]}")
        rows.append(Row(system, count, cost))
    return rows


def big_class(folder: Path, count: int, cores: int, mode: str) -> BigClass:
    """Grade a whole class's copies of the benchmark's notebook in one run."""
    line, course, variables = _ours(folder / f"class-{cores}-{mode}", count, cores, mode)
    return _in_one_go(NAME, mode, count, cores, line, course, variables)


def real_class(folder: Path, assignment: Assignment, count: int, cores: int) -> BigClass:
    """Grade a whole class's submissions of an assignment: the demonstration's samples, again and again.

    This is `autograder grade`, which writes results and feedback, and no gradebook. A sample that takes all memory it
    is allowed is left out, since how much memory grading itself needs could not be seen beside it.
    """
    place = folder / f"class-{cores}-{assignment.name}"
    placed = [sample for sample in place_samples(assignment, place / "samples") if sample.student not in GREEDY]
    samples = [sample_file(assignment, place / "samples", sample) for sample in placed]
    paths = [place / f"student{number}.ipynb" for number in range(count)]
    for path, sample in zip(paths, cycle(samples), strict=False):
        shutil.copy(sample, path)
    own = Path(sys.executable).parent
    line = [str(own / "autograder"), "grade", *map(str, paths), "--assignment", assignment.name]
    line += ["--output", str(place / "results"), "--jobs", str(cores), "--quiet"]
    return _in_one_go(assignment.name, "definitions", count, cores, line, place, plain_environment(own))


def _in_one_go(
    notebook: str, mode: str, count: int, cores: int, line: list[str], course: Path, variables: Mapping[str, str]
) -> BigClass:
    before = set(remains())
    cost = cost_of(line, course, variables, cores)
    if cost.code != 0:
        raise Failed(f"a class of {count} was not graded: {cost.output[-300:]}")
    row = Row(f"ours, a class of {count}", count, cost)
    return BigClass(notebook, mode, cores, row, tuple(sorted(set(remains()) - before)))


def where_time_goes(folder: Path, count: int) -> list[Where]:
    """Our own phases, in both modes."""
    found = []
    for mode in ("all", "definitions"):
        course = folder / f"phases-{mode}"
        lay_out_ours(course, count)
        done = subprocess.run(
            [sys.executable, "-m", "autograder.bench.phases", mode],
            env=plain_environment(Path(sys.executable).parent) | {VARIABLE: str(course)},
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise Failed(f"the phases could not be measured: {done.stderr.strip()[-300:]}")
        found.append(Where(mode, json.loads(done.stdout)))
    return found


def _floor(mode: str, count: int, processes: int, epochs: int) -> Row:
    """The cells and the checks alone, in processes that have imported everything and work at the same time."""
    line = [sys.executable, "-m", "autograder.bench.floor", str(count), mode, str(epochs)]
    started = [
        subprocess.Popen(line, env=plain_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    said = [process.communicate() for process in started]
    if any(process.returncode != 0 for process in started):
        raise Failed(f"the floor could not be measured: {said[0][1].strip()[-300:]}")
    walls, cpus = zip(*(map(float, out.split()) for out, _ in said), strict=True)
    name = FLOOR[mode] if processes == 1 else f"{FLOOR[mode]}, {processes} at once"
    return Row(name, count * processes, Cost(max(walls), sum(cpus), 0, 0, ""))


Prepared = tuple[list[str], Path, dict[str, str]]


def _ours(course: Path, count: int, jobs: int, mode: str, epochs: int = EPOCHS) -> Prepared:
    """The course with its gradebook, which nbgrader's has from `generate_assignment`, too."""
    lay_out_ours(course, count, epochs)
    ensure_gradebook(course_at(course).named(NAME))
    own = Path(sys.executable).parent
    line = [str(own / "autograder"), "autograde", NAME, "--jobs", str(jobs), "--execute", mode, "--quiet"]
    return line, course, plain_environment(own) | {VARIABLE: str(course)}


def _systems(
    folder: Path, peers: Path, cores: int, epochs: int = EPOCHS
) -> Iterator[tuple[str, Callable[[int], Prepared]]]:
    own = Path(sys.executable).parent

    def ours(jobs: int, mode: str) -> Callable[[int], Prepared]:
        return lambda count: _ours(folder / f"ours-{jobs}-{mode}", count, jobs, mode, epochs)

    def nbgrader(count: int) -> Prepared:
        course = folder / "nbgrader"
        lay_out_nbgrader(course, count, epochs)
        variables = plain_environment(own)
        made = cost_of([str(own / "nbgrader"), "generate_assignment", NAME], course, variables)
        if made.code != 0:
            raise Failed(f"nbgrader generate_assignment: {made.output[-300:]}")
        return [str(own / "nbgrader"), "autograde", NAME], course, variables

    def otter(count: int) -> Prepared:
        course = folder / "otter"
        paths = lay_out_otter(course, count, epochs)
        programs = environment(peers)
        variables = plain_environment(programs)
        python = str(programs / "python")
        options = ["-t", "tests", "-o", "autograder.zip", "--no-environment", "--no-requirements"]
        zipped = cost_of([python, "-m", "otter", "generate", *options], course, variables)
        if zipped.code != 0:
            raise Failed(f"otter generate: {zipped.output[-300:]}")
        lines = [f"{python} -m otter run -a autograder.zip -o {p.parent} --no-logo {p} || exit 1" for p in paths]
        (course / "all.sh").write_text("\n".join(lines))
        return ["sh", "all.sh"], course, variables

    yield "nbgrader autograde", nbgrader
    yield "otter run", otter
    yield f"ours, everything run again, {ONE_CORE}", ours(1, "all")
    yield f"ours, everything run again, {cores} cores", ours(cores, "all")
    yield f"ours, {ONE_CORE}", ours(1, "definitions")
    yield f"ours, {cores} cores", ours(cores, "definitions")
