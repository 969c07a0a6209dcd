# Two commands do everything, set-up included: `make serve` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
HOST ?= 127.0.0.1
PORT ?= 8000

.PHONY: serve test lint types bench autobahn install clean

serve: .venv/installed   ## the seven systems and the playground on http://127.0.0.1:8000
	$(BIN)/hubbub serve --host $(HOST) --port $(PORT)

test: .venv/installed    ## the whole suite; what needs Chromium or Python 2.7 skips by name where that is missing
	scripts/test

lint: .venv/installed
	scripts/lint

types: .venv/installed
	scripts/types

bench: .venv/bench       ## compare side by side; writes benchmarks/results/
	$(BIN)/python -m benchmarks

autobahn: .venv/installed
	scripts/autobahn

install: .venv/installed

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e . --group dev
	@touch $@

.venv/bench: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt --group bench
	@touch $@

clean:
	rm -rf .venv reports .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
