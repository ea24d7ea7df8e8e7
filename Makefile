# Everything runs inside .venv, which the first target that needs it creates. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help test lint demo wheel test-wheel bench-reconnect bench-restart clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pyproject.toml is all that an editable installation depends on: edits and new modules are seen without another one.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "lanebus needs Python 3.11 or newer: install it, or name one with  make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot create environments: on Debian or Ubuntu run  apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing lanebus and its development tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

lint: $(STAMP) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## style, types and all tests, with coverage
	$(BIN)/python -m pytest --cov --cov-report=term --ignore tests/link
	$(BIN)/python -m pytest tests/link # both cores on a link that is not: thousands of steps, too slow under coverage

demo: $(STAMP) ## a broker, an arena and some players, on this machine
	$(BIN)/lanebus demo

wheel: $(STAMP) ## build the wheel, install it elsewhere and run it there
	.ci/check-wheel $(BIN)/python

test-wheel: $(STAMP) ## the same, and all tests against the installed wheel
	.ci/check-wheel $(BIN)/python --tests

bench-reconnect: $(STAMP) ## a broker is killed under a thousand attachments: how soon all are back
	$(BIN)/python benchmarks/reconnect_storm.py

bench-restart: $(STAMP) ## a broker is restarted under a match: the longest gap. TRACE=FILE names a recorded match
	@test -n "$(TRACE)" || { echo "name a recorded match: make bench-restart TRACE=match.jsonl.gz" >&2; exit 2; }
	$(BIN)/python benchmarks/planned_restart.py $(TRACE)

clean: ## remove what the targets above have made
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .coverage .coverage.* htmlcov \
	  .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
