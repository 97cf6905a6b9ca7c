"""The command line on the toy course at $TOY_COURSE; a program of its own, for its processes import it, too."""

from autograder.cli import app
from tests import toy_worker  # noqa: F401 (puts the toy course in the real one's place)

if __name__ == "__main__":
    app()
