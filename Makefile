# make demo: from nothing to a trained agent and its report.  make test: everything the tests need, then the tests.
# Only what is missing is installed; .venv in this folder is the one place that is written to besides runs/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint bench clean

demo: $(VENV)/.installed
	$(BIN)/plaudit run --recipe demo

test: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

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
	scripts/system-packages chromium chromium-driver
	$(PIP) install -q -c constraints.txt -e '.[embedded,dev]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
