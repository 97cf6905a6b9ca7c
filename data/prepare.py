"""Set-up of the data: fetch what the assignments need and lay out what students are given."""

from collections.abc import Sequence

from autograder.assignments import ASSIGNMENTS, ROOT
from data.download import cache_folder, fetch
from data.errors import DataError
from data.manifest import sources
from data.models import prepare_model
from data.publish import write_public
from data.secret import course_secret

# The data sets whose public rows stand beside each assignment's notebook.
PUBLISHED: dict[str, tuple[str, ...]] = {
    "transformer-fundamentals": ("movie_snippets", "clause_order"),
    "llm-internals": (),
}


def prepare(names: Sequence[str] | None = None, quiet: bool = False) -> None:
    """Prepare the data of the assignments `names` (all by default); what is there and intact is kept.

    Fetches and checks the downloads, converts models, makes the course secret if there is none, and writes the public
    rows beside each notebook, from where nbgrader copies them into the release. Raises DataError.
    """
    for name in PUBLISHED if names is None else names:
        if name not in PUBLISHED:
            raise DataError(f"{name}: no such assignment has data; known are {', '.join(PUBLISHED)}")
        models = ASSIGNMENTS[name].models
        for source in sources().values():
            if name in source.assignments and source.name not in models:
                fetch(source.name, quiet)
        for model in models:
            prepare_model(model, cache_folder(), quiet)
        course_secret()
        if PUBLISHED[name]:
            folder = ASSIGNMENTS[name].source.parent / "data"
            write_public(folder, PUBLISHED[name])
            if not quiet:
                print(f"{name}: public rows are in {folder.relative_to(ROOT)}", flush=True)
