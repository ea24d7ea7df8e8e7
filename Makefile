# Everything runs inside .venv, which the first target that needs it creates. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
# Of `make torture`: which seeds, and seconds for each.
SEEDS ?= 1-20
DURATION ?= 60
# Processes that run tests side by side; a test is given to whoever is free.
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed
# The build whose hot modules are compiled, see setup.py: installed as a wheel, in an environment of its own.
COMPILED_VENV ?= .venv-compiled
COMPILED_STAMP := $(COMPILED_VENV)/.installed
# What the wheel is made of.
SOURCES := setup.py $(wildcard src/lanebus/*.py wire/*.py conf/*.py conf/*.toml broker/*.py adapters/*.py cli/*.py \
  examples/*.py examples/arena/*.py)
PYTEST := $(BIN)/python -m pytest
SIDE_BY_SIDE := -n $(WORKERS) --dist worksteal
# Of `make bench`: measures to take (all by default), recorded matches, other options of `python -m benchmarks`.
MEASURES ?=
# COMPILED=1 measures the compiled build, in the environment that `make compiled` sets up.
COMPILED ?=
BENCH_PYTHON = $(if $(COMPILED),$(COMPILED_VENV),$(VENV))/bin/python
BENCH_TRACES = $(addprefix --trace ,$(if $(TRACES),$(or $(wildcard $(TRACES)),$(TRACES))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help check test lint longlife demo torture wheel test-wheel compiled test-compiled bench bench-quick bench-tools bench-reconnect bench-restart bench-stopped bench-flood bench-commands clean

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

# Adapters meet a broker in a thread here; what starts processes is left to `make test`.
check: lint ## style, types and the tests of wire, conf, cores and documents, without coverage: a minute
	$(PYTEST) $(SIDE_BY_SIDE) -m "not system" tests/wire tests/conf tests/broker tests/adapters tests/test_*.py

test: lint ## style, types and all tests, with coverage; WORKERS=1 for one after the other
	$(PYTEST) $(SIDE_BY_SIDE) --cov --cov-report=term --ignore tests/link
	$(PYTEST) $(SIDE_BY_SIDE) tests/link # both cores on a link that is not: thousands of steps, too slow under coverage

longlife: $(STAMP) ## what make test does for seconds, for as long as months bring: half an hour
	LANEBUS_LONG=1 $(PYTEST) $(SIDE_BY_SIDE) --timeout 7200 --durations 5 -m longlife tests/broker tests/adapters tests/link

demo: $(STAMP) ## a broker, an arena and some players on this machine
	$(BIN)/lanebus demo

torture: $(STAMP) ## twenty runs of a minute with every fault; SEEDS="1-20" DURATION=60 TRACES="FILE..."
	$(BIN)/lanebus torture --seeds "$(SEEDS)" --duration $(DURATION) \
	  $(if $(TRACES),--matches 2 $(addprefix --trace ,$(or $(wildcard $(TRACES)),$(TRACES))))

wheel: $(STAMP) ## build the wheel, install it elsewhere and run it there
	.ci/check-wheel $(BIN)/python

test-wheel: $(STAMP) ## the same, and all tests against the installed wheel
	.ci/check-wheel $(BIN)/python --tests

$(COMPILED_STAMP): pyproject.toml $(SOURCES) | $(STAMP)
	LANEBUS_COMPILE=1 .ci/install-wheel $(BIN)/python $(COMPILED_VENV) dev,bench
	@touch $@

compiled: $(COMPILED_STAMP) ## build the compiled wheel and install it in .venv-compiled; needs a C compiler

# Those of compiled modules, and whole systems; nothing of the command or the benchmarks is compiled.
test-compiled: $(COMPILED_STAMP) ## the tests of the bus against the compiled wheel; TESTS="tests/wire ..." for others
	.ci/use-wheel $(COMPILED_VENV) --compiled \
	  $(or $(TESTS),tests/wire tests/broker tests/adapters tests/link tests/system) $(SIDE_BY_SIDE)

# What only benchmarks need: clients of other buses, their servers, plots.
$(BENCH_STAMP): $(STAMP)
	@echo "installing what benchmarks need into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

# Servers from Debian. Where they cannot be installed, the report says which were not measured.
bench-tools: $(if $(COMPILED),compiled,$(BENCH_STAMP))
	@for tool in redis-server mosquitto; do \
	  PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null && continue; \
	  echo "installing $$tool"; \
	  { [ "$$(id -u)" = 0 ] && apt-get install -y -q --no-install-recommends $$tool >/dev/null 2>&1; } || \
	    echo "$$tool cannot be installed here (as root: apt-get install $$tool); it is not measured" >&2; \
	done

bench: bench-tools ## every measure, beside other buses: an hour; MEASURES="throughput ..." TRACES="FILE..." OPTIONS=--quick COMPILED=1
	$(BENCH_PYTHON) -m benchmarks $(MEASURES) $(OPTIONS) $(BENCH_TRACES)

bench-quick: $(if $(COMPILED),compiled,$(STAMP)) ## what got slower since figures were kept, in two minutes; OPTIONS=--keep keeps them; COMPILED=1
	$(BENCH_PYTHON) -m benchmarks --guard $(OPTIONS) $(BENCH_TRACES)

bench-reconnect: $(STAMP) ## a broker is killed under a thousand attachments: how soon all are back
	$(BIN)/python benchmarks/reconnect_storm.py

bench-restart: $(STAMP) traces ## a broker is restarted under a match: the longest gap. TRACES="FILE..."
	$(BIN)/python benchmarks/planned_restart.py $(firstword $(TRACES))

bench-stopped: $(STAMP) traces ## a receiver stands still for 20 s: what it costs the others. TRACES="FILE..." RUNS=3
	$(BIN)/python benchmarks/stopped_receiver.py $(TRACES) --runs $(or $(RUNS),3)

bench-flood: $(STAMP) traces ## a client sends as fast as it can beside a match: what it costs the others. TRACES="FILE..." RUNS=3
	$(BIN)/python benchmarks/flooding_client.py $(TRACES) --runs $(or $(RUNS),3)

bench-commands: $(STAMP) ## questions to a broker with 5,000 sessions: what they cost the critical lane
	$(BIN)/python benchmarks/commands_latency.py

.PHONY: traces
traces:
	@test -n "$(TRACES)" || { echo 'name recorded matches: make $(MAKECMDGOALS) TRACES="match.jsonl.gz ..."' >&2; exit 2; }

clean: ## remove what the targets above have made
	rm -rf $(VENV) $(COMPILED_VENV) build dist *.egg-info src/*.egg-info .coverage .coverage.* htmlcov \
	  .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
