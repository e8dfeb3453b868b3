# `make` lists what there is. `make demo` and `make test` need no other set-up.
# Needed: Python 3.10 or later with venv, git, make.

PYTHON ?= python3
# Waiting is most of what the tests do: more workers than cores.
WORKERS ?= 6
BIN = .venv/bin
PIP = -m pip --quiet --disable-pip-version-check

# How many random points `make chaos` kills at, twice.
CHAOS ?= 60

# What `make demo` needs, in an environment each.
DEMO_ENVIRONMENTS = .venv .venv-target-jsonl .venv-singer-tools
DEMO_READY = $(DEMO_ENVIRONMENTS:%=%/ready)
MISSING = $(filter-out $(wildcard $(DEMO_READY)),$(DEMO_READY))

# A test starts the tap hundreds of times: each would compile it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help test lint unit pytest chaos integration demo demo-environments bench clean

help: ## Lists these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# At the same time, where make can keep their output apart: what each says comes when it ends.
test: ## Checks everything: lint, pytest
	@$(MAKE) --no-print-directory $(if $(filter output-sync,$(.FEATURES)),-j 2 -Otarget) lint pytest

lint: .venv/ready ## Checks format, imports, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pylint tap_helpscout tests setup.py

unit: .venv/ready ## Runs the unit tests, in seconds: while typing
	$(BIN)/python -m pytest tests/unit

pytest: .venv/ready ## Runs the tests, in minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

chaos: .venv/ready ## Kills runs at many random points
	CHAOS=$(CHAOS) $(BIN)/python -m pytest -n $(WORKERS) tests/test_interruption.py \
		tests/test_tokens.py -k kill

integration: .venv/ready ## Tries PostgreSQL, Meltano, other targets, other Pythons
	$(BIN)/python -m pytest -rs tests/integration

.venv/ready: setup.py
	@echo "Making the environment .venv, this once"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP) install --use-pep517 --editable '.[dev]'
	@touch $@

# The tap and its tests for `make integration`: PYTHON in the name and how old the dependencies are.
.venv-tests-%/ready: setup.py
	@$(PYTHON) -m venv $(@D)
	@$(BIN)/python -m tests.integration.oldest > $(@D)/oldest.txt
	@$(@D)/bin/python $(PIP) install --use-pep517 --editable '.[dev]' \
		$(if $(filter %-oldest,$*),--constraint $(@D)/oldest.txt)
	@touch $@

# A target lives in an environment of its own, as Singer advises.
.venv-%/ready:
	@echo "Making the environment $(@D), this once"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP) install --use-pep517 $*
	@touch $@

demo: ## Shows the tap at work on a made-up account
	@[ -z "$(MISSING)" ] || \
		echo "It installs three environments, about 230 MB in all: $(DEMO_ENVIRONMENTS)"
	@$(PYTHON) -m tests.alone .demo/lock $(MAKE) --no-print-directory demo-environments
	@$(BIN)/python -m tests.demo .venv-target-jsonl/bin/target-jsonl \
		.venv-singer-tools/bin/singer-check-tap

# Made by one `make demo` at a time.
demo-environments: $(DEMO_READY)
	@:

# What it is compared with: the published tap, run as it is.
.venv-published/ready:
	@echo "Making the environment $(@D), this once"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP) install --use-pep517 tap-helpscout==1.2.2
	@touch $@

.venv-bench/ready: setup.py
	@echo "Making the environment $(@D), this once"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP) install --use-pep517 --editable '.[bench]'
	@touch $@

bench: .venv/ready .venv-published/ready .venv-bench/ready ## Measures, beside the published tap
	@$(BIN)/python -m tests.bench .venv-published/bin/python .venv-bench/bin/python

clean: ## Removes all that these made
	rm -rf .venv .venv-* .demo .bench .integration build dist *.egg-info
