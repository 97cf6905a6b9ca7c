"""A picture of a feedback page, for the README: `python -m autograder.demo.screenshot docs/feedback.png`.

For authors: it needs Playwright and a Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from autograder.batch.grade_many import Settings, grade_one
from autograder.course.course import this_course
from autograder.demo.submissions import place_samples, sample_file, samples_of
from autograder.faults import Fault
from autograder.feedback.rendered_page import feedback_page

ASSIGNMENT, STUDENT = "transformer-fundamentals", "ben"
# The cause of a mistake, what it does to values drawn as a picture, and a later part that counts in spite of it.
CELLS = ("sdpa", "sdpa-tests", "mha-tests")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH = 1024  # of the window; the page's own column is narrower
# The other cells are left out, and the sources of the test cells, which the release shows as they are.
LEAVE_OUT = """cells => {
    for (const cell of document.querySelectorAll(".cell"))
        if (!cells.some(name => cell.id === `cell-id=${name}`)) cell.remove();
    for (const cell of document.querySelectorAll(".cell"))
        if (cell.id.endsWith("-tests")) cell.querySelector(".panel-body").remove();
}"""


class NoBrowser(Fault):
    """There is nothing to take the picture with. One line."""


def sample_page() -> str:
    """The feedback page of one of the demonstration's samples, graded now."""
    assignment = this_course().named(ASSIGNMENT)
    (sample,) = (one for one in samples_of(assignment) if one.student == STUDENT)
    with tempfile.TemporaryDirectory() as folder:
        place_samples(assignment, Path(folder))
        graded = grade_one(sample_file(assignment, Path(folder), sample), Settings(assignment))
    return feedback_page(graded.notebook, graded.result, STUDENT)


def take(browser: Any, page: str, picture: Path) -> None:
    """Write how a browser shows CELLS of this page as a PNG file."""
    view = browser.new_page(viewport={"width": WIDTH, "height": 800})
    view.set_content(page)
    view.evaluate(LEAVE_OUT, list(CELLS))
    view.get_by_role("main").locator("#notebook-container").screenshot(path=picture)
    view.close()


def main(picture: Path) -> None:
    """Grade, render, and take the picture. Raises NoBrowser before it grades."""
    from playwright.sync_api import sync_playwright  # no part of what grading needs

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise NoBrowser(f"no browser: install one of {', '.join(BROWSERS)}")
    page = sample_page()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        take(browser, page, picture)
        browser.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (Fault, ImportError) as error:
        sys.exit(f"no picture: {error}")
