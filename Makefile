# Targets: setup, demo, test, test-long, regression-sql, clients, check, docs, bench, lock, clean.
# Python 3.11+ and make are enough; `clients` uses node and java where they are.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
JOBS ?= 3

.PHONY: setup setup-dev demo test test-long regression-sql clients check docs bench lock clean

setup: .venv/.runtime
setup-dev: .venv/.dev

.venv/.runtime: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; set PYTHON=/path/to/python3"; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: setup
	$(BIN)/ringfort demo

test: setup-dev
	$(BIN)/python -m pytest -n $(JOBS) -m "not long and not clients"

test-long: setup-dev
	$(BIN)/python -m pytest -n $(JOBS) -m long

# PostgreSQL's own regression SQL through the allow-list; fetched if Debian's archive is in reach
regression-sql: setup-dev
	.ci/regression-sql

# every client that is here, through a real gateway; what is not installed is skipped and named
clients: setup-dev
	@if command -v npm >/dev/null; then cd tests/clients/node && npm ci --silent; \
		else echo "npm is not installed: node-postgres is skipped"; fi
	$(BIN)/python -m pytest -n $(JOBS) tests/clients

check: setup-dev
	$(BIN)/ruff check src tests bench
	$(BIN)/ruff format --check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m ringfort.cli.reference --check

docs: setup-dev
	$(BIN)/python -m ringfort.cli.reference

bench: setup-dev
	$(BIN)/python bench/gateway.py
	$(BIN)/python bench/ledger.py
	$(BIN)/python bench/privacy.py
	$(BIN)/python bench/europe.py
	$(BIN)/python bench/forms.py
	$(BIN)/python bench/detection.py
	$(BIN)/python bench/lookup.py
	$(BIN)/python bench/order.py
	$(BIN)/python bench/transfer.py

lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --extra build --no-header -q pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --extra build --extra dev --no-header -q -c requirements.lock \
		pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
