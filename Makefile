# Two commands to know: `make demo` and `make test`. `make help` lists every other one.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
VENV_PYTHON := $(shell test -x $(BIN)/python && echo $(BIN)/python)
# Without PYTHON=, the interpreter that VENV was made with; python3 as long as there is no VENV.
PYTHON ?= $(or $(VENV_PYTHON),python3)
PYTHON_VERSION := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
INSTALLED := $(VENV)/.installed-$(PYTHON_VERSION)
# The make of macOS doesn't know it.
OUTPUT_SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target,)
CHECK ?=
# Each has servers of its own.
TEST_PROCESSES ?= 2

.PHONY: help
help: ## List every command
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than the lock exactly when the lock is installed, by the interpreter that it names.
$(INSTALLED): requirements.lock pyproject.toml tools/install $(or $(VENV_PYTHON),missing-venv)
	@tools/install "$(PYTHON)" $(VENV)
	@touch $@

.PHONY: missing-venv
missing-venv:

.PHONY: install
install: $(INSTALLED) ## Make the virtual environment from the lock file; PYTHON=… chooses the interpreter

.PHONY: hooks
hooks: ## Have git check each commit message with tools/commit-msg
	@install -m 755 tools/commit-msg "$$(git rev-parse --git-path hooks)/commit-msg"

.PHONY: lock
lock: ## Resolve the dependencies again into requirements.lock and requirements-bench.lock
	@tools/lock

.PHONY: demo
demo: $(INSTALLED) ## Start everything on the real sales; CHECK=1 verifies, prints figures and ends
	@$(BIN)/salespulse demo $(if $(CHECK),--check --json,)

.PHONY: check
check: $(INSTALLED) ## Lint, types, import contracts, SQL lint, house rules
	@$(MAKE) --no-print-directory --jobs 2 $(OUTPUT_SYNC) check-types check-sql check-style check-imports check-generated \
	  check-house

.PHONY: check-types check-sql check-style check-imports check-generated check-house
check-types:
	$(BIN)/mypy
check-sql:
	$(BIN)/sqlfluff lint dbsql/functions dbsql/migrations dbsql/queries dbsql/rollups dbsql/source
check-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
check-imports:
	$(BIN)/lint-imports --no-cache
check-generated:
	$(BIN)/python tools/async_to_sync --check
# The rules of CONTRIBUTING.md that no linter knows.
check-house:
	$(BIN)/python tools/check_house.py
	$(BIN)/python tools/check_names

.PHONY: generate
generate: $(INSTALLED) ## Write the sync versions of dbconnect's async modules
	$(BIN)/python tools/async_to_sync

.PHONY: messages
messages: $(INSTALLED) ## Rewrite the snapshot of all error messages, tests/snapshots/messages.txt
	@$(BIN)/python tools/check_house.py messages --write

.PHONY: test
test: $(INSTALLED) ## Everything: checks and all tests, on real servers
	@tests/install-debian-packages
	@$(MAKE) --no-print-directory check
	$(BIN)/pytest -q --numprocesses $(TEST_PROCESSES) --dist loadfile

# What depends on the interpreter most: every module is imported, and cores, SQL, HTTP and documents are tested.
FAST_TESTS := tests/tools tests/dbsql tests/docs tests/ratelimit_service/companion tests/ratelimit_service/http \
  $(addprefix tests/ratelimit_service/,test_algorithms.py test_package.py test_policies.py)

.PHONY: test-fast
test-fast: $(INSTALLED) ## Import every module, and run tests of minutes
	$(BIN)/pytest -q $(FAST_TESTS)

.PHONY: test-pythons
test-pythons: ## test-fast on the newest Python of this machine, all tests on the oldest
	@tools/pythons | while read -r version python; do echo "== Python $$version: $$python"; done
	@read -r version python < <(tools/pythons | tail -1); \
	  $(MAKE) --no-print-directory test-fast PYTHON="$$python" VENV=.venv-$$version
	@read -r version python < <(tools/pythons | head -1); \
	  $(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-$$version

.PHONY: test-install
test-install: $(INSTALLED) ## Install in a path with a space, over an old venv, and by an old pip: minutes
	$(BIN)/pytest -q -m slow_install tests/tools/test_install.py

.PHONY: check-locks
check-locks: $(INSTALLED) ## Whether each lock resolves from wheels alone, on every Python and platform
	@tools/check-locks

# What benchmarks measure beside this project is in a lock file of its own.
$(VENV)/.installed-bench: requirements-bench.lock $(INSTALLED)
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
bench-jobs: $(INSTALLED) ## Measure background jobs: submits, streams, status lag, real runs; QUICK=1 is short
	@QUICK=$(QUICK) $(BIN)/python -m benchmarks.jobs

.PHONY: bench-api
bench-api: $(INSTALLED) ## Measure the dashboards under a thousand users; QUICK=1 is short
	@benchmarks/api/install-wrk
	@QUICK=$(QUICK) $(BIN)/python -m benchmarks.api

.PHONY: bench-table
bench-table: $(INSTALLED) ## Fill the tables of docs/benchmarks.md from docs/benchmarks/*.json
	@$(BIN)/python -m benchmarks.table
