# Set-up, demonstration, checks. `make demo` and `make test` need python3 >= 3.11 with venv, and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= 2

# For `make inject`: a series that has been measured, in this working directory, and the stars to plant.
WORK ?= .
SERIES ?= demo
STARS ?= 200
INJECTION = $(WORK)/injection/$(SERIES)

# For `make same`: the commit to compare with, and inputs with commas between (all of them without).
OLD ?=
INPUTS ?=


# For `make mutants`: how many small changes of the numerics are tried, and the seed of their draw.
N ?= 60
SEED ?= 1

.PHONY: demo test test-slow test-lightkurve lint bench same inject clean mutants

demo: $(READY)
	$(BIN)/snakemake --cores $(CORES)

test: $(READY)
	$(BIN)/python -m pytest -n $(CORES) --dist worksteal -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -n $(CORES) --dist worksteal -m slow

# lightkurve holds pandas below 3, so that it has an environment of its own.
test-lightkurve: .venv-lightkurve/ready
	PYTHONPATH=scripts .venv-lightkurve/bin/python -m pytest -q -p no:cacheprovider tests/io/tess/test_light_curve.py -k lightkurve

.venv-lightkurve/ready: envs/lightkurve.lock
	rm -rf .venv-lightkurve
	$(PYTHON) -m venv .venv-lightkurve
	.venv-lightkurve/bin/python -m pip install -q --disable-pip-version-check -r envs/lightkurve.lock
	touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

bench: $(READY)
	$(BIN)/python -m benchmarks.run

same: $(READY)
	$(BIN)/python benchmarks/same/run.py $(OLD) --cores $(CORES) --inputs "$(INPUTS)"

mutants: $(READY)
	$(BIN)/python benchmarks/mutants/mutants.py --number $(N) --seed $(SEED) --cores $(CORES)

inject: $(READY)
	$(BIN)/gaiaflux inject plant --directory $(WORK) --series $(SERIES) --stars $(STARS)
	$(BIN)/snakemake --cores $(CORES) --configfile $(INJECTION)/config.yaml --directory $(INJECTION)
	$(BIN)/gaiaflux inject compare --directory $(WORK) --series $(SERIES)

.venv: $(READY)

# The last two steps compile the numerical kernels once, so that no job has to.
$(READY): envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gaiaflux needs Python 3.11 or newer: set PYTHON=/path/to/python3"; exit 1; }
	rm -rf $(VENV)
	if command -v uv >/dev/null 2>&1; then \
	    uv venv -q --python "$$(command -v $(PYTHON))" $(VENV) && \
	    uv pip install -q --python $(BIN)/python -r envs/requirements.lock && \
	    uv pip install -q --python $(BIN)/python --no-deps -e . ; \
	else \
	    $(PYTHON) -m venv $(VENV) && \
	    $(BIN)/python -m pip install -q --disable-pip-version-check -r envs/requirements.lock && \
	    $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e . ; \
	fi
	$(BIN)/python -m compileall -q $(VENV)/lib scripts || true
	$(BIN)/python -m gaiaflux.core.kernels
	touch $@

clean:
	rm -rf $(VENV) .venv-lightkurve .snakemake results injection demo logs
