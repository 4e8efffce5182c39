# Everything is run from here. Each target sets up .venv by itself, once, and again when pyproject.toml changes.
# PYTHON=/path/to/python3 chooses the interpreter when it is made; VENV=folder puts the environment elsewhere.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

# Two files of tests at a time, after the kernels are compiled: each process would else compile them. Those that take long come first, so that
# none is left for the end, when one process waits for the other.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
KERNELS := $(BIN)/python -c 'from millstream.native.bind import kernels; kernels.load()'

# The share of the examples that property tests draw here: `make test EXAMPLES=1` draws all that they name.
EXAMPLES ?= 0.1
# What runs kernels with range checks: those that call them, and whatever brings them hostile input.
CHECKED := tests/kernels tests/native tests/decode tests/encode tests/fuzz tests/sinks tests/lookups tests/steps tests/functions/test_cases.py \
  tests/functions/test_every_type.py tests/functions/test_automaton.py tests/test_columns.py tests/test_engine.py tests/test_engine_types.py tests/aws/test_envelope.py \
  tests/aws/test_poison.py

# How much of the environment a target needs.
RUN := $(VENV)/.ready-run
DEV := $(VENV)/.ready-dev
BENCH := $(VENV)/.ready-bench
LAYER := $(VENV)/.ready-layer

.PHONY: help demo test docs-test lint check bench bench-cold bench-compare bench-growth fuzz faults crash soak local e2e arm64 wheel layer layer-test sam-test clean

help:
	@echo "make demo    the main job on real data: 336,776 flights, JSON in, Parquet out, under demo/"
	@echo "make test    make lint, then every test: with range checks in the kernels, then as shipped"
	@echo "make docs-test  the tutorial, followed as written in an empty environment and a clone of what is committed; takes minutes"
	@echo "make lint    ruff, mypy, cfn-lint on the SAM template, and whether its table fits its pipeline"
	@echo "make check   make lint, then sam validate --lint, and sam build for two Pythons and both CPUs; needs python3.12 and python3.13, fetches SAM's command line once"
	@echo "make bench   every stage beside its peers on this machine, and every bar: one table, in ten minutes; CLOCK=cpu on a busy machine"
	@echo "make bench-cold  cold starts from the layer beside peers, for Python 3.12 and 3.13 where they are; builds the layers"
	@echo "make bench-compare  BASE=main beside what is checked out, in turn; fails where it is slower beyond noise; ONLY=json for a part"
	@echo "make bench-growth  how cost grows with records, sizes, columns, selectivity and lookups: plots under docs/images/"
	@echo "make fuzz    fuzz the decoder for SECONDS=60; a finding stays as a test"
	@echo "make faults  SEEDS=10000 histories of handlers under faults, every fault and deadline, and the model of the protocol in full"
	@echo "make crash   kill real processes that write to a moto server, and let them race, for about ten minutes"
	@echo "make soak    one process with flights, duplicates, poison and faults for MINUTES=20; its memory is measured"
	@echo "make local   the SAM template with the pipeline in FUNCTION=folder, on this machine, with moto in the place of AWS, until Ctrl-C"
	@echo "make e2e     RECORDS=50000 through each of stream, queues and objects of the deployed template, with faults, on this machine; needs npm and bubblewrap"
	@echo "make arm64   tests and fuzzing on an emulated arm64 CPU, for about half an hour; needs Debian's qemu-user"
	@echo "make wheel   the wheel of this platform, with the compiled kernels, under dist/"
	@echo "make layer   the zips of the Lambda layer, under layer/dist/; PYTHONS=py313 ARCHES=arm64 makes one"
	@echo "make layer-test  tests of handlers from the layer, in a root where nothing else is; needs Debian's bubblewrap"
	@echo "make sam-test  make check, then the template by checkov and cfn-guard, and every test of it; needs npm"
	@echo "make clean   remove what these made"
	@echo "PYTHON=/path/to/python3 chooses the interpreter (3.11 to 3.14) when .venv is made"

demo: $(RUN)
	@$(BIN)/python examples/flights/prepare.py --out demo/input
	@$(BIN)/millstream run examples/flights/pipeline.yaml demo/input/flights.ndjson --out demo/flights

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@($(BIN)/cfn-lint sam/template.yaml && $(BIN)/millstream glue sam/function/pipeline.yaml $(GLUE) --check >/dev/null) & \
	  $(BIN)/mypy; typed=$$?; wait $$! && exit $$typed

# What the template's table is made with; without --check it is written.
GLUE := --resource GlueTable --database '!Ref GlueDatabase' --location '!Sub s3://$${CuratedBucket}/data/' --projection month=1..12 --into sam/template.yaml

# The template by SAM's command line, and builds of it with four layers. Both Pythons must be here, and binutils for both CPUs.
check: lint
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m layer.build --python py312,py313 --arch x86_64,arm64
	@$(BIN)/python -m tests.sam.tools sam >/dev/null
	@LAMBDA_TESTS=required $(PYTEST) --dist load -m long tests/sam/test_sam.py

# The summary of the last run is the last thing printed; CI reads it. Without a network the tests that run inside Lambda's
# own runtime, and those on an emulated arm64 CPU, are skipped, unless LAMBDA_TESTS=required. They are fetched, and kernels compiled, while
# something else is done.
test: lint
	@(for part in lambda_runtime arm64; do $(BIN)/python -m tests.$$part.fetch >/dev/null || exit 1; done) & fetching=$$!; \
	  env -u MILLSTREAM_BACKEND $(KERNELS) & compiling=$$!; \
	  MILLSTREAM_BACKEND=checked $(KERNELS) || exit 1; \
	  wait $$fetching || [ "$$LAMBDA_TESTS" != required ] || exit 1; \
	  echo "Tests, kernels with range checks:"; \
	  EXAMPLES=$(EXAMPLES) MILLSTREAM_BACKEND=checked $(PYTEST) -m "not once and not long" $(CHECKED); passed=$$?; \
	  wait $$compiling && exit $$passed
	@echo "Tests, kernels as shipped:"
	@env -u MILLSTREAM_BACKEND EXAMPLES=$(EXAMPLES) $(PYTEST)

docs-test: $(DEV)
	@$(BIN)/python -m tests.pages docs/tutorial.md README.md

# What is counted: wall, time as it passes, or cpu, the processor's time, which other work on the machine sways less.
CLOCK ?= wall
# The share of the rounds; half of them take more than ten minutes, and medians of more are surer.
SHARE ?= 0.2
# More for pytest: -k json for a part, --markdown FILE, --benchmark-json FILE.
OPTIONS ?=
MEASURED := env -u MILLSTREAM_BACKEND $(BIN)/python -m pytest
bench: $(BENCH)
	@$(MEASURED) benchmarks --clock $(CLOCK) --share $(SHARE) $(OPTIONS)

bench-cold: $(BENCH)
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m layer.build --python py312,py313 --arch $(TESTED_ARCH)
	@$(MEASURED) benchmarks/bench_cold.py --clock $(CLOCK) --share $(SHARE) $(OPTIONS)

BASE ?= main
ONLY ?=
PROCESSES ?= 5
bench-compare: $(BENCH)
	@env -u MILLSTREAM_BACKEND $(BIN)/python benchmarks/compare.py '$(BASE)' --only '$(ONLY)' --processes $(PROCESSES)

bench-growth: $(BENCH)
	@env -u MILLSTREAM_BACKEND $(BIN)/python benchmarks/growth.py --clock $(CLOCK) --out docs/images

SECONDS ?= 60
fuzz: $(DEV)
	@echo "Kernels with range checks:"
	@MILLSTREAM_BACKEND=checked $(BIN)/python -m tests.fuzz --seconds $$(( $(SECONDS) / 2 ))
	@echo "Kernels as shipped:"
	@env -u MILLSTREAM_BACKEND $(BIN)/python -m tests.fuzz --seconds $$(( $(SECONDS) / 2 ))

# A seed that fails is told with the command that runs it alone.
SEEDS ?= 10000
faults: $(DEV)
	@$(KERNELS)
	@$(BIN)/python -m tests.faults --seeds $(SEEDS)
	@$(BIN)/python -m tests.faults.model --full
	@$(PYTEST) -q tests/faults

crash: $(DEV)
	@env -u MILLSTREAM_BACKEND $(BIN)/python -m tests.crash kill --times 300
	@env -u MILLSTREAM_BACKEND $(BIN)/python -m tests.crash race --times 200 --processes 8

MINUTES ?= 20
soak: $(DEV)
	@$(BIN)/python examples/flights/prepare.py --out demo/input
	@env -u MILLSTREAM_BACKEND $(BIN)/python -m tests.crash soak --minutes $(MINUTES)

FUNCTION ?= sam/function
local: $(DEV)
	@$(KERNELS)
	@exec $(BIN)/python -m tests.e2e.local '$(FUNCTION)'

RECORDS ?= 50000
E2E_LAYER := millstream-py313-$(patsubst aarch64,arm64,$(shell uname -m)).zip
e2e: $(DEV)
	@$(BIN)/python examples/flights/prepare.py --out demo/input
	@$(BIN)/python -m layer.build --python py313 --arch $(patsubst aarch64,arm64,$(shell uname -m))
	@$(BIN)/python -m tests.e2e --records $(RECORDS) --layer layer/dist/$(E2E_LAYER)
	@LAMBDA_TESTS=required $(PYTEST) -m "long or not long" tests/sam/test_statemachine.py

# What Python for arm64 can run: no test that starts another Python, compiles, or needs a peer of ours.
ARM64 := $(BIN)/python -m tests.arm64.machine
ARM64_TESTS := tests/kernels tests/decode tests/encode tests/functions tests/fuzz tests/test_columns.py tests/test_engine.py \
  tests/test_engine_types.py tests/sinks/test_parquet.py tests/sinks/test_partition.py --ignore tests/decode/test_json_layout.py
arm64: $(DEV)
	@$(BIN)/python -m pytest tests/arm64
	@env -u MILLSTREAM_BACKEND $(ARM64) -m pytest -p no:cacheprovider $(ARM64_TESTS)
	@echo "arm64, kernels with range checks:"
	@MILLSTREAM_BACKEND=checked $(ARM64) -m tests.fuzz --seconds $(SECONDS)
	@echo "arm64, kernels as shipped:"
	@env -u MILLSTREAM_BACKEND $(ARM64) -m tests.fuzz --seconds $(SECONDS)

wheel: $(DEV)
	@$(PIP) wheel . --no-deps --no-build-isolation --wheel-dir dist
	@ls dist/*.whl

# All that Lambda runs, unless told. Needs Debian's binutils and binutils-aarch64-linux-gnu, and says so.
PYTHONS ?= py312,py313,py314
ARCHES ?= x86_64,arm64
layer: $(LAYER)
	@$(BIN)/python -m layer.build --python '$(PYTHONS)' --arch '$(ARCHES)'

# On each Python that a layer is for and that Lambda has had for long; each must be here.
TESTED := py312 py313
TESTED_ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
layer-test: $(DEV)
	@for python in $(TESTED); do \
	  $(BIN)/python -m layer.build --python $$python --arch $(TESTED_ARCH) && \
	  LAMBDA_LAYER=layer/dist/millstream-$$python-$(TESTED_ARCH).zip LAMBDA_TESTS=required \
	    $(PYTEST) --dist load -m "long or not long" tests/layer/test_sandbox.py tests/aws/test_functions.py tests/aws/test_runtime.py \
	      tests/aws/test_user_functions.py || exit 1; \
	done
	@LAMBDA_TESTS=required $(PYTEST) -m long --ignore tests/sam

sam-test: check
	@$(BIN)/python -m tests.sam.tools >/dev/null
	@LAMBDA_TESTS=required $(PYTEST) -m "long or not long" tests/sam --ignore tests/sam/test_sam.py

clean:
	rm -rf .venv build dist layer/dist demo .cache/lambda .cache/arm64 .cache/layer .cache/cold .cache/npm .cache/sam sam/.aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

# The first interpreter on PATH that will do. Debian's python3 lacks ensurepip until python3-venv is installed.
$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; \
	  then $$python -m venv --clear $(VENV) && exit 0; fi; \
	  if [ -n "$(PYTHON)" ]; then break; fi; \
	done; \
	echo "No Python 3.11 to 3.14 that can make a virtual environment$(if $(PYTHON), at $(PYTHON)): install one" \
	  "(Debian: apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3" >&2; exit 1

# Without build isolation: an editable install compiles nothing, so that numba need not be fetched twice.
$(VENV)/.ready-%: $(VENV)/pyvenv.cfg pyproject.toml hatch_build.py
	@echo "Setting up $(VENV) ($*), about a minute the first time ..."
	@$(PIP) install 'hatchling>=1.26,<2' 'uv>=0.11,<1'
	@UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --editable '.[$(EXTRAS_$*)]' || \
	  { echo "uv cannot, pip may: it reads pip's own settings, such as mirrors ..."; $(PIP) install --no-compile --no-build-isolation --editable '.[$(EXTRAS_$*)]'; }
	@touch $(addprefix $(VENV)/.ready-,$(HOLDS_$*))

EXTRAS_run := udf,cli,aws
EXTRAS_layer := udf,layer
EXTRAS_dev := udf,cli,aws,layer,dev
EXTRAS_bench := udf,cli,aws,layer,dev,bench

# What an environment is ready for, once it is set up for a target.
HOLDS_run := run
HOLDS_layer := layer
HOLDS_dev := run layer dev
HOLDS_bench := run layer dev bench
