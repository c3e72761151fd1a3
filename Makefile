# Every target does its own set-up: a virtual environment in .venv and the extra
# of pyproject.toml that it needs, once, and again when pyproject.toml changes.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# A build without CUDA saves gigabytes; used where pip's configuration offers it.
TORCH_CPU ?= torch==2.13.0+cpu

.PHONY: demo test test-all lint types contracts bench clean help
.DEFAULT_GOAL := help

demo: $(STAMPS)/examples  ## train on real digits, check the gradient, draw the curves
	$(BIN)/python examples/digits.py

test: $(STAMPS)/test  ## the tests and the docstrings' examples, without the slow ones
	$(BIN)/python -m pytest -n $(WORKERS)

test-all: $(STAMPS)/test  ## every test, with many more drawn examples
	MGRAD_HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n $(WORKERS) -m ""

lint: $(STAMPS)/lint  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMPS)/lint  ## strict types of the library
	$(BIN)/mypy

contracts: $(STAMPS)/lint  ## no module imports from a layer above it
	$(BIN)/lint-imports

bench: $(STAMPS)/benchmarks  ## mgrad beside JAX and PyTorch; WORKLOADS="W1 W4" picks
	$(BIN)/python -m benchmarks $(WORKLOADS)

clean:  ## remove the environment, caches and everything generated
	rm -rf $(VENV) build dist *.egg-info .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf benchmarks/results examples/output
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

help:
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

# Set-up ----------------------------------------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	    echo "mgrad needs Python 3.11, 3.12 or 3.13; $(PYTHON) is" \
	         "$$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.13 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/benchmarks: pyproject.toml $(STAMPS)/venv
	$(INSTALL) "$(TORCH_CPU)" 2>/dev/null || echo "no $(TORCH_CPU): using pip's choice"
	$(INSTALL) --editable ".[benchmarks]"
	@touch $@

$(STAMPS)/%: pyproject.toml $(STAMPS)/venv
	$(INSTALL) --editable ".[$*]"
	@touch $@
