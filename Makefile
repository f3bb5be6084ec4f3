# make demo: set up everything and run the main job on embedded data.
# make test: set up everything and run linters, type checker and tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo docs web wheel test lint bench sanitize test-gpu bench-gpu clean

help:
	@sed -n 's/^# make/make/p' Makefile

# make setup: create .venv and install gated with all extras into it.
setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/gated demo

# make docs: build the documentation into docs/_build/html; a warning is an error.
docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# make web: bundle the pages of web/ into src/gated/inspect/bundles; it takes node and npm.
web:
	cd web && npm ci --silent --no-audit && npm run --silent build

# make wheel: build dist/*.whl with the catalogue's kernels inside; it takes minutes, and g++.
wheel: setup
	$(BIN)/python -m gated.cli.prefill build/kernels --prune
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/gated-*.whl

# make lint: formatting, lint and types.
lint: setup
	$(BIN)/ruff format --check src tests bench docs/conf.py hatch_build.py
	$(BIN)/ruff check src tests bench docs/conf.py hatch_build.py
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2

# make bench: the CPU engine beside its peers, on a machine that does nothing else (15 minutes).
bench: $(VENV)/.bench
	$(BIN)/python -m bench.cpu $(BENCH)

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

# make sanitize: the CPU engine's kernels under the address, undefined and thread sanitizers (minutes).
sanitize: setup
	$(BIN)/python -m bench.sanitize $(SANITIZE)

# make test-gpu: tests that need a GPU, by plain python3 with PyTorch; installs nothing (9 minutes).
test-gpu:
	PYTHONPATH=src $(PYTHON) tests/gpu/run.py $(GPU)

# make bench-gpu: the GPU engine beside its peers, by plain python3; installs nothing (9 minutes).
bench-gpu:
	PYTHONPATH=src $(PYTHON) -m bench.gpu $(GPU)

# make clean: remove what setup and the commands made.
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache runs docs/_build docs/catalogue build dist
	rm -f bench/gpu/results/*-dry*.json
