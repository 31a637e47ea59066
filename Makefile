# Every target works from a fresh clone; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.DEFAULT_GOAL := help
PROFILE ?= demo
.PHONY: help setup demo study demo-data test test-slow bench lint format upstream

help:
	@echo "make setup      .venv with everything (5 GB, some minutes)"
	@echo "make demo       setup, then the shortest study on the embedded synthetic corpus (3 minutes)"
	@echo "make study      setup, then a whole study: PROFILE=demo (68 runs, synthetic), real, poster or slurm, STUDY=my_study.yaml, OPTIONS=--dry_run"
	@echo "make demo-data  setup, then the synthetic stand-in for both corpora in data/"
	@echo "make test       setup, then the tests (10 to 13 minutes, two processes)"
	@echo "make test-slow  setup, then the tests that take longer"
	@echo "make bench      setup, then how fast this machine is beside a plain SpeechBrain recipe (12 minutes)"
	@echo "make upstream   setup, then the recipes as pull requests for SpeechBrain, and its own checks on them: SB=its checkout (5 minutes)"
	@echo "make lint       setup, then ruff, yamllint and codespell as SpeechBrain has them"

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else "Python %d.%d is not supported; pass another one: make setup PYTHON=python3.12 (3.10 to 3.13)" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,study]'
	@touch $@

demo: $(READY)
	$(BIN)/python -m recipes.study.run miniature

study: $(READY)
	$(BIN)/python -m recipes.study.run $(PROFILE) $(if $(STUDY),--study '$(STUDY)') $(OPTIONS)

demo-data: $(READY)
	$(BIN)/python -m data_prep.synthetic data

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

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

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
