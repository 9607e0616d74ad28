# Two commands matter to a newcomer: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
TASK ?= captioning
# What pip installs beside the package; CI adds the extras whose tests are skipped without them.
EXTRAS ?= dev
# One thread per process: several torch processes with several threads each slow one another down.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check clean

demo: .venv/installed
	$(BIN)/hf-dsd demo --task $(TASK)

test: check
	$(BIN)/pytest -n 2

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@
