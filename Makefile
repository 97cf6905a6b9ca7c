# Two commands: `make demo` shows the whole course at work, `make test` proves it. Both set up what they need first.
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export PATH := $(BIN):$(PATH)

.PHONY: demo test setup lint clean

demo: setup
	$(BIN)/autograder demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

setup: $(READY)
	$(BIN)/autograder prepare

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

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
