# Two commands do all the set-up: `make demo` shows the tap at work, `make test` is the whole check.
# Needed: Python 3.10 or later with venv, git, make.

PYTHON ?= python3
# Waiting is most of what the tests do: more workers than cores.
WORKERS ?= 6
BIN = .venv/bin
PIP = -m pip --quiet --disable-pip-version-check

# How many random points `make chaos` kills at, twice.
CHAOS ?= 60

.PHONY: test lint pytest chaos integration demo bench clean

test: lint pytest

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pylint tap_helpscout tests setup.py

pytest: .venv/ready
	$(BIN)/python -m pytest -n $(WORKERS)

chaos: .venv/ready
	CHAOS=$(CHAOS) $(BIN)/python -m pytest -n $(WORKERS) tests/test_interruption.py \
		tests/test_tokens.py -k kill

integration: .venv/ready
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

demo: .venv/ready .venv-target-jsonl/ready .venv-singer-tools/ready
	@$(BIN)/python -m tests.demo .venv-target-jsonl/bin/target-jsonl \
		.venv-singer-tools/bin/singer-check-tap

# What it is compared with: the published tap, run as it is.
.venv-published/ready:
	@echo "Making the environment $(@D), this once"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP) install --use-pep517 tap-helpscout==1.2.2
	@touch $@

bench: .venv/ready .venv-published/ready
	@$(BIN)/python -m tests.bench .venv-published/bin/python

clean:
	rm -rf .venv .venv-* .demo .bench .integration build dist *.egg-info
