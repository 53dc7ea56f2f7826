SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
# Two cargos at once would only wait for each other.
.NOTPARALLEL:

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

# The crates that know nothing of C: they build and pass on a machine without GlusterFS.
PURE := gnotify-record gnotify-journal gnotify-changelog gnotify-channel gnotify-cli

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

.PHONY: demo
demo: need ## A brick, two mounts, and its journal on the terminal; ONCE=1 ends by itself
	$(CARGO) build --package gnotify --package gnotify-cli
	@ONCE='$(ONCE)' scripts/demo.sh '$(TARGET)'

.PHONY: test
test: need check test-pure test-host ## Everything: formatting, lints and all tests (root)

.PHONY: check
check: ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# The headers are pointed away: nothing here may need them.
.PHONY: test-pure
test-pure: export GNOTIFY_GLUSTERFS_INCLUDE = /nonexistent
test-pure: ## The crates without C, with their loom models (no GlusterFS, no root)
	$(CARGO) test $(addprefix --package ,$(PURE))
	RUSTFLAGS='--cfg loom' $(CARGO) test --package gnotify-journal --release \
	    --target-dir '$(TARGET)/loom' --lib loom

.PHONY: test-host
test-host: ## The tests in a real GlusterFS host (root)
	$(CARGO) build --package gnotify-cli
	$(CARGO) test --workspace $(addprefix --exclude ,$(PURE))

.PHONY: test-long
test-long: export GNOTIFY_TURNS = 20000
test-long: export GNOTIFY_KILL_ROUNDS = 300
test-long: export GNOTIFY_TEST_TIMEOUT = 14400
test-long: need ## The tests of `make test` that can go on for longer, for about an hour (root)
	$(CARGO) build --package gnotify-cli
	$(CARGO) test --package gnotify-journal --test 'p4_*'
	$(CARGO) test --package gnotify --test 'p4_*' --test 'p8_*' --test 'a*' --test 'changelog_*' --test 'stock_*' --test 'glusterfind_*' \
	    --test 'geo_replication_*' \
	    -- --include-ignored

# Sanitizers are in every compiler, but said to be unstable.
TRIPLE := x86_64-unknown-linux-gnu
FUZZ := record statement segment ring packed changelog htime channel_to_brick channel_to_consumer
FUZZ_SECONDS ?= 600

.PHONY: fuzz
fuzz: export RUSTC_BOOTSTRAP = 1
fuzz: ## What others wrote, with anything in it: 10 minutes each; FUZZ_SECONDS=600, FUZZ='segment ring'
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	$(CARGO) run --manifest-path fuzz/Cargo.toml --target-dir '$(TARGET)/fuzz' --bin seeds -- fuzz/corpus
	for target in $(FUZZ); do \
	    $(CARGO) fuzz run --target $(TRIPLE) --target-dir '$(TARGET)/fuzz' "$$target" -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10; \
	done

.PHONY: asan
asan: export RUSTC_BOOTSTRAP = 1
asan: export RUSTFLAGS = -Zsanitizer=address
asan: export GNOTIFY_GLUSTERFS_INCLUDE = /nonexistent
asan: ## The tests of the crates without C, under AddressSanitizer
	$(CARGO) test $(addprefix --package ,$(PURE)) --target $(TRIPLE) --target-dir '$(TARGET)/asan'

.PHONY: torture
torture: export GNOTIFY_ROUNDS = 500
torture: export GNOTIFY_TEST_TIMEOUT = 43200
torture: need ## kill -9 of a brick under load, 500 rounds (root)
	$(CARGO) build --package gnotify-cli
	$(CARGO) test --package gnotify --test 'p4_*'

PARTS ?=

.PHONY: bench
bench: ## What a record costs: tables, and plots under target/bench; PARTS='matrix syscalls' (root)
	@scripts/need.sh valgrind
	$(CARGO) build --release --package gnotify --package gnotify-cli
	$(CARGO) run --release --package gnotify-bench -- $(PARTS)

.PHONY: install
install: ## Plugin, command and man page; DESTDIR= and PREFIX=/usr/local
	$(CARGO) build --release --package gnotify --package gnotify-cli
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' scripts/install.sh \
	    '$(TARGET)/release/libgnotify.so' '$(TARGET)/release/gnotify' docs/gnotify.1

.PHONY: clean
clean: ## Removes everything that was built
	$(CARGO) clean

.PHONY: need
need:
	@scripts/need.sh
