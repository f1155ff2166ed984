# Everything runs in .venv, which is made and filled by the first command.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STAMP_TEST := $(VENV)/.installed-test
STAMP_ALL := $(VENV)/.installed-all
STAMP_DOCS := $(VENV)/.installed-docs
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile \
	--no-loadscope-reorder
JOBS ?= 2
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo $$p && break; done)

PYTHON_OLDEST ?= python3.11
PYTHON_NEWEST ?= python3.13

# Arguments: environment, Python, arguments of pip.
define test_in
	test -x $(1)/bin/python || $(2) -m venv $(1)
	$(1)/bin/python -m pip install --quiet $(3) --editable '.[test]'
	$(1)/bin/python -m pytest -n $(JOBS) --dist loadfile \
	  --no-loadscope-reorder -m "not slow"
endef

.PHONY: quickstart evaluate test test-all coverage test-oldest test-newest lint types \
	docs wheel install clean

quickstart: $(STAMP)  ## Trains on the embedded images, in minutes on a CPU.
	$(BIN)/python -m semppl_jax.main --config=configs/quickstart.py \
	  --workdir=runs/quickstart

evaluate: $(STAMP)  ## Every protocol on the run of `make quickstart`.
	$(BIN)/python -m semppl_jax.evaluate --checkpoint=runs/quickstart \
	  --config=configs/evaluate/quickstart.py --protocol=all --baseline \
	  --workdir=runs/quickstart-evaluation

test: $(STAMP_TEST)  ## The core tests.
	$(PYTEST) -m "not slow"

test-all: $(STAMP_ALL)  ## The long tests, which `test` leaves out.
	$(PYTEST) -m slow

coverage: $(STAMP_ALL)  ## What no test reaches, line by line.
	$(PYTEST) --cov --cov-report=term-missing:skip-covered

test-oldest:  ## The core tests on the oldest supported JAX (Python 3.11).
	$(call test_in,.venv-oldest,$(PYTHON_OLDEST),-c tests/oldest.txt)

test-newest:  ## The core tests on the newest supported JAX (Python 3.13).
	$(call test_in,.venv-newest,$(PYTHON_NEWEST),--upgrade)

lint: $(STAMP_TEST)  ## Style and likely bugs.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP_TEST)  ## Type errors.
	$(BIN)/pyright

docs: $(STAMP_DOCS)  ## The documentation, in docs/_build/html; a warning fails.
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet \
	  -b html docs docs/_build/html

wheel: $(STAMP_TEST)  ## A wheel, in dist/.
	$(BIN)/python -m build --wheel --outdir dist .

install: $(STAMP_TEST)  ## The environment alone, that of the tests included.

$(STAMP): pyproject.toml setup.py requirements.txt
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "No Python \
	3.11 to 3.13 was found; name one: make PYTHON=/path/to/python." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $(STAMP)

$(STAMP_TEST): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $(STAMP_TEST)

$(STAMP_DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $(STAMP_DOCS)

# The compile check's tests need libtpu, which is large and made for Linux.
$(STAMP_ALL): $(STAMP_TEST)
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	  $(BIN)/python -m pip install --quiet --editable '.[test,tpu]'; fi
	@touch $(STAMP_ALL)

clean:  ## Removes the environment and caches, and keeps runs/.
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest dist .coverage .cache .pytest_cache .ruff_cache .hypothesis build \
	  docs/_build *.egg-info
