"""Whether marks depend on how grading runs: `python -m autograder.bench.modes FOLDER EVERY [ASSIGNMENT ...]`.

Grades the demonstration's samples and every EVERY-th version of the misconception bank, wrong and correct, several
times: on all cores, warm; a tenth of them one after another; the samples with everything run again; and all of them on
all cores, cold and in the other order. Says which marks differ, whether memory grew on the way, and what was left
behind. What was stopped goes on when it is run again.
"""

import copy
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from autograder.bank.versions import Correct, Wrong, correct_variants, wrong_versions
from autograder.batch.processes import cores
from autograder.bench.measure import Cost, cost_of, remains
from autograder.bench.peers import plain_environment
from autograder.course.assignment import Assignment
from autograder.course.course import this_course
from autograder.demo.submissions import place_samples, sample_file
from autograder.notebooks.rebuild import grade_id
from autograder.results.result import Mode
from autograder.results.result_file import read_result
from autograder.sandbox.warm import COLD

COMPARED = ("name", "status", "earned", "misconception", "follow_through")


@dataclass(frozen=True)
class Way:
    """One way to grade the same files, or every so many of them, or those whose names begin so."""

    name: str
    jobs: int
    variables: Mapping[str, str]
    backwards: bool = False
    every: int = 1
    beginning: str = ""
    execute: Mode = "definitions"

    def files(self, paths: Sequence[Path]) -> list[Path]:
        chosen = [path for path in paths[:: self.every] if path.name.startswith(self.beginning)]
        return chosen[::-1] if self.backwards else chosen


@dataclass(frozen=True)
class Outcome:
    """What one way gave: its cost, a text for each file that stands for its marks, and what it left behind."""

    way: Way
    cost: Cost
    marks: dict[str, str]
    left: tuple[str, ...]


def ways(cores: int) -> list[Way]:
    return [
        Way("warm", cores, {}),
        Way("warm, one at a time", 1, {}, every=10),
        Way("warm, everything run again", cores, {}, beginning="sample-", execute="all"),
        Way("cold, backwards", cores, {COLD: "1"}, backwards=True),
    ]


def submissions(assignment: Assignment, folder: Path, every: int) -> list[Path]:
    """Files of the samples and of every `every`-th version in the bank."""
    paths = []
    for sample in place_samples(assignment, folder / "samples"):
        placed = sample_file(assignment, folder / "samples", sample)
        paths.append(placed.replace(folder / f"sample-{sample.student}.ipynb"))
    solved = nbformat.read(assignment.solution, as_version=4)
    versions: list[Wrong | Correct] = [*wrong_versions(assignment), *correct_variants(assignment)]
    for version in versions[::every]:
        notebook = copy.deepcopy(solved)
        for cell in notebook.cells:
            if grade_id(cell) == version.cell:
                cell.source = version.source
        paths.append(folder / f"{version.id}.ipynb")
        nbformat.write(notebook, paths[-1])
    return paths


def grade(assignment: Assignment, paths: Sequence[Path], way: Way, output: Path) -> Outcome:
    """Grade `paths` in this way, with everything that is measured on the side."""
    before = set(remains())
    own, files = Path(sys.executable).parent, way.files(paths)
    line = [str(own / "autograder"), "grade", *map(str, files), "--assignment", assignment.name]
    line += ["--output", str(output), "--jobs", str(way.jobs), "--execute", way.execute, "--quiet"]
    output.mkdir(parents=True, exist_ok=True)
    cost = cost_of(line, output, plain_environment(own) | dict(way.variables))
    if cost.code != 0:
        raise SystemExit(f"{way.name}: exit code {cost.code}: {cost.output[-300:]}")
    marks = {path.stem: _marks(output / f"{path.stem}.json") for path in files}
    return Outcome(way, cost, marks, tuple(sorted(set(remains()) - before)))


def _marks(result: Path) -> str:
    found = read_result(result)
    tests = {cell: [[getattr(t, name) for name in COMPARED] for t in c.tests] for cell, c in found.cells.items()}
    return json.dumps([found.status, found.score, tests], sort_keys=True)


def main() -> None:
    folder, every = Path(sys.argv[1]), int(sys.argv[2])
    course = this_course()
    assignments = [course.named(name) for name in sys.argv[3:] or course.assignments]
    paths: dict[str, list[Path]] = {}
    first: dict[str, Outcome] = {}
    different = 0
    for way in ways(cores()):  # one way after another, so that the slowest comes last for all assignments
        for assignment in assignments:
            place = folder / assignment.name
            place.mkdir(parents=True, exist_ok=True)
            files = paths.get(assignment.name) or submissions(assignment, place, every)
            paths[assignment.name] = files
            found = grade(assignment, files, way, place / way.name.replace(" ", "-").replace(",", ""))
            marks = first.setdefault(assignment.name, found).marks
            differing = [name for name, marked in found.marks.items() if marked != marks[name]]
            different += len(differing) + len(found.left)
            print(
                f"{assignment.name}, {way.name}: {len(found.marks)} submissions in {found.cost.wall:.0f} s, "
                f"{len(differing)} with other marks {differing[:9]}, memory at most "
                f"{found.cost.memory / 2**20:.0f} MB, later {found.cost.growth():.2f} of earlier, a worker at most "
                f"{found.cost.worker / 2**20:.0f} MB, left: {found.left}",
                flush=True,
            )
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
