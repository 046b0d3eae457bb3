# make demo    a small sweep from nothing to records and a report
# make test    the tests; make TESTS="tests/config_test.py" test runs some
# make slow    the tests that take minutes
# make reference  the model, its export and its training step against
#                 transformers and PyTorch
# make benchmark  seed-steps per second, side by side with PyTorch
# make lint    ruff and pyright
# make lock    renews requirements.lock
# make PYTHON=python3.13 …   picks the interpreter (3.11 or newer)

PYTHON ?= python3
# Not taken from the environment: `make clean` removes them.
VENV := .venv
DEMO := demo

# A file of tests stays in one process, whose fixtures its tests share.
PARALLEL := -n auto --dist loadfile
# Slow tests often wait, so there is one process more than cores. The files with
# the longest tests come first, then all others. They are files, because pytest
# drops a file beside its folder.
LONGEST := $(patsubst %,tests/%_test.py,experiments/findings launch/slurm \
  sweep/faults sweep/shards experiments/collected population/processes)
SLOW_FILES = $(LONGEST) $(filter-out $(LONGEST), \
  $(sort $(shell find tests -name "*_test.py")))
SLOW_PARALLEL := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) \
  --dist loadfile --no-loadscope-reorder

export PYTHONNOUSERSITE = 1

# Into the environment whose mark is the target.
PIP_INSTALL ?= $(@D)/bin/python -m pip install --quiet --disable-pip-version-check

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Which interpreter that is; another one makes another environment.
INTERPRETER := $(shell $(PYTHON) -c 'import sys; print(sys.version.split()[0], sys.base_prefix)' 2>/dev/null)

.PHONY: demo test slow reference benchmark lint lock clean

demo: $(INSTALLED)
	$(BIN)/python -m experiments.sweep --config=quickstart --workdir=$(DEMO)
	$(BIN)/python -m experiments.report --workdir=$(DEMO)

test: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) $(TESTS)

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m "slow or bits" $(SLOW_PARALLEL) $(SLOW_FILES)

reference: $(VENV)-reference/.installed
	$(VENV)-reference/bin/python tests/gpt_neox_reference.py --check
	$(VENV)-reference/bin/python -m pytest tests/experiments/benchmark_test.py

benchmark: $(VENV)-reference/.installed
	$(VENV)-reference/bin/python -m experiments.benchmark

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check uv
	$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --upgrade --extra test --custom-compile-command "make lock" \
	  --output-file requirements.lock setup.py
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(VENV)-reference $(DEMO)

# Remakes the environment when the lock, the metadata or the interpreter change.
ifneq ($(shell cat $(INSTALLED) 2>/dev/null),$(INTERPRETER))
.PHONY: $(INSTALLED)
endif
$(INSTALLED): requirements.lock setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is not Python 3.11 or newer; use make PYTHON=…" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP_INSTALL) -r requirements.lock
	$(PIP_INSTALL) --no-deps --editable .
	@echo "$(INTERPRETER)" > $(INSTALLED)

# PyTorch is large and needed for nothing else, so it has a place of its own.
$(VENV)-reference/.installed: requirements.lock setup.py \
    tests/reference_requirements.txt
	$(PYTHON) -m venv --clear $(VENV)-reference
	$(PIP_INSTALL) -r requirements.lock -r tests/reference_requirements.txt
	$(PIP_INSTALL) --no-deps --editable .
	@touch $@
