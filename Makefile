# `make demo` and `make test` set up all they need: a virtual environment from the locked
# requirements and, for the tests, the servers they run against.

PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell python$(v) --version >/dev/null 2>&1 && echo python$(v))) python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := $(VENV)/.torch

.PHONY: help demo test lint format bench docs screenshots lock peers audit clean

help: ## Show what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# Compiled when first imported: of most packages only a few modules are.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile

$(READY): requirements/dev.txt pyproject.toml src/metalscope/_core.c
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Not locked with hashes: which build of PyTorch there is depends on the platform and the index.
$(TORCH): $(READY) requirements/torch.txt
	$(INSTALL) -r requirements/torch.txt
	@touch $@

demo: $(READY) ## Run real MLX work under telemetry; dashboard and /metrics up, a report at the end
	$(BIN)/metalscope demo $(ARGS)

# Tests wait for servers and processes as well as compute: one more than two processors.
WORKERS ?= 3

test: $(READY) $(TORCH) peers ## Run all tests, against real servers and a real browser
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0 $(ARGS)

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## Format and sort
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) $(TORCH) ## Measure what recording costs, against peers and a floor
	$(BIN)/python bench $(ARGS)

docs: $(READY) ## Build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

screenshots: $(READY) peers ## Take the documentation's pictures of the dashboard anew
	$(BIN)/python scripts/screenshots.py

peers: ## Install the servers and the browser the tests use (Debian and Ubuntu; else says what is missing)
	@sh scripts/install-peers.sh

lock: $(READY) ## Lock the development requirements anew
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --quiet --extra server --extra mlx --extra webgpu --extra top --extra export --extra grpc --extra ml --extra alerts --extra logs --extra dashboards --extra oidc --group dev \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --upgrade -o requirements/dev.txt

# In an environment of its own: it brings libraries that the tests are not locked to. It asks a
# database over the network, so it is no part of `make test`.
AUDIT := build/audit

audit: requirements/dev.txt ## Look up the locked packages among known vulnerabilities (network)
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check pip-audit
	$(AUDIT)/bin/pip-audit --require-hashes --disable-pip -r requirements/dev.txt

clean: ## Remove the virtual environment and all that was built
	rm -rf $(VENV) build dist site *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
