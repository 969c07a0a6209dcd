# Two commands do everything, set-up included: `make serve` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
HOST ?= 127.0.0.1
PORT ?= 8000
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# Where there is no npm, pages have no JavaScript SDK (web), and the tests that need Node's packages skip by name.
NPM := $(shell command -v npm)
SDK := $(if $(NPM),web/node_modules/.package-lock.json)
VALIDATOR := $(if $(NPM),tests/asyncapi/validator/node_modules/.package-lock.json)
PYRIGHT := $(if $(NPM),tests/typing/pyright/node_modules/.package-lock.json)

.PHONY: serve test lint types bench autobahn conformance wheel install clean

serve:                   ## the example apps, a channel room and the playground on http://127.0.0.1:8000
	@$(MAKE) --no-print-directory -j2 .venv/package $(SDK)
	$(BIN)/hubbub serve --host $(HOST) --port $(PORT)

test: install            ## the whole suite; what needs Chromium or Node skips by name where that is missing
	scripts/test

lint: .venv/dev
	scripts/lint

types: .venv/dev
	scripts/types

bench: .venv/bench       ## compare side by side; writes benchmarks/results/
	$(BIN)/python -m benchmarks

autobahn: .venv/dev
	scripts/autobahn

conformance: .venv/dev   ## other people's suites, as far as a package index has them
	scripts/conformance

wheel: .venv/release $(SDK)  ## the wheel and the source distribution in dist/, checked
	scripts/build

install:                 ## all that the suite needs
	@$(MAKE) --no-print-directory -j2 .venv/dev $(SDK) $(VALIDATOR) $(PYRIGHT)

.venv/bin/python:
	@echo "make: a virtual environment in .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"

.venv/package: .venv/bin/python pyproject.toml constraints.txt
	@echo "make: Hubbub and what it depends on"
	@$(PIP) -e '.[standard]'
	@touch $@

.venv/dev: .venv/package
	@echo "make: the tools for tests"
	@$(PIP) --group dev
	@touch $@

.venv/bench: .venv/dev
	@echo "make: the servers to compare with"
	@$(PIP) --group bench
	@touch $@

.venv/release: .venv/package
	@echo "make: the tools for a release"
	@$(PIP) --group release
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@echo "make: the npm packages of $*"
	@npm ci --prefix $* --loglevel=error
	@touch $@

clean:
	rm -rf .venv web/node_modules tests/asyncapi/validator/node_modules tests/typing/pyright/node_modules dist reports \
	  .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
