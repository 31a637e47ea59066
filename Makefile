# Every target works from a fresh clone; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
LOCK := constraints.txt
PYTEST := -m pytest -n 2 --dist worksteal -m
# Or INSTALL="uv pip install --python .venv", where uv is installed.
INSTALL ?= $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
# A study of one's own is real.
PROFILE ?= $(if $(STUDY),real,demo)
.PHONY: help setup lock test-latest demo study demo-data test test-slow test-representative test-all test-matrix bench lint format upstream

help:
	@echo "make setup      .venv with the locked versions of everything (6 GB, two minutes)"
	@echo "make demo       setup, then the shortest study on the embedded synthetic corpus (9 to 12 minutes)"
	@echo "make study      setup, then a whole study: PROFILE=demo (68 runs, synthetic), poster or slurm; your own: STUDY=my_study.yaml (PROFILE is then real); OPTIONS=--dry_run"
	@echo "make demo-data  setup, then the synthetic stand-in for both corpora in data/"
	@echo "make test       setup, then the tests (6 to 10 minutes, two processes)"
	@echo "make test-slow  setup, then the tests that take longer"
	@echo "make test-all   both"
	@echo "make test-matrix setup, then the tests of the packages under ten settings of processor, threads and locale (an hour or two)"
	@echo "make bench      setup, then steps of SimCLR and crops on this machine, compared with a plain SpeechBrain recipe"
	@echo "make upstream   setup, then the recipes as pull requests for SpeechBrain, and its own checks on them: SB=its checkout (5 minutes)"
	@echo "make test-latest  the tests with the newest versions that pyproject.toml allows, in .venv-latest"
	@echo "make lock       setup, then renew constraints.txt: OPTIONS=--upgrade for the newest versions"
	@echo "make lint       setup, then ruff, yamllint and codespell as SpeechBrain has them, and the layers of docs/architecture.md"

setup: $(READY)
	@$(BIN)/python tools/check_environment.py

$(READY): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else "error: Python %d.%d is not supported; pass another one (3.11 to 3.14): make setup PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint $(LOCK) --editable '.[dev,study]'
	@touch $@

# Keeps what is locked where it can; OPTIONS=--upgrade takes the newest.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate $(OPTIONS) --output-file $(LOCK) pyproject.toml

test-latest:
	$(PYTHON) -m venv --clear $(VENV)-latest
	$(VENV)-latest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,study]'
	$(VENV)-latest/bin/python tools/check_environment.py
	$(VENV)-latest/bin/python $(PYTEST) "not slow"

demo: $(READY)
	$(BIN)/python -m recipes.study.run miniature

study: $(READY)
	$(BIN)/python -m recipes.study.run $(PROFILE) $(if $(STUDY),--study '$(STUDY)') $(OPTIONS)

demo-data: $(READY)
	$(BIN)/python -m data_prep.synthetic data

# Two processes share two cores: more threads would wait for each other.
test test-slow test-representative test-latest: export OMP_NUM_THREADS ?= 1

test: $(READY)
	$(BIN)/python $(PYTEST) "not slow"

test-slow: $(READY)
	$(BIN)/python $(PYTEST) slow

# The cheapest slow test of each promise, for CI.
test-representative: $(READY)
	$(BIN)/python $(PYTEST) representative

test-all: test test-slow

test-matrix: $(READY)
	$(BIN)/python tools/numeric_matrix.py

bench: $(READY)
	$(BIN)/python benchmarks/speed.py

upstream: $(READY)
	@test -n "$(SB)" || { echo "error: make upstream needs SpeechBrain: git clone https://github.com/speechbrain/speechbrain, then make upstream SB=speechbrain" >&2; exit 2; }
	$(BIN)/python tools/export_upstream.py --sb '$(SB)' --out results/upstream/tree --check

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --no-warnings .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
