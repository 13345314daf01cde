# Everything a developer or CI runs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q
# Files by name, not by how many tests they have: those that take longest are often alone in theirs.
IN_PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

# Bytecode is kept, as that of an installed package is: tests and benchmarks start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all bench bench-quick bench-models check format protos deploy-check reliability images screenshots clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## create .venv with everything in it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $@

demo: $(INSTALLED)  ## the whole road: data, fit, serve, replay, report
	@PATH="$(CURDIR)/$(BIN):$$PATH" ./demo.sh

test: $(INSTALLED)  ## the fast tests, some minutes
	$(PYTEST) $(IN_PARALLEL) -m 'not slow'

test-all: test  ## every test, those of the server with both fronts
	$(PYTEST) $(IN_PARALLEL) -m 'slow and not alone'
	$(PYTEST) -m alone

bench: $(INSTALLED)  ## our server beside KServe's, MLServer and Triton
	$(BIN)/python -m benchmarks.bench

bench-quick: $(INSTALLED)  ## our server beside its floors, under 3 minutes
	$(BIN)/python -m benchmarks.quick

bench-models: $(INSTALLED)  ## our SVM graphs beside skl2onnx's, side by side
	$(BIN)/python -m benchmarks.models

check: $(INSTALLED)  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reliability: $(INSTALLED)  ## try to break the service: hostile input, faults, limits; under an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[reliability]'
	$(BIN)/python -m reliability --page

deploy-check: $(INSTALLED)  ## manifests, alerts and dashboard against schemas, policy and promtool
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[deploy]'
	$(BIN)/python deploy/fetch_tools.py
	GURMUKHI_DEPLOY_CHECK=1 $(PYTEST) tests/test_deploy_*.py

images:  ## container images of the server with either front, evaluator and trainer, built and tried
	./deploy/build-images.sh
	./deploy/try-images.sh

screenshots: $(INSTALLED)  ## pictures of the page for docs/, by Debian's chromium-driver and fonts-inter
	$(BIN)/python -m trainer fit --data synthetic -q --models build/screenshots/models
	PYTHONPATH=.:tests $(BIN)/python docs/screenshots.py --models build/screenshots/models

format: $(INSTALLED)  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(INSTALLED)  ## write the gRPC stubs from proto/
	$(BIN)/python proto/generate.py

clean:  ## remove what was built, and the environment
	rm -rf $(VENV) build report studies robustness synthetic-report models .mypy_cache .ruff_cache .pytest_cache
