# Every target sets up .venv by itself. The stamp names what was installed, so a second run needs
# no network, and a change of the dependencies, or a moved checkout, installs again.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell \
	command -v $(p) >/dev/null && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
PIP := -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore
KEY := $(shell { pwd; cat pyproject.toml hatch_build.py pdk/python/pyproject.toml; } | cksum | tr -d ' ')
STAMP := $(VENV)/.installed-$(KEY)
BENCH_STAMP := $(BENCH_VENV)/.installed-$(KEY)

.DELETE_ON_ERROR:
.PHONY: demo test check bench compliance chaos fuzz format clean

# --group needs pip 25.1. pip itself is upgraded first, and only where it is older.
define set_up
	@test -n "$(PYTHON)" || { echo "Yoi needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	@{ $(1)/bin/python -m pip --version && grep -qF "$(CURDIR)/" $(1)/bin/pip; } >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear $(1) || { \
		echo "could not make $(1); on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(1) (once)" >&2
	$(1)/bin/python -c 'import pip; raise SystemExit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))' \
		|| $(1)/bin/python $(PIP) --upgrade "pip>=25.1"
	$(1)/bin/python $(PIP) $(2)
	@rm -f $(1)/.installed*
	@touch $(3)
endef

$(STAMP):
	$(call set_up,$(VENV),--group dev -e . -e pdk/python,$@)

$(BENCH_STAMP):
	$(call set_up,$(BENCH_VENV),--group bench,$@)

demo: $(STAMP)
	@$(BIN)/yoi demo

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

# Minutes. Each script ends with one line of JSON.
bench: $(STAMP) $(BENCH_STAMP)
	BENCH_PYTHON=$(BENCH_VENV)/bin/python $(BIN)/python benchmarks/frame_path.py
	$(BIN)/python benchmarks/plugin_cost.py
	$(BIN)/python benchmarks/many_services.py
	$(BIN)/python benchmarks/micro.py
	$(BIN)/python benchmarks/observation_core.py
	$(BIN)/python benchmarks/heartbeat.py
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/worker.py
	BENCH_PYTHON=$(BENCH_VENV)/bin/python $(BIN)/python benchmarks/fanout.py
	$(BIN)/python benchmarks/stalled.py
	$(BIN)/python benchmarks/resume.py

# About a minute; needs a Python 2.7 for the Autobahn suite, and says so where there is none.
compliance: $(STAMP)
	$(BIN)/python compliance/run.py

# About a quarter of an hour; CHAOS_HISTORIES=10 for less. The last line is JSON (chaos/README.md).
chaos: $(STAMP)
	@$(BIN)/python -m chaos.run

# Each round prints its seed; the last line is JSON (fuzzing/README.md).
fuzz: $(STAMP)
	@$(BIN)/python -m fuzzing.run --minutes $${FUZZ_MINUTES:-10}

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(BENCH_VENV) benchmarks/.cache .mypy_cache .ruff_cache .pytest_cache
