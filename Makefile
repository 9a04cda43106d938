# Errand: `make run` runs the whole system, `make test` tests it. `make help` lists the rest.

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# Programs of the environment must not find the modules of another one. And what they compile stays: a test run starts
# hundreds of them.
unexport PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: always help run test test-faults lint bench up down lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

ifneq ($(filter run,$(MAKECMDGOALS)),)
ifneq ($(BROKER),)
ifneq ($(BROKER),$(filter rabbitmq embedded,$(firstword $(BROKER))))
$(error BROKER must be rabbitmq or embedded, not '$(BROKER)')
endif
endif
endif
# What is run ends with this make, also when it is killed.
WITH_MAKE = exec env BUS_SUPERVISOR_PID=$$PPID
run: $(VENV)/.run ## Run front ends and workers; BROKER=rabbitmq runs them on a private RabbitMQ
ifeq ($(BROKER),rabbitmq)
run: $(VENV)/.dev
	@$(WITH_MAKE) $(BIN)/python -P -m bus.testing run rabbitmq -- $(BIN)/bus run --console $(SERVICES)
else
	@$(WITH_MAKE) $(BIN)/bus run --console $(SERVICES)
endif

test: $(VENV)/.dev ## Test everything, with a real RabbitMQ and a real PostgreSQL
	@$(BIN)/python -m bus.testing check
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-faults: $(VENV)/.dev ## Break the system under load and count lost messages; ROWS="F1 F9" selects rows, LONG=1 adds the long ones
	@PYTHONPATH=tests:examples/orders $(BIN)/python -m faults $(if $(LONG),--long) $(ROWS)

# The examples import the same libraries from the same places, so the second one finds them read.
EXAMPLES_CACHE := $(CURDIR)/.mypy_cache/examples
lint: $(VENV)/.dev ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bus auth catalog
	$(BIN)/lint-imports
	cd examples/feed && $(abspath $(BIN))/mypy --cache-dir $(EXAMPLES_CACHE) feed tests
	cd examples/feed && $(abspath $(BIN))/lint-imports
	cd examples/orders && $(abspath $(BIN))/mypy --cache-dir $(EXAMPLES_CACHE) orders tests
	cd examples/orders && $(abspath $(BIN))/lint-imports

bench: $(VENV)/.dev ## Measure speed against the same service built on direct HTTP calls, in minutes; PEERS=1 adds other libraries
	@$(BIN)/python -m bench $(if $(PEERS),--peers) $(BENCH_ARGS)

up: ## Run everything in containers and wait until it is healthy
	@sh deploy/make-secrets
	docker compose up --build --detach --wait
	@sh deploy/print-urls

down: ## Stop the containers; DATA=delete deletes their data too
	docker compose down $(if $(filter delete,$(DATA)),--volumes)

lock: $(VENV)/.dev ## Update the lock files to the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile $(LOCK_ARGS) --extra editable pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK_ARGS) --extra dev pyproject.toml -o requirements-dev.lock

# One process more than there are cores, because tests also wait; eight at most, because each has servers of its own.
# A broker named by BUS_TEST_URL cannot be shared by two, so then one process.
PROCESSES = $(shell $(BIN)/python -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))')
PYTEST_ARGS ?= $(if $(BUS_TEST_URL),,--numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder)

LOCK_ARGS := --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-emit-index-url --custom-compile-command "make lock"

clean: ## Remove the environment and all caches; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

# The environment has exactly the packages of the lock files: .run what the system needs, .dev what the tests need.
# It is made again when it does not fit this folder (a copy, another name) or this Python.
$(VENV)/pyvenv.cfg: always
	@sh deploy/make-environment '$(VENV)' '$(PYTHON)' $(if $(filter file,$(origin PYTHON)),,given)

$(VENV)/.run: requirements.lock pyproject.toml $(VENV)/pyvenv.cfg
	@sh deploy/install '$(VENV)' requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@sh deploy/install '$(VENV)' requirements-dev.lock
	@touch $@
