"""The least that grading can cost, cells and checks, warm: `python -m autograder.bench.floor COUNT MODE EPOCHS`."""

import contextlib
import io
import sys
import time

from autograder.bench.notebook import CALLS, CHECKS, SETUP, submissions


def main() -> None:
    count, mode, epochs = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    made = submissions(count, epochs)
    grade(made[0], mode)  # imports, fonts, the first step of an optimizer
    wall, cpu = time.monotonic(), time.process_time()
    for notebook in made:
        grade(notebook, mode)
    print(time.monotonic() - wall, time.process_time() - cpu)


def grade(notebook: object, mode: str) -> None:
    """Run the cells, and each check in the place of its cell; a failed check takes as long as one that passes."""
    names: dict[str, object] = {}
    for cell in notebook.cells:  # type: ignore[attr-defined]
        if cell.cell_type != "code":
            continue
        name = cell.metadata.nbgrader.grade_id.removesuffix("-tests")
        if cell.metadata.nbgrader.grade:
            source = f"{SETUP[name]}\nfound = {CALLS[name]}\n{CHECKS[name]}"
        elif mode == "definitions" and "demo" in cell.metadata.get("tags", ()):
            continue
        else:
            source = cell.source
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(AssertionError):
            exec(compile(source, f"<{name}>", "exec"), names)  # the benchmark's own text
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():
        plt.figure(number).savefig(io.BytesIO(), format="png")  # what a notebook does with a figure
    plt.close("all")


if __name__ == "__main__":
    main()
