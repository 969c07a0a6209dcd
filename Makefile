# Two commands do everything, set-up included: `make serve` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
HOST ?= 127.0.0.1
PORT ?= 8000
# The JavaScript SDK, and the validator of AsyncAPI documents. Where there is no npm, their tests skip by name.
PACKAGES := web tests/asyncapi/validator
NODE := $(if $(shell command -v npm),$(PACKAGES:%=%/node_modules/.package-lock.json))

.PHONY: serve test lint types bench autobahn conformance install clean

serve: .venv/installed $(NODE)  ## the seven systems, a channel room and the playground on http://127.0.0.1:8000
	$(BIN)/hubbub serve --host $(HOST) --port $(PORT)

test: .venv/installed $(NODE)  ## the whole suite; what needs Chromium or Node skips by name where that is missing
	scripts/test

lint: .venv/installed
	scripts/lint

types: .venv/installed
	scripts/types

bench: .venv/bench       ## compare side by side; writes benchmarks/results/
	$(BIN)/python -m benchmarks

autobahn: .venv/installed
	scripts/autobahn

conformance: .venv/installed  ## other people's suites, as far as a package index has them
	scripts/conformance

install: .venv/installed $(NODE)

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e . --group dev
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	npm ci --prefix $* --loglevel=error
	@touch $@

.venv/bench: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt --group bench
	@touch $@

clean:
	rm -rf .venv $(PACKAGES:%=%/node_modules) reports .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
