"""Set-up of the data: fetch what the assignments need and lay out what students are given."""

from collections.abc import Iterable

from autograder.course.assignment import Assignment
from autograder.datasets.download import cache_folder, fetch
from autograder.datasets.find import data_sets_of
from autograder.datasets.models import prepare_model
from autograder.datasets.public_files import write_public
from autograder.datasets.secret import course_secret


def prepare(assignments: Iterable[Assignment], quiet: bool = False) -> None:
    """Prepare the data of the assignments; what is there and intact is kept.

    Fetches and checks the downloads, converts models, makes the course secret if there is none, and writes the public
    rows beside each notebook, from where nbgrader copies them into the release. Raises DataError.
    """
    for assignment in assignments:
        data_sets = data_sets_of(assignment)
        for name in dict.fromkeys(name for one in data_sets for name in one.downloads):
            fetch(name, quiet)
        for model in assignment.models:
            prepare_model(model, cache_folder(), quiet)
        course_secret(assignment.root)
        if data_sets:
            folder = assignment.source.parent / "data"
            write_public(folder, data_sets)
            if not quiet:
                print(f"{assignment.name}: public rows are in {folder.relative_to(assignment.root)}", flush=True)
