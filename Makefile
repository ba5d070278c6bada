# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each makes the environment first if it is missing.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  := 2.13.0
EXTRAS ?= dev,docs

.PHONY: demo test test-slow test-scatter bench docs lint format examples ci clean


$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	@# A CPU build serves where there is no NVIDIA GPU: the first index that has
	@# one wins, and only then the default build with its gigabytes of CUDA.
	if command -v nvidia-smi >/dev/null; then \
	  $(BIN)/pip install -q torch==$(TORCH); \
	else \
	  $(BIN)/pip install -q torch==$(TORCH)+cpu 2>/dev/null || \
	  $(BIN)/pip install -q --index-url https://download.pytorch.org/whl/cpu torch==$(TORCH)+cpu || \
	  $(BIN)/pip install -q torch==$(TORCH); \
	fi
	touch $@

$(VENV)/.env: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

demo: $(VENV)/.env
	$(BIN)/python -m pyg_setops compare --data qm9 --target homo \
	  --aggr mean sum set_transformer swarm --output runs/demo

test: $(VENV)/.env
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.env
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow and not gpu'

# The same tests with torch-scatter; it builds from source for minutes, so it has
# an environment of its own.
test-scatter:
	$(MAKE) VENV=.venv-scatter .venv-scatter/.env
	.venv-scatter/bin/python -c 'import torch_scatter' 2>/dev/null || { \
	  .venv-scatter/bin/pip install -q 'setuptools<80' wheel && \
	  .venv-scatter/bin/pip install -q --no-build-isolation torch-scatter==2.1.2; }
	PYG_SETOPS_BACKEND=torch_scatter .venv-scatter/bin/python -m pytest -n 2 --dist loadfile

bench: $(VENV)/.env
	$(BIN)/python -m benchmarks

docs: $(VENV)/.env
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

examples: $(VENV)/.env
	for example in examples/*.py; do echo "== $$example"; \
	  $(BIN)/python $$example --smoke || exit 1; done

lint: $(VENV)/.env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ci: lint test examples docs

clean:
	rm -rf $(VENV) .venv-scatter runs docs/_build
