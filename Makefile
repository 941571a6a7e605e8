# `make serve` runs the server, `make test-fast` the tests that need only Python, `make test` all tests.
# Each installs its requirements into .venv; nothing else on the machine is touched.

# The first Python that runs and is new enough; PYTHON=... selects another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    $$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
# Tests start many programs: compiled files are kept whatever the environment says, or each start would compile again.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The tests without a marker of their own; pyproject.toml describes the markers.
PLAIN := not browser and not real_client and not crash and not timing and not release
FAST := "$(PLAIN) and not slow"
PARALLEL := -n 3

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A plain explanation in addition to pip's own error message.
NOT_INSTALLED := { echo "CloudLink could not be installed: the first start needs the internet, to fetch the packages \
that CloudLink uses. Is this computer online? Then see what pip says above." >&2; exit 1; }

.PHONY: serve examples test test-fast test-release coverage lint autobahn newcomer faults chaos attack fuzz mutate soak bench bench-quick bench-compare release single-file docs clean
.DEFAULT_GOAL := serve

$(BIN)/python:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(NEW_ENOUGH)'; then \
	  echo "CloudLink needs Python 3.11 or newer; install it, or name it: make PYTHON=/path/to/python"; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python cannot create an environment. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }

$(VENV)/.serve: pyproject.toml | $(BIN)/python
	@echo "Installing what CloudLink needs into $(VENV) ..."
	@$(INSTALL) -e . || $(NOT_INSTALLED)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing what CloudLink and its tests need into $(VENV) ..."
	@$(INSTALL) -e '.[dev]' || $(NOT_INSTALLED)
	@touch $@ $(VENV)/.serve

serve: $(VENV)/.serve
	@exec $(BIN)/cloudlink serve $(ARGS)

examples: | $(BIN)/python
	@$(BIN)/python examples/build.py $(ARGS)

# Tests mostly wait, so several processes share them; those that measure times run alone. With ARGS, one process runs
# what ARGS selects.
test: $(VENV)/.dev
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest $(PARALLEL) -m "not timing and not release"
	$(BIN)/python -m pytest -m timing
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest $(if $(strip $(ARGS)),,$(PARALLEL)) -m $(FAST) $(ARGS)

# Builds the packages and the single file, installs and starts them.
test-release: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL) -m release $(ARGS)

# pyproject.toml lists the modules with a coverage floor.
coverage: $(VENV)/.dev
	@rm -f .coverage
	timeout 600 $(BIN)/python -m pytest $(PARALLEL) -m $(FAST) --cov --cov-report= $(ARGS)
	$(BIN)/coverage report

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

autobahn: $(VENV)/.dev
	$(BIN)/python -m tests.autobahn $(ARGS)

# Rounds of all kinds of storage file faults; ARGS=--quick takes under a minute.
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults $(ARGS)

# Does what the README and the first-game page say, in a fresh copy; needs the ports 3000 and 4000.
newcomer: | $(BIN)/python
	@$(BIN)/python scripts/newcomer.py

# Everything that can go wrong between several processes, 5 times each, in a quarter of an hour; ARGS=--quick takes a minute.
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos $(ARGS)

# More than sixty attacks on a server with honest players, in a quarter of an hour; ARGS=--quick takes two minutes.
attack: $(VENV)/.dev
	$(BIN)/python -m tests.attacks $(ARGS)

# Whatever hostile programs could send, for a minute; ARGS="--seconds 1200" takes longer.
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz $(ARGS)

# Plants single faults in a copy and says which of them the tests notice; ARGS="--count 100 --only delivery --seed 2".
mutate: $(VENV)/.dev
	$(BIN)/python -m tests.mutate $(ARGS)

# 500 players who come and go for half an hour, with and without TLS; ARGS=--quick takes a minute and a half.
soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(VENV)/.dev
	$(BIN)/python -m bench --quick $(ARGS)

# Two commits in turn: BASE=v1.0.0 is the old one, the working tree the new one; ROUNDS=10 and ONLY=fanout,players are optional.
bench-compare: $(VENV)/.dev
	@$(if $(BASE),,echo "Name the commit to compare with: make bench-compare BASE=v1.0.0" >&2; exit 2)
	$(BIN)/python -m bench.compare $(BASE) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY)) $(ARGS)

# VERSION=1.2.3 names the release; DRY=1 does everything except commit and tag.
release: $(VENV)/.dev
	$(BIN)/python scripts/release.py $(if $(DRY),--dry) $(VERSION)

# One executable file, for computers without Python: dist/cloudlink.
single-file: | $(BIN)/python
	$(BIN)/python deploy/single-file/single_file.py $(ARGS)

# The site of the docs, in build/site; its tools are large and have an environment of their own.
.venv-docs/.docs: pyproject.toml site/requirements.txt | $(BIN)/python
	@echo "Installing what the site of the docs needs into .venv-docs ..."
	@$(BIN)/python -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -e . -r site/requirements.txt || $(NOT_INSTALLED)
	@touch $@

docs: .venv-docs/.docs
	@.venv-docs/bin/python site/make.py $(ARGS)

clean:
	rm -rf build/site .venv .venv-* bench/.env tests/.env
