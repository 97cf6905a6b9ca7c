"""Find data sets by name: in an assignment's own folder, or among those that several assignments use."""

from collections.abc import Iterable

from autograder.course.assignment import Assignment
from autograder.course.course import course_at
from autograder.course.modules import module_at
from autograder.datasets.data_set import DataSet
from autograder.faults import DataError

FOLDER = "data_sets"


def data_set(assignment: Assignment, name: str) -> DataSet:
    """The data set that the assignment calls so. Raises DataError where there is none."""
    places = [assignment.graders / FOLDER / f"{name}.py", assignment.graders.parent / FOLDER / f"{name}.py"]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise DataError(f"{assignment.name}: no data set '{name}': write {FOLDER}/{name}.py in its folder of graders")
    made = getattr(module_at(found), "DATA_SET", None)
    if not isinstance(made, DataSet) or made.name != name:
        raise DataError(f"{assignment.name}: {FOLDER}/{name}.py must define DATA_SET, a DataSet called '{name}'")
    return made


def data_sets_of(assignment: Assignment) -> tuple[DataSet, ...]:
    """The data sets whose public rows stand beside the assignment's notebook."""
    return tuple(data_set(assignment, name) for name in assignment.data_sets)


def data_sets_beside(assignment: Assignment) -> tuple[DataSet, ...]:
    """Every data set of the course that the assignment belongs to: none of them may leak into any release."""
    return tuple({one.name: one for one in _of_all(course_at(assignment.root).assignments.values())}.values())


def _of_all(assignments: Iterable[Assignment]) -> Iterable[DataSet]:
    for assignment in assignments:
        yield from data_sets_of(assignment)
