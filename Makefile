# What a user calls. `make demo` and `make test` need nothing before them but Python 3.11.
VENV   := .venv
PYTHON := $(VENV)/bin/python
SUITE  ?= trust

.PHONY: demo test lint bench fuzz docs clean

demo: $(VENV)/.demo
	$(VENV)/bin/accord demo hospitals --out demo-out

