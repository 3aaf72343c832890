# Every target sets up what it needs by itself, from the versions and hashes in requirements/. A stamp
# names what was installed, so a second run needs no network, and a change of the locks, or a moved
# checkout, installs again. The path of the checkout may hold spaces: only relative paths stand here.
MINORS := 14 13 12 11
PYTHON ?= $(firstword $(foreach p,python3 $(MINORS:%=python3.%),$(shell \
	command -v $(p) >/dev/null && $(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	2>/dev/null && echo $(p))))
VENV := .venv
PEERS := .venv-peers
BENCH := .venv-bench
LATEST := .venv-latest
LOCK := .venv-lock
FUZZ := .venv-fuzz
DIST := .venv-dist
PIP := -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore
LOCKED := $(PIP) --require-hashes -r
HERE := -e . -e pdk/python
# What `make` installs and builds hangs on these; the packaging of this checkout on the last three.
key = $(shell { pwd -P; cat requirements/$(1).txt pyproject.toml hatch_build.py pdk/python/pyproject.toml; } \
	| cksum | tr -d ' ')
STAMP := $(VENV)/.installed-$(call key,dev)
PEERS_STAMP := $(PEERS)/.installed-$(call key,peers)
FUZZ_STAMP := $(FUZZ)/.installed-$(call key,fuzz)
BENCH_STAMP := $(BENCH)/.installed-$(call key,bench)
DIST_STAMP := $(DIST)/.installed-$(call key,dist)

# Where HOME cannot be written, what Yoi and pip keep stays in the checkout.
ifneq ($(shell f="$${XDG_CACHE_HOME:-$$HOME/.cache}"; mkdir -p "$$f" 2>/dev/null && test -w "$$f" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.cache
endif

# What `make evidence-short` runs, one after the other: minutes in all. Each is a target below that ends
# with one line of JSON and fails where it found anything.
EVIDENCE := chaos-short workers-short fuzz-short hostile-short crash-short faults-short cluster-short

.DELETE_ON_ERROR:
.PHONY: setup demo test check peers latest lock dist bench networks sizes compliance chaos fuzz hostile floods crash faults workers cluster evidence-short \
	$(EVIDENCE) format clean

# $(call new_venv,FOLDER): an empty environment there, unless one is that was made there.
define new_venv
	@test -n "$(PYTHON)" || { echo "Yoi needs Python 3.11 to 3.14; set PYTHON=..." >&2; exit 1; }
	@{ $(1)/bin/python -m pip --version && grep -qF "$$(pwd -P)/" $(1)/bin/pip; } >/dev/null 2>&1 \
		|| "$(PYTHON)" -m venv --clear $(1) || { \
		echo "could not make $(1); on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(1) (once)" >&2
	@rm -f $(1)/.installed*
endef

$(STAMP):
	$(call new_venv,$(VENV))
	$(VENV)/bin/python $(LOCKED) requirements/dev.txt
	$(VENV)/bin/python $(PIP) --no-deps --no-build-isolation $(HERE)
	@touch $@

$(PEERS_STAMP):
	$(call new_venv,$(PEERS))
	$(PEERS)/bin/python $(LOCKED) requirements/peers.txt
	@touch $@

$(FUZZ_STAMP):
	$(call new_venv,$(FUZZ))
	$(FUZZ)/bin/python $(LOCKED) requirements/fuzz.txt
	@touch $@

$(BENCH_STAMP):
	$(call new_venv,$(BENCH))
	$(BENCH)/bin/python $(LOCKED) requirements/bench.txt
	@touch $@

$(DIST_STAMP):
	$(call new_venv,$(DIST))
	$(DIST)/bin/python $(LOCKED) requirements/dist.txt
	@touch $@

# All that the other targets install, but for `bench`, `dist`, `lock` and `latest`.
setup: $(STAMP) $(PEERS_STAMP)

demo: $(STAMP)
	@$(VENV)/bin/python -m yoi demo

# PYTEST_ARGS="-k queue" for a part of it; TEST_JOBS=0 for one process. The files are divided among the
# processes, so the tests of one file keep their order.
TEST_JOBS ?= 2
test: $(STAMP) $(PEERS_STAMP)
	$(VENV)/bin/python -m pytest -n $(TEST_JOBS) --dist loadfile $(PYTEST_ARGS)

check: $(STAMP)
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -m pytest -q tests/docs

# Clients made by others, which tests and benchmarks run as processes.
peers: $(PEERS_STAMP)

# The suite with the newest versions that pyproject.toml allows: drift is seen here before users see it.
latest: $(PEERS_STAMP)
	$(call new_venv,$(LATEST))
	$(LATEST)/bin/python $(PIP) "pip>=25.1"
	$(LATEST)/bin/python $(PIP) --upgrade --upgrade-strategy eager --group dev $(HERE)
	$(LATEST)/bin/python -m pip list
	$(LATEST)/bin/python -m pytest -n $(TEST_JOBS) --dist loadfile $(PYTEST_ARGS)

# Writes requirements/ anew from pyproject.toml, keeping the versions that still fit; UPGRADE=1 takes
# the newest. Each file is for Python 3.11 to 3.14 on every system.
compile = $(LOCK)/bin/python -m uv --quiet --no-config pip compile --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	--no-emit-package yoi-pdk \
	$(if $(UPGRADE),--upgrade)
lock:
	$(call new_venv,$(LOCK))
	$(LOCK)/bin/python $(LOCKED) requirements/lock.txt
	$(compile) pyproject.toml -o requirements/run.txt
	$(compile) pyproject.toml --all-extras -c requirements/run.txt -o requirements/models.txt
	$(compile) pyproject.toml --group dev -c requirements/models.txt -o requirements/dev.txt
	$(compile) --group bench -c requirements/run.txt -o requirements/bench.txt
	$(compile) pyproject.toml --group fuzz -c requirements/run.txt -o requirements/fuzz.txt
	$(compile) --group peers -o requirements/peers.txt
	$(compile) --group lock -o requirements/lock.txt
	$(compile) --group dist -o requirements/dist.txt

# What could be uploaded, in dist/: each wheel is built from its source distribution. Then the wheels
# alone are tried with every supported Python that is here (packaging/smoke.py); minutes.
dist: $(DIST_STAMP)
	rm -rf dist
	$(DIST)/bin/python -m build --no-isolation --outdir dist pdk/python
	$(DIST)/bin/python -m build --no-isolation --outdir dist .
	$(DIST)/bin/python -m twine check --strict dist/*
	$(DIST)/bin/python packaging/contents.py dist
	$(DIST)/bin/python packaging/smoke.py dist

# Minutes. Each script ends with one line of JSON.
bench: $(STAMP) $(BENCH_STAMP) $(PEERS_STAMP)
	$(VENV)/bin/python benchmarks/frame_path.py
	$(VENV)/bin/python benchmarks/plugin_cost.py
	$(VENV)/bin/python benchmarks/many_services.py
	$(VENV)/bin/python benchmarks/micro.py
	$(VENV)/bin/python benchmarks/observation_core.py
	$(VENV)/bin/python benchmarks/heartbeat.py
	$(VENV)/bin/python benchmarks/recovery.py
	$(VENV)/bin/python benchmarks/dns.py
	$(VENV)/bin/python benchmarks/durable.py
	$(VENV)/bin/python benchmarks/swap.py
	$(VENV)/bin/python benchmarks/worker.py
	$(VENV)/bin/python benchmarks/fanout.py
	$(VENV)/bin/python benchmarks/stalled.py
	$(VENV)/bin/python benchmarks/resume.py
	$(VENV)/bin/python benchmarks/cli_start.py

# Half a minute: dead routes, silent hosts and real proxies in namespaces. Skipped where none can be made.
networks: $(STAMP)
	@$(VENV)/bin/python -m pytest -q -s -rs tests/network

# Minutes: every size, kind of message, way of cutting, direction and queue policy, through the guest.
sizes: $(STAMP)
	@YOI_SIZES=all $(VENV)/bin/python -m pytest -q tests/runtime/test_sizes.py

# About a minute; needs a Python 2.7 for the Autobahn suite, and says so where there is none.
# A newcomer's first hour, from nothing: the wheels alone are installed, then used. The last line is
# JSON (firsthour/README.md).
firsthour: $(STAMP) $(DIST_STAMP)
	rm -rf build/firsthour
	$(DIST)/bin/python -m build --wheel --no-isolation --outdir build/firsthour pdk/python
	$(DIST)/bin/python -m build --wheel --no-isolation --outdir build/firsthour .
	@$(VENV)/bin/python -m firsthour.run --wheels build/firsthour

compliance: $(STAMP)
	$(VENV)/bin/python compliance/run.py

# A seeded month of an unattended worker in compressed time; the last line is JSON.
workers: $(STAMP)
	@$(VENV)/bin/python -m chaos.workers

# About a quarter of an hour; CHAOS_HISTORIES=10 for less. The last line is JSON (chaos/README.md).
chaos: $(STAMP)
	@$(VENV)/bin/python -m chaos.run

# Each round prints its seed; the last line is JSON (fuzzing/README.md). Half of it is guided by coverage.
fuzz: $(STAMP) $(FUZZ_STAMP)
	@$(VENV)/bin/python -m fuzzing.run --minutes $${FUZZ_MINUTES:-10} --guided $(FUZZ)/bin/python

# About ten minutes: every hostile plugin and component beside a neighbour. The last line is JSON (hostile/README.md).
hostile: $(STAMP)
	@$(VENV)/bin/python -m hostile.run

# Three minutes: how long a neighbour waits beside each flood, one host after another. The last line is JSON.
floods: $(STAMP)
	@$(VENV)/bin/python -m hostile.floods

# An hour: `kill -9` of a real host under load, CRASH_KILLS=1000 times. The last line is JSON (crash/README.md).
crash: $(STAMP)
	@$(VENV)/bin/python -m crash.run --kills $${CRASH_KILLS:-1000}

# A quarter of an hour: FAULTS_DISCONNECTS=10000 connections broken in every way. The last line is JSON (faults/README.md).
faults: $(STAMP)
	@$(VENV)/bin/python -m faults.run --disconnects $${FAULTS_DISCONNECTS:-10000}

# An hour: machines that share a deployment broken CLUSTER_FAULTS=200 times, with three NATS servers. The last line is JSON (takeovers/README.md).
cluster: $(STAMP)
	@$(VENV)/bin/python -m takeovers.run --faults $${CLUSTER_FAULTS:-200} --nodes 3 --slow-disks --wrong-clocks

evidence-short: $(STAMP) $(PEERS_STAMP)
	@$(MAKE) --no-print-directory --keep-going --jobs=1 $(EVIDENCE)

chaos-short: $(STAMP)
	@echo "== chaos, five histories"
	@$(VENV)/bin/python -m chaos.run --histories 5 --lanes 2

workers-short: $(STAMP)
	@echo "== a month of an unattended worker"
	@$(VENV)/bin/python -m chaos.workers

fuzz-short: $(STAMP)
	@echo "== fuzzing, one minute"
	@$(VENV)/bin/python -m fuzzing.run --minutes 1

hostile-short: $(STAMP)
	@echo "== sixty hostile plugins beside a neighbour"
	@$(VENV)/bin/python -m hostile.run --sample 60

crash-short: $(STAMP)
	@echo "== fifty kills of a host under load, or three minutes"
	@$(VENV)/bin/python -m crash.run --kills 50 --minutes 3

faults-short: $(STAMP)
	@echo "== connections broken four hundred times, or for a minute"
	@$(VENV)/bin/python -m faults.run --disconnects 400 --lanes 4 --minutes 1

cluster-short: $(STAMP)
	@echo "== machines of a cluster broken for half a minute"
	@$(VENV)/bin/python -m takeovers.run --faults 12 --machines 2 --lanes 3 --workers 2 --backends 0 --lease-ms 3000 --minutes 0.5

format: $(STAMP)
	$(VENV)/bin/python -m ruff format .
	$(VENV)/bin/python -m ruff check --fix .

clean:
	rm -rf .cache $(VENV) $(PEERS) $(BENCH) $(LATEST) $(LOCK) $(FUZZ) $(DIST) dist fuzzing/.corpus benchmarks/.cache .mypy_cache .ruff_cache .pytest_cache
