# What a user calls. `make demo` and `make test` need nothing before them but Python 3.11:
# they make .venv, install into it, and ask for system packages only where they are missing.

VENV  := .venv
BIN   := $(VENV)/bin
SUITE ?= trust
OUT   ?= demo-out
JOBS  ?= 3

# One stamp per set of extras, renewed when the list of dependencies changes.
STAMP = $(VENV)/.installed-

.PHONY: demo test lint bench fuzz crash docs clean

demo: $(STAMP)demo
	$(BIN)/accord demo hospitals --out $(OUT)

test: $(STAMP)test
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal --cov --cov-report=term:skip-covered
	$(BIN)/python scripts/coverage_floor.py

lint: $(STAMP)lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)bench
	$(BIN)/python -m bench $(SUITE)

fuzz: $(STAMP)fuzz
	$(BIN)/python -m fuzz

crash: $(STAMP)test
	ACCORD_CRASH_KILLS=200 $(BIN)/python -m pytest -s --timeout=900 tests/e2e/test_crash_loop.py

docs: $(STAMP)docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

clean:
	rm -rf $(VENV) $(OUT) docs/_build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP)%: pyproject.toml scripts/system-packages
	python=$$(scripts/system-packages $*) && { test -x $(BIN)/python || "$$python" -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	$(BIN)/python -m compileall -q src  # Every command starts twice as fast, also where Python may not write.
	touch $@
