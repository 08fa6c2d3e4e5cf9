# Two commands to know: `make demo` and `make test`. `make help` lists every other one.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CHECK ?=
# Each has servers of its own.
TEST_PROCESSES ?= 2

.PHONY: help
help: ## List every command
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than the lock exactly when the lock is installed. uv is ten times as fast as pip;
# where it can't be had, or can't reach the registry, pip reads the same hashed lock.
$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "== Installing the locked dependencies into $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Salespulse needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@( $(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
	   && $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock ) \
	 || $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## Make the virtual environment from the lock file

.PHONY: lock
lock: ## Resolve the dependencies anew into requirements.lock and requirements-bench.lock
	@tools/lock

.PHONY: demo
demo: $(VENV)/.installed ## Start everything on the real sales; CHECK=1 verifies, prints figures and ends
	@$(BIN)/salespulse demo $(if $(CHECK),--check --json,)

.PHONY: check
check: $(VENV)/.installed ## Lint, types, import contracts, SQL lint
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check-types check-sql check-style check-imports

.PHONY: check-types check-sql check-style check-imports
check-types:
	$(BIN)/mypy
check-sql:
	$(BIN)/sqlfluff lint dbsql/migrations dbsql/queries dbsql/rollups dbsql/source
check-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
check-imports:
	$(BIN)/lint-imports --no-cache

.PHONY: test
test: $(VENV)/.installed ## Everything: checks and all tests, on real servers
	@tests/install-debian-packages
	@$(MAKE) --no-print-directory check
	$(BIN)/pytest -q --numprocesses $(TEST_PROCESSES) --dist loadfile

# What benchmarks measure beside this project is in a lock file of its own.
$(VENV)/.installed-bench: requirements-bench.lock $(VENV)/.installed
	@echo "== Installing what the benchmarks compare with"
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-bench.lock \
	 || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

.PHONY: bench-refresh
bench-refresh: $(VENV)/.installed-bench ## Measure the refresh beside a materialised view; QUICK=1 is short, LINES=1e7 large
	@$(BIN)/python -m benchmarks.refresh $(if $(QUICK),--quick,) $(if $(LINES),--lines $(LINES),)

.PHONY: bench-ratelimit
bench-ratelimit: $(VENV)/.installed-bench ## Measure the limiter beside its peers; QUICK=1 is short
	@QUICK=$(QUICK) $(BIN)/python -m benchmarks.ratelimit

.PHONY: bench-jobs
bench-jobs: $(VENV)/.installed ## Measure background jobs: submits, streams, status lag, real runs; QUICK=1 is short
	@QUICK=$(QUICK) $(BIN)/python -m benchmarks.jobs

.PHONY: bench-api
bench-api: $(VENV)/.installed ## Measure the dashboards under a thousand users; QUICK=1 is short
	@benchmarks/api/install-wrk
	@QUICK=$(QUICK) $(BIN)/python -m benchmarks.api
