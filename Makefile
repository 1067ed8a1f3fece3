# Everything runs in the project's own .venv, set up once by the first target that needs
# it and again only when pyproject.toml or constraints.txt change.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.stamp
DIST ?= dist

DEMO := out/demo
DEMO_DAY := --sessions benchmarks/data/caltech-2019.csv.gz --date 2019-10-29 \
	--capacity-kw 20 --tz America/Los_Angeles

# The environment of the user must not decide which code is run.
unexport PYTHONPATH
unexport PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help setup demo test check wheel clean

help:
	@echo "make demo            a real, congested day in three strategies, its report, and"
	@echo "                     a server on its log (ARGS=--no-serve ends after the report)"
	@echo "make test            the tests (ARGS='-k name' for some of them)"
	@echo "make check           format, lint, types, imports"
	@echo "make wheel           the wheel, in $(DIST)"
	@echo "make clean           removes what the other targets made"
	@echo "make PYTHON=python3.12 setup     sets up .venv with another Python"

setup: $(STAMP)

demo: $(STAMP)
	@rm -rf $(DEMO)
	@$(BIN)/voltledger simulate $(DEMO_DAY) --stations ocpp --out $(DEMO) $(filter-out --no-serve,$(ARGS))
ifeq ($(filter --no-serve,$(ARGS)),)
	@$(BIN)/voltledger serve --store sqlite:///$(DEMO)/voltledger
endif

test: $(STAMP)
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

wheel: $(STAMP)
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip wheel -qq \
		--disable-pip-version-check --no-deps --wheel-dir $(DIST) .
	@ls $(DIST)/voltledger-*.whl

clean:
	rm -rf .venv dist build out .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache

# PIP_CONSTRAINT, unlike --constraint, also holds for what builds the package.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
		echo "voltledger needs Python 3.11 or later: there is no $(PYTHON) here." \
			"Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "voltledger needs Python 3.11 or later: $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1). Name one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: it lacks venv or ensurepip." \
			"On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv (once; about half a minute) ..."
	@$(PYTHON) -m venv .venv
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -qq \
		--disable-pip-version-check --no-input --editable '.[dev]'
	@touch $@
