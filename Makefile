# Two commands for a newcomer: `make demo` and `make test`. Each sets up .venv by itself, from the lock files, and
# does that again only when a lock file or pyproject.toml has changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
PYTEST_ARGS ?=
# Two more than cores: many tests wait for a process or a timer.
TEST_WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')

.PHONY: help demo test check chaos bench format docs lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    see it work: a server, a recorder, a command and its recording (ONCE=1 ends by itself, BLE=1 goes over the air)"
	@echo "make test    the gate and every test"
	@echo "make check   the gate alone: format, lint, types, import floors, docs against code"
	@echo "make chaos   ten minutes of torment for two servers and PostgreSQL, and whether every promise was kept"
	@echo "make bench   the benchmarks: ratios against a hand-written peer, queues and limits (about half an hour)"
	@echo "make docs    write the generated parts of docs/ again"
	@echo "make format  put every file in the house's format"
	@echo "make lock    resolve the lock files again (needs uv)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Rolltape needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python requirements/run.lock pyproject.toml
	$(PIP) install --require-hashes -r requirements/run.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# amqtt, a broker that tests run as a process of its own, wants an older websockets than Rolltape: so it gets a folder
$(DEV_STAMP): $(RUN_STAMP) requirements/dev.lock requirements/amqtt.lock
	$(PIP) install --require-hashes -r requirements/dev.lock
	$(PIP) install --require-hashes --no-warn-conflicts --upgrade --target $(VENV)/amqtt -r requirements/amqtt.lock
	@touch $@

demo: $(RUN_STAMP)
	@$(BIN)/rolltape demo $(if $(ONCE),--once,) $(if $(BLE),--ble,)

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

test: check
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(PYTEST_ARGS)

chaos: $(DEV_STAMP)
	$(BIN)/python -m tests.chaos

bench: $(DEV_STAMP)
	$(BIN)/python -m bench

docs: $(DEV_STAMP)
	$(BIN)/python -m tests.docs.generate

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate pyproject.toml --extra ble --group build -o requirements/run.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate pyproject.toml --extra ble --extra mqtt --extra nats --extra objects --group build --group dev --group bench -c requirements/run.lock -o requirements/dev.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 requirements/amqtt.in -o requirements/amqtt.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/out dist build
