# Two commands matter to a newcomer: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
TASK ?= captioning
# What pip installs beside the package; CI adds the extras whose tests are skipped without them.
EXTRAS ?= dev
# One thread per process: several torch processes with several threads each slow one another down.
export OMP_NUM_THREADS ?= 1

# The lower bounds are tested on the oldest Python that we support, or else on the default one.
PYTHON_OLDEST ?= $(firstword $(shell python3.10 -c 'import sys; print(sys.executable)' 2>/dev/null) \
	$(wildcard $(shell pyenv root 2>/dev/null)/versions/3.10.*/bin/python3.10) python3)
OLDEST := .venv-oldest/bin
VISION := .venv-vision/bin
VISION_EXTRAS := test,vision,timm
VISION_TESTS := $(addprefix tests/,vision engine models metrics $(addprefix trainer/test_trainer,.py _equivalence.py _resume.py))
OLDEST_TESTS := $(addprefix tests/,engine trainer runs models metrics data)

# Also what builds the package and others is pinned: pip from 25.3 on reads the second variable for that.
install = PIP_CONSTRAINT=$(1) PIP_BUILD_CONSTRAINT=$(1) $(2)/python -m pip install --quiet -e ".[$(3)]" \
	&& $(2)/python .ci/check_pins.py $(1)

.PHONY: demo test test-oldest test-deepspeed test-vision check clean

demo: .venv/installed
	$(BIN)/hf-dsd demo --task $(TASK)

test: check
	$(BIN)/pytest -n 2

test-oldest: .venv-oldest/installed
	$(OLDEST)/pytest -n 2 $(OLDEST_TESTS)

# Last, and apart: once DeepSpeed is installed, accelerate imports it in every process.
test-deepspeed: .venv/installed
	$(call install,constraints.txt,$(BIN),deepspeed)
	$(BIN)/pytest tests/integrations/test_deepspeed.py

# torchvision does not load beside the torch of constraints.txt; so this is the test of the newest torch as well.
test-vision: .venv-vision/installed
	$(VISION)/pytest -n 2 $(VISION_TESTS)

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-oldest .venv-vision .mypy_cache .ruff_cache .pytest_cache

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(call install,constraints.txt,$(BIN),$(EXTRAS))
	touch $@

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	@echo "the lower bounds are tested with $$($(PYTHON_OLDEST) --version), $(PYTHON_OLDEST)"
	$(PYTHON_OLDEST) -m venv .venv-oldest
	$(call install,constraints-oldest.txt,$(OLDEST),test)
	touch $@

.venv-vision/installed: pyproject.toml constraints-vision.txt
	$(PYTHON) -m venv .venv-vision
	$(call install,constraints-vision.txt,$(VISION),$(VISION_EXTRAS))
	touch $@
