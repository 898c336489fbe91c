# What can be made here; `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PY := .venv/bin/python
PYTEST_FLAGS ?=
# Two at a time: tests of one xdist_group stay together.
JOBS ?= 2

.PHONY: help venv debian test demo soak bench lint wheel diagrams clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv:  ## a virtual environment for development, .venv
	@.ci/venv.sh dev

debian:
	@.ci/debian.sh

test: debian venv  ## all tests but the long ones (PYTEST_FLAGS='-k word' for some)
	@mkdir -p .reports; rm -f .reports/pytest.rc; rc=0; \
	$(PY) -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_FLAGS) || rc=$$?; \
	echo $$rc >.reports/pytest.rc; exit $$rc

demo:  ## real detector data through all daemons, in under three minutes
	@.ci/venv.sh demo
	@PATH="$$PWD/.demo-venv/bin:$$PATH" .demo-venv/bin/python examples/strain/demo.py

soak: debian venv  ## the long tests: each crash on each database
	@ONDECK_SOAK=1 $(PY) -m pytest -v -m soak -n $(JOBS) --dist loadgroup --timeout 3600 $(PYTEST_FLAGS)

bench:  ## one benchmark: make bench NAME=steps
	@if [ -z "$(NAME)" ] || [ ! -f "benchmarks/$(NAME).py" ]; then \
	    echo "make bench NAME=… needs the name of a benchmark; there are:" >&2; \
	    for f in benchmarks/*.py; do [ ! -f "$$f" ] || echo "  $$(basename "$$f" .py)" >&2; done; exit 2; fi
	@.ci/venv.sh dev
	@$(PY) "benchmarks/$(NAME).py"

lint: venv  ## ruff, mypy and the order of imports
	@$(PY) -m ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

wheel: venv  ## dist/ondeck-VERSION-py3-none-any.whl
	@rm -rf build/lib build/bdist.* dist
	@$(PY) -m build --wheel --no-isolation --outdir dist .
	@rm -rf build/lib build/bdist.*

diagrams: venv  ## the documentation's pictures of the statuses
	@mkdir -p docs/pictures
	@for table in runs jobs copies bundles inbox outbox; do \
	    .venv/bin/ondeck states $$table >docs/pictures/$$table.txt && \
	    .venv/bin/ondeck states $$table --svg docs/pictures/$$table.svg || exit 1; done

clean:  ## takes away all that was made
	@rm -rf .venv .demo-venv demo-output build dist .reports *.egg-info \
	    .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
