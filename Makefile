# make repro   set everything up and run the pipeline        make test   lint, types and tests
# make bench   measure speed and memory (a quarter of an hour on two cores that do nothing else)
# make harden  try to break it (an hour on two cores), and write docs/reliability.md
# All set up what they need in .venv first; VENV=/elsewhere uses an environment that stands there.

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

.PHONY: repro test bench harden setup
repro: setup
	dvc repro

test: setup
	ruff check .
	ruff format --check .
	mypy
	pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

bench: setup
	python -m benchmarks

harden: setup
	@echo "Installing atheris; where it can't be, the fuzzer works without it"
	-python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[robustness]'
	python -m tests.robustness

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; say which: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.lock: a minute or three the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@
