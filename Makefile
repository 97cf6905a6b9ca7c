# Two commands: `make demo` shows the whole course at work, `make test` proves it. Both set up what they need first.
# While you work, `make check` is quick: style, types, and the tests that need no sandbox, model, browser or data.
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export PATH := $(BIN):$(PATH)

.PHONY: demo test check setup lint types doctest clean

demo: setup
	$(BIN)/autograder demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint types doctest
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" tests

setup: $(READY)
	$(BIN)/autograder prepare

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# the examples in docstrings, wherever there are any
doctest: $(READY)
	$(BIN)/python -m pytest -p no:xdist --doctest-modules $$(grep -rlE --include='*.py' '^ *>>> ' autograder)

# a changed lock starts from an empty environment, so that nothing stale is left in it
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 " + "$(MAKECMDGOALS)")'
	@echo "== setting up the environment in $(VENV) (about 2 GB; once)"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --progress-bar on --requirement requirements.lock
	$(BIN)/python -m pip install --no-deps --editable .
	@touch $(READY)

clean:
	rm -rf autograded feedback results submitted gradebook.db
