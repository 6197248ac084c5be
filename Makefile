# make demo       the whole system on a generated burst (ARGS="--trace FILE" for a real one)
# make test       lint, types, import contracts and every test, servers included
# make check      lint, types, and the tests that need no more than one Redis, within a minute
# make bench      this system beside what a user would build instead (ARGS="--seconds 20 --json")
# make bench-40m  forty million rows on one post (ARGS="--rows 1000000")
# make faults     everything fails, and nothing is lost (ARGS="--seed 1 --minutes 5 --json")
# make nightly    every test with ten times the examples, then ten minutes of faults
PY     ?= python3
VENV   := .venv
STAMP  := $(VENV)/.installed

.PHONY: help setup demo check test nightly faults bench bench-40m lint format clean
help:
	@sed -n 's/^# //p' Makefile

setup: $(STAMP)
$(STAMP): pyproject.toml
	$(PY) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)/bin/python -m pip install --quiet --editable ".[embedded]" --group dev
	@touch $@

demo: setup
	$(VENV)/bin/reactions demo $(ARGS)

# Tests wait for servers most of the time, so two processes share a core. A file, or a group of files
# that share servers (tests/support/scheduling.py), runs in one process; the slow ones come first.
PYTEST := $(VENV)/bin/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

check: lint
	$(PYTEST) -m "not slow" $(ARGS)

test: lint
	$(PYTEST) $(ARGS)

nightly: lint
	HYPOTHESIS_PROFILE=nightly $(PYTEST) $(ARGS)
	$(VENV)/bin/python -m chaos --minutes 10

faults: setup
	$(VENV)/bin/python -m chaos $(ARGS)

bench: setup
	$(VENV)/bin/python -m benchmarks suite $(ARGS)

bench-40m: setup
	$(VENV)/bin/python -m benchmarks forty $(ARGS)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m tests.house.luacheck
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
