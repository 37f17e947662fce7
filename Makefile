# Every target makes .venv from the lock file by itself: with uv where it is installed, else with pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ACTIVATED := PATH="$(CURDIR)/$(BIN):$$PATH" DVC_NO_ANALYTICS=1

.PHONY: help install repro test lint docs store ui bench picture lock clean

help:  ## these lines
	@sed -n 's/^\([a-z]*\):[^#]*##  *\(.*\)/make \1\t\2/p' Makefile | expand -t 16

install: $(INSTALLED)  ## .venv with everything

repro: $(INSTALLED)  ## download, prepare, train, evaluate, report: what is stale
	$(ACTIVATED) dvc repro

test: $(INSTALLED)  ## all tests that need nothing but Python
	$(ACTIVATED) pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40

lint: $(INSTALLED)  ## style, formatting, types, spelling, documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/pytest tests/documents/test_links.py tests/documents/test_language.py

docs: $(INSTALLED)  ## docs/faults.md, from the faults' cards
	$(BIN)/python -m pipeline.diagnosis.faults

store: $(INSTALLED)  ## src/pipeline/tracking/mlflow_store.sql, from the installed MLflow
	$(BIN)/python -c "from pipeline.tracking.fresh import write_statements; write_statements()"

ui: $(INSTALLED)  ## MLflow's UI over the project's record
	$(BIN)/pipeline ui

bench: $(INSTALLED)  ## speed against peers, in the same run
	$(BIN)/python benchmarks/versus_keras.py

picture: $(INSTALLED)  ## the README's picture of the report (needs Chromium)
	$(BIN)/python tests/browser/picture.py

lock:  ## renew requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --group dev \
	  --extra tensorboard --extra slurm --extra postgres --extra onnx pyproject.toml \
	  --no-header --no-annotate --upgrade -o requirements.lock

clean:  ## remove the environment and everything the pipeline made, but not the record of runs
	rm -rf $(VENV) data/processed models results/*/*.png results/*/*.csv outputs multirun checkpoints

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) --version); needed is Python 3.11 to 3.13. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@if command -v uv >/dev/null; then \
	  echo "installing with uv"; \
	  uv pip install --quiet --python $(VENV) -r requirements.lock && \
	  uv pip install --quiet --python $(VENV) --no-deps -e .; \
	else \
	  echo "installing with pip; a few minutes on the first run"; \
	  $(BIN)/python -m pip install --quiet -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps -e .; \
	fi
	@touch $@
