# Two commands matter: `make demo` and `make test`. Both need Python 3.11 or newer with pip, and nothing else.
# PYTHON chooses the interpreter that the environment is made with: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Two threads in all: commands that use one process get two, the tests get two processes with one each.
TWO_THREADS := OMP_NUM_THREADS=2
ONE_THREAD := OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test check browser engines results docs builtin clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## watch the built-in model's window grow eight-fold; leaves demo/
	rm -rf demo demo.partial
	$(TWO_THREADS) $(BIN)/ropewalk demo -o demo

test: check ## check the code, then run all tests
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2

check: $(VENV)/installed-dev ## style, types and layers, without the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

browser: $(VENV)/installed-browser ## look at the HTML report in Chromium (Debian's package, or CHROMIUM=program)
	$(ONE_THREAD) $(BIN)/python -m pytest tests/browser

engines: $(VENV)/installed-engines ## compare llama.cpp itself with the applied methods (builds it first: 10 to 50 minutes)
	$(ONE_THREAD) $(BIN)/python scripts/measure_llama_cpp.py --output results/engines

results: demo ## measure again what results/ holds, then write the documents (half an hour)
	mkdir -p results/demo
	cp demo/result.json demo/figure.png results/demo/
	$(TWO_THREADS) $(BIN)/python scripts/measure_control.py --demo demo --output results/control
	$(TWO_THREADS) $(BIN)/python scripts/measure_builtin.py --output results/builtin
	$(BIN)/ropewalk report results/demo -o results/report/demo.html
	$(BIN)/python scripts/make_docs.py

docs: $(VENV)/installed-dev ## write the generated parts of README and docs/
	$(BIN)/python scripts/make_docs.py

builtin: $(VENV)/installed-dev ## train the built-in model anew (an hour; needs a C++ compiler)
	$(TWO_THREADS) $(BIN)/python scripts/train_builtin.py --compile --output src/ropewalk/assets/builtin

clean: ## remove the environment and the demo
	rm -rf $(VENV) demo demo.partial

# The stamps are files that stand for an installation: it is repeated only when what it was made from is newer.
$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "ropewalk needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml constraints.txt
	$(INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/created pyproject.toml constraints.txt
	$(INSTALL) -e '.[dev]'
	@touch $@
	@touch $(VENV)/installed

$(VENV)/installed-engines: $(VENV)/installed-dev
	$(INSTALL) -e '.[dev,llama-cpp]'
	@touch $@

$(VENV)/installed-browser: $(VENV)/installed-dev
	$(INSTALL) -e '.[dev,browser]'
	@touch $@
