# make demo     four colleagues learn their average raise and nothing else; they vote; they ask with noise
# make test     everything that CI checks
# make help     the rest
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint simulate attack fuzz soak statistics bench secrets lock clean

help:            ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create .venv with the pinned dependencies

$(STAMP): pyproject.toml requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "make: error: Python 3.11 or newer is needed, this is %d.%d" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(STAMP)   ## start a broker and four nodes, run sums, averages with and without noise and referenda, clean up
	@$(BIN)/coordinator demo

lint: $(STAMP)   ## formatting, rules, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint       ## lint and the whole test suite
	$(BIN)/pytest -n auto

simulate: $(STAMP) ## ten minutes of random schedules: loss, reordering, crashes, absent parties
	$(BIN)/python -m tests.simulation --schedules 5000 --seed $${SEED:-1} --minutes 10

attack: $(STAMP) ## ten minutes of adversaries: brokers, coordinators and members that lie, clocks that are off
	$(BIN)/python -m tests.simulation --attacks 100000 --seed $${SEED:-1} --minutes 10

fuzz: $(STAMP)   ## a minute for each target of the coverage-guided fuzzer
	$(BIN)/python -m tests.fuzz --seconds 60

soak: $(STAMP)   ## 20 nodes, 200 sessions, nodes and broker killed at random; eight minutes at most
	$(BIN)/python -m benchmarks.soak --nodes 20 --sessions 200 --at-once 20 --minutes 8 --seed $${SEED:-1} --write benchmarks/SOAK.md

statistics: $(STAMP) ## ten minutes of chi-square: do votes show, is the noise what it should be?
	$(BIN)/python -m tests.statistics --minutes 10

bench: $(STAMP)  ## this project beside MPyC, OpenDP and a bare TLS connection, writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

secrets: $(STAMP) ## keys and certificates for docker compose, in ./secrets
	@$(BIN)/coordinator init --dir secrets --parties alice,bob,carlos,david --broker broker:8883
	@if [ "$$(id -u)" -eq 0 ]; then chown -R 1000:1000 secrets; \
	else printf 'SOTTO_UID=%s\nSOTTO_GID=%s\n' "$$(id -u)" "$$(id -g)" > .env; fi

lock:            ## pin today's versions (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --group test --group bench pyproject.toml -c requirements.txt -o requirements-dev.txt

clean:           ## remove what make created
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
