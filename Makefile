# make repro   set up the environment and run the pipeline
# make test    run the linter, the type checker and the tests
# make gpu     run the tests that compute and the benchmark of the GPU on a GPU (10 minutes)
# make bench   measure speed and memory (15 minutes on two idle cores)
# make harden  run the robustness tests (an hour on two cores) and write docs/reliability.md
# Every target first sets up .venv; VENV=/path uses an existing environment instead.

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
COMPUTING_TESTS := tests/training tests/nn tests/models tests/predictions tests/reporting/explanation tests/serving

.PHONY: repro test gpu bench harden setup
repro: setup
	dvc repro

test: setup
	ruff check .
	ruff format --check .
	mypy
	pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

gpu: setup
	pytest -n 4 --dist loadfile $(COMPUTING_TESTS)
	python -m benchmarks.gpu

bench: setup
	python -m benchmarks

harden: setup
	@echo "Installing atheris; if this fails, the fuzzer runs without it"
	-python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[robustness]'
	pytest -m harden -n logical --maxprocesses 4 --dist loadfile
	python -m tests.robustness

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; name one: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.lock; this takes one to three minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@
