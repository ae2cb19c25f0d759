# Everything a newcomer needs. `make help` lists it.
SHELL := /bin/bash
# One build folder for every clone on this machine. Set CARGO_TARGET_DIR to put it elsewhere.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/daymill/target
DAYMILL := $(CARGO_TARGET_DIR)/debug/daymill
DATE ?= 2013-06-08
FUZZ_SECONDS ?= 12

.PHONY: help build install dist dist-test demo test snapshots faults faults-long sql-long fuzz avx512 lint bench fixtures clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the release binary
	cargo build --release --locked

install: ## Build the release and put daymill on the PATH (~/.cargo/bin)
	cargo install --path . --locked

dist: ## Make a Python wheel, a .deb and an archive in dist/, and try each in a new folder
	scripts/dist.sh release
	scripts/try-dist.sh

dist-test: ## The same of what the tests built, to try the packages quickly
	scripts/dist.sh test
	scripts/try-dist.sh dist/test

demo: ## Build quickly, score a night of flights into SQLite and show the result
	cargo build --locked
	$(DAYMILL) run flight_delay --date $(DATE)
	@echo
	$(DAYMILL) runs --limit 3
	@echo
	@echo "The scores are in the table flight_delay_scores of .daymill/warehouse.sqlite"

test: ## Run all tests, those on Postgres included
	DAYMILL_TEST_TOOLS=1 scripts/with-postgres.sh cargo test --locked --features failpoints

faults: ## The whole catalogue of faults (a quarter of an hour)
	DAYMILL_TEST_TOOLS=1 DAYMILL_FAULTS=full scripts/with-postgres.sh cargo test --locked --features failpoints --test it faults -- --nocapture

snapshots: ## Take what the program prints now for right: messages, help, docs/reference, schemas; read the difference
	INSTA_UPDATE=always scripts/with-postgres.sh cargo test --locked --features failpoints --test it snapshots:: reference:: gallery::

sql-long: ## Drawn queries against Postgres for an hour
	scripts/with-postgres.sh env DAYMILL_SQL_QUERIES=400000 cargo test --locked --features failpoints --test it sql::generated::drawn_queries_have -- --nocapture

faults-long: ## 10,000 random kills (half an hour)
	DAYMILL_TEST_TOOLS=1 DAYMILL_FAULTS=long scripts/with-postgres.sh cargo test --locked --features failpoints --test it f03 -- --nocapture

avx512: ## The tests of the tree kernels on an emulated processor (ten minutes at most; Debian 12)
	scripts/emulate-avx512.sh

lint: ## rustfmt, clippy, rustdoc and spelling, warnings as errors
	cargo fmt --check
	cargo clippy --locked -- -D warnings
	cargo clippy --locked --all-targets --features failpoints -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --document-private-items
	scripts/typos.sh

fuzz: ## Fuzz the parsers of hostile bytes, FUZZ_SECONDS each (ten parsers)
	scripts/fuzz.sh $(FUZZ_SECONDS)

bench: build ## Measure the flights pipeline beside a careful Python one (minutes; needs python3)
	PG_SHARED_BUFFERS=1GB scripts/with-postgres.sh benches/run.sh

fixtures: ## Make the fixtures and the model bundles again (needs python3)
	python3 -m venv $(CARGO_TARGET_DIR)/fixtures-venv
	$(CARGO_TARGET_DIR)/fixtures-venv/bin/pip install --quiet -r fixtures/requirements.txt
	$(CARGO_TARGET_DIR)/fixtures-venv/bin/python fixtures/make_fixtures.py
	$(CARGO_TARGET_DIR)/fixtures-venv/bin/python fixtures/make_foreign.py
	$(CARGO_TARGET_DIR)/fixtures-venv/bin/python fixtures/make_frames.py
	$(CARGO_TARGET_DIR)/fixtures-venv/bin/python fixtures/make_shop.py
	$(CARGO_TARGET_DIR)/fixtures-venv/bin/python fixtures/make_run_qc.py

clean: ## Remove what runs left behind
	rm -rf .daymill
