# The project's commands; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long test-apart test-doors test-container faults soak fuzz check format lock up down clean \
  bench bench-quick bench-refresh bench-state bench-growth bench-memory bench-profile bench-lock

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## Make .venv with everything in it, and download Kafka and the schema registry

$(READY): requirements.lock pyproject.toml leadstream/stack/jars.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) -V). Say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m leadstream.stack.jars fetch
	@touch $@

demo: install ## Start everything, load sample files of three vendors, show what came of them
	@$(BIN)/leadstream demo

test: install ## Run the tests (unit, integration, acceptance) on real parts
	$(BIN)/pytest

test-long: install ## Run the tests that take minutes
	$(BIN)/pytest -m long

test-doors: install ## Run the tests of logins, certificates and rights, on a stack with locked doors
	$(BIN)/pytest -m doors tests/doors

test-apart: install ## Run the tests of privacy, health, hostile files and outages, each file on a system of its own
	@for file in $$(grep -l "mark.apart" tests/acceptance/*.py); do $(BIN)/pytest -m apart $$file || exit 1; done

test-container: install ## Run the stages without rights on a read-only file system (needs unshare, user namespaces)
	$(BIN)/pytest -m container tests/acceptance/test_container.py

MINUTES ?= 30

faults: install ## Break the running system on purpose, each fault once (17 to 25 min); writes docs/reliability.md
	FAULTS_REPORT=faults $(BIN)/pytest -m faults tests/faults

soak: install ## The same at random, for MINUTES=30; writes docs/reliability.md
	FAULTS_REPORT=soak FAULTS_MINUTES=$(MINUTES) $(BIN)/pytest -m soak -s tests/faults

SECONDS ?= 300

fuzz: install ## Fuzz the splitter and the transforms, guided by coverage, SECONDS=300 each
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r tests/fuzz/requirements.lock
	$(BIN)/python -m tests.fuzz splitter -max_total_time=$(SECONDS)
	$(BIN)/python -m tests.fuzz transforms -max_total_time=$(SECONDS)

check: install ## Check format, lint, types, and that no schema breaks its readers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/leadstream schemas check --offline

format: install ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --upgrade --quiet --output-file requirements.lock

PEERS := .bench/venv
PEERS_READY := $(PEERS)/.ready

bench: install $(PEERS_READY) ## Measure every stage beside its bound and its peers (under 10 min on 2 free cores)
	@$(BIN)/python -m bench
	@$(PEERS)/bin/python -m bench.charts
	@$(BIN)/python -m bench.page

bench-quick: install $(PEERS_READY) ## The same in one small round, into bench/results-quick.json (under 90 s)
	@$(BIN)/python -m bench --quick

bench-growth: install $(PEERS_READY) ## Measure how the cost of a row grows with sources, files and workers
	@$(BIN)/python -m bench.growth && $(PEERS)/bin/python -m bench.charts && $(BIN)/python -m bench.page

bench-memory: install ## Measure the producer's memory while it splits a file of 1 GB
	@$(BIN)/python -m bench.memory && $(BIN)/python -m bench.page

bench-profile: install $(PEERS_READY) ## Draw a flame graph of each stage into docs/
	@$(BIN)/python -m bench.profiles && $(BIN)/python -m bench.page

bench-lock: ## Resolve the peers of the bench anew (needs uv)
	uv pip compile bench/requirements.in pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --upgrade --quiet --output-file bench/requirements.lock

$(PEERS_READY): bench/requirements.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements.lock
	@touch $@

bench-refresh: install ## Measure a refresh of which 1 % changed beside its first load (about 4 min)
	@$(BIN)/python -m bench.refresh && $(BIN)/python -m bench.page

bench-state: install ## Measure how 2,000,000 leads come back after a restart (about 4 min)
	@$(BIN)/python -m bench.state && $(BIN)/python -m bench.page

up: install ## Start the whole system in the background
	@$(BIN)/leadstream up --detach

down: ## Stop it
	@$(BIN)/leadstream down

clean: ## Remove .venv and all state of the embedded system
	rm -rf $(VENV) .leadstream .bench .fuzz
