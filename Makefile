# Every target sets up what it needs. From any folder: make -C FOLDER demo

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUNNER = $(BIN)/python

# Without its cache Python compiles everything again in each of the tests' processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint check format bench docs clean

demo: $(READY)  ## the whole job on services on this machine
	$(BIN)/python ingest_weather.py demo

test: $(READY)
	$(RUNNER) -m pytest -q -n 4

lint: $(READY)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

check: lint  ## what CI runs: format, lint, types, and `make test` with branch coverage
	$(BIN)/coverage erase
	$(MAKE) test RUNNER="$(BIN)/coverage run"
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) build/bench/.ready  ## ratios, measured side by side in one run; then a soak test
	$(BIN)/python benchmarks/cold_run.py
	$(BIN)/python benchmarks/many_places.py
	$(BIN)/python benchmarks/soak.py

build/bench/.ready: requirements.txt requirements-bench.txt  # aws-sdk-pandas, to measure against
	@$(PYTHON) -m venv build/bench
	build/bench/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements-bench.txt
	@touch $@

$(READY): requirements.txt requirements-plot.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "The venv module is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

docs: $(READY)  ## what is made from the code: README's tables, config.example.env, the dashboard
	$(BIN)/python -m deploy.make_docs
	@mkdir -p build
	$(BIN)/python -m deploy.make_dashboard > build/grafana-dashboard.json
	mv build/grafana-dashboard.json deploy/grafana-dashboard.json

clean:
	rm -rf $(VENV) build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
