# Everything there is to do with a clone. `make help` lists it.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 5000
export HOST PORT

VENV := .venv
DEMO_VENV := .venv-demo
PY := $(VENV)/bin/python
DEMO_PY := $(DEMO_VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEMO_INSTALLED := $(DEMO_VENV)/.installed
DEMO_REQUIREMENTS := $(wildcard demo/requirements.txt)

# What the tests need besides Python packages; on Debian package and program have one name.
TEST_PROGRAMS := chromium rabbitmq-server redis-server strace
ROOT_USER := $(shell [ "$$(id -u)" = 0 ] && echo yes || echo no)

.DEFAULT_GOAL := help
.PHONY: help demo test test-deps lint format bench chaos model mutants clean check-python

help:  ## list what there is (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(DEMO_INSTALLED)  ## serve the demo; PORT=5001 make demo for another port
	@exec $(DEMO_PY) -m demo

test: test-deps lint $(INSTALLED)  ## run lint and every test
	@$(PY) -m pytest --numprocesses 3 --dist loadfile

test-deps:  ## install the programs that tests need, or say which are missing
	@missing=""; \
	for program in $(TEST_PROGRAMS); do \
	  command -v "$$program" >/dev/null 2>&1 || missing="$$missing $$program"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$(ROOT_USER)" = yes ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "Installing$$missing"; \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "The tests need$$missing. Install with: apt-get install --no-install-recommends$$missing (as root)" >&2; \
	  exit 1; \
	fi

lint: $(INSTALLED)  ## check style and types: ruff, mypy, pyright
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet . || { echo "Run: make format" >&2; exit 1; }
	@$(PY) -m mypy
	@$(PY) -m pyright

format: $(INSTALLED)  ## lay out the code as lint wants it
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(INSTALLED)  ## measure; prints a table
	@$(PY) -m bench

chaos: $(INSTALLED)  ## do what may go wrong and see what it breaks; ROUNDS=1 for a short form
	@ROUNDS="$(ROUNDS)" $(PY) -m chaos

model: $(INSTALLED)  ## hold the stores against the small one; EXAMPLES=1000 for fewer
	@MODEL_EXAMPLES="$(or $(EXAMPLES),20000)" $(PY) -m pytest tests/test_store_model.py tests/test_redis_model.py

mutants: $(INSTALLED)  ## take each condition of the store away, and see whether a test notices
	@$(PY) -m chaos.mutants

clean:  ## remove environments, caches and what was built
	@rm -rf $(VENV) $(DEMO_VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-python:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "There is no $(PYTHON). On Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is older. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make environments. On Debian: apt-get install python3-venv" >&2; exit 1; }

# Old pips know no dependency groups, so pip comes first.
$(INSTALLED): pyproject.toml $(DEMO_REQUIREMENTS) | check-python
	@$(PY) -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "Installing Python packages into $(VENV)"
	@$(PY) -m pip install -qq --disable-pip-version-check --upgrade "pip>=25.1"
	@$(PY) -m pip install -qq --disable-pip-version-check --editable . --group dev $(DEMO_REQUIREMENTS:%=-r %)
	@touch $@

$(DEMO_INSTALLED): pyproject.toml $(DEMO_REQUIREMENTS) | check-python
	@$(DEMO_PY) -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(DEMO_VENV)
	@echo "Installing the demo into $(DEMO_VENV)"
	@$(DEMO_PY) -m pip install -qq --disable-pip-version-check --editable . $(DEMO_REQUIREMENTS:%=-r %)
	@touch $@
