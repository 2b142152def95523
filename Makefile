# make demo   the main job end to end, on a fresh machine    make test   all tests
# make check  format, lint, types, import rules, tests       make bench  the benchmarks
# make pictures  the pictures in the documents, made anew
# make docs   the documents as a site, in site/
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STUDY ?=

.PHONY: demo test dev check lint pictures docs bench clean

demo: $(VENV)/.installed
	@sh tools/packages.sh demo
	@$(BIN)/python -m tools.demo $(if $(STUDY),"$(STUDY)")

test: $(VENV)/.installed-dev
	@sh tools/packages.sh test
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

dev: $(VENV)/.installed-dev

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

pictures: $(VENV)/.installed-dev
	@sh tools/packages.sh test
	@$(BIN)/python -m tools.pictures
	@$(BIN)/python -m tools.dashboard_pictures

docs: $(VENV)/.installed-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.installed-dev
	$(BIN)/python -m bench.results
	$(BIN)/python -m bench.latency
	$(BIN)/python -m bench.receive --quick
	$(BIN)/python -m bench.full_table --quick
	$(BIN)/python -m bench.queue --quick --rounds 1
	$(BIN)/python -m bench.wake
	$(BIN)/python -m bench.admin --instances 100000
	$(BIN)/python -m bench.send --quick
	$(BIN)/python -m bench.chaos --minutes 2 --studies 40
	$(BIN)/python -m bench.outage --minutes 1

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { rm -rf $(VENV); sh tools/packages.sh venv; $(PYTHON) -m venv $(VENV); }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) site demo-out test-artefacts .viewer .mypy_cache .ruff_cache .pytest_cache
