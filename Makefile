# make demo       the whole system on a generated burst (ARGS="--trace FILE" for a real one)
# make test       lint, types, import contracts and every test, servers included
# make bench      this system beside what a user would build instead (ARGS="--seconds 20 --json")
# make bench-40m  forty million rows on one post (ARGS="--rows 1000000")
# make faults     everything fails, and nothing is lost (ARGS="--seed 1 --minutes 5 --json")
PY     ?= python3
VENV   := .venv
STAMP  := $(VENV)/.installed

.PHONY: help setup demo test faults bench bench-40m lint format clean
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

test: lint
	$(VENV)/bin/pytest --numprocesses 2 $(ARGS)

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
