# make demo: from nothing to a trained agent and its report.  make test: everything the tests need, then the tests.
# make soak: the slow tests (faults for minutes, kills, full disks), half an hour.
# Only what is missing is installed; besides runs/ only .venv in this folder is written to, and .venv-rliable by the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RLIABLE := .venv-rliable
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test soak lint bench rliable clean

demo: $(VENV)/.installed
	$(BIN)/plaudit run --recipe demo

test: $(VENV)/.tested $(RLIABLE)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

soak: $(VENV)/.tested
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/judging.py
	$(BIN)/python benchmarks/training.py

$(VENV)/.installed: pyproject.toml constraints.txt scripts/install
	PYTHON="$(PYTHON)" scripts/install $(VENV)
	touch $@

$(VENV)/.tested: $(VENV)/.installed scripts/system-packages
	scripts/system-packages chromium chromium-driver gcc libc6-dev
	$(PIP) install -q -c constraints.txt -e '.[embedded,openai,ray,code,embedding,vision,transformers,nethack,metaworld,sac,record,textworld,dev]'
	touch $@

# What the statistics are compared with; its pins fight with ours, so it gets an environment of its own.
rliable: $(RLIABLE)/.installed

$(RLIABLE)/.installed: tests/rliable-requirements.txt | $(VENV)/.installed
	$(BIN)/python -m venv $(RLIABLE)
	$(RLIABLE)/bin/python -m pip --disable-pip-version-check install -q --no-deps -r $<
	touch $@

clean:
	rm -rf $(VENV) $(RLIABLE) .pytest_cache .mypy_cache .ruff_cache
