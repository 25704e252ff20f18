# The two commands of a new user are `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A process per core: each test takes one thread of arithmetic (tests/conftest.py). Files keep their order: xdist
# would leave those with the fewest tests for the end, and they are the longest.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 15
INSTALLED := $(VENV)/.installed

.PHONY: quickstart test test-slow check format serve clean help

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(INSTALLED): pyproject.toml requirements.txt
	@command -v cc >/dev/null || { echo "hwnas: TVM links its libraries with a C compiler and none was found; install gcc." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hwnas: Python 3.11 or newer is needed." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

quickstart: $(INSTALLED) ## The whole product on real images and this machine's processor
	$(BIN)/hwnas quickstart

test: $(INSTALLED) ## The tests that take minutes at most
	$(PYTEST)

test-slow: $(INSTALLED) ## The tests that take longer
	$(PYTEST) -m slow

check: $(INSTALLED) ## Lint, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: $(INSTALLED) ## The REST service on this machine's loopback address
	$(BIN)/hwnas serve

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info build
