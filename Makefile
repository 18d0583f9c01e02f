# The two commands: `make run` starts the server, `make test` runs every test.
# Each first makes .venv from the hashed lock files, with uv where it is present.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTEST_ARGS ?=
# Half of the tests wait for real processes, so there is one worker more than there are cores.
WORKERS ?= $(shell echo $$(( $$(nproc) + 1 )))

.DEFAULT_GOAL := help
.PHONY: help run fleet test test-faults-long conformance lint format lock web web-check monitoring manifests demo-manuals clean \
	bench bench-markers bench-search bench-retrieval bench-extraction bench-data bench-streaming bench-latency bench-bursts bench-peers-install bench-manuals bench-cache bench-start bench-memory bench-resume bench-feedback bench-exports bench-rollups bench-outage

help: ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

run: $(VENV)/.run ## Start the server with demo manuals; ARGS="--port 9000" passes options
	@$(BIN)/manicule serve $(ARGS)

fleet: $(VENV)/.dev ## Start three nodes, balancer, Redis and PostgreSQL on this machine
	@scripts/require-haproxy
	@$(BIN)/python scripts/run_fleet.py $(ARGS)

# Compiled first: where no bytecode is written, each process that a test starts would do it anew.
test: $(VENV)/.dev ## Run every test against real servers
	@scripts/require-chromium
	@scripts/require-prometheus
	@scripts/require-haproxy
	@$(BIN)/python -m compileall -q manicule prompts protocol server tests/fakes
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-faults-long: $(VENV)/.dev ## Faults for hours; ARGS="MINUTES=60 CLIENTS=200 SEED=1 SEEDS=20000"
	@env $(addprefix MANICULE_TEST_,$(ARGS)) $(BIN)/python -m pytest -m long -v -s tests/faults $(PYTEST_ARGS)
	$(if $(PYTEST_ARGS),,@env MANICULE_TEST_SEEDS=20000 $(addprefix MANICULE_TEST_,$(ARGS)) \
		$(BIN)/python -m pytest -n auto tests/simulation)

conformance: $(VENV)/.dev ## Run Autobahn's WebSocket cases against our stack (needs Python 2.7)
	@$(BIN)/python tests/conformance/autobahn.py --folder $(VENV)/autobahn $(ARGS)

lint: $(VENV)/.dev ## Formatter, linter, types, import contracts, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Write the lock files anew (needs uv)
	scripts/lock

web: ## Build the web page (needs Node 20 or later)
	cd web && npm ci --no-audit --no-fund && npm run build

web-check: ## Prove that the built page equals its sources (needs Node)
	cd web && npm ci --no-audit --no-fund && npm test && npm run check

monitoring: $(VENV)/.dev ## Build dashboards, operator rules and docs/metrics.md from their tables
	$(BIN)/python scripts/write_metrics_doc.py

manifests: $(VENV)/.dev ## Compare the Kubernetes manifests with what kubectl makes of them (needs kubectl)
	$(BIN)/python scripts/check_manifests.py

demo-manuals: $(VENV)/.dev ## Build the demo manuals' PDFs from their sources
	$(BIN)/python scripts/build_demo_manuals.py

bench: $(VENV)/.bench ## Run all benchmarks, write a report with plots; ARGS="--quick"
	@$(BIN)/python -m benchmarks $(ARGS)

bench-data: $(VENV)/.dev ## Fetch PDFs of Debian documentation packages for benchmarks
	$(BIN)/python -m benchmarks.fetch_bench_data $(ARGS)

bench-markers: $(VENV)/.dev ## Marker parser, µs per chunk
	$(BIN)/python -m benchmarks.markers $(ARGS)

bench-search: $(VENV)/.dev ## Catalog search per keystroke
	$(BIN)/python -m benchmarks.search $(ARGS)

bench-retrieval: $(VENV)/.dev ## Recall and cost of retrieval
	$(BIN)/python -m benchmarks.retrieval $(ARGS)

bench-extraction: $(VENV)/.dev ## Pages per second of PDF extraction
	$(BIN)/python -m benchmarks.extraction $(ARGS)

bench-peers-install: ## Install the servers that streaming is measured against, below .tools
	@benchmarks/peers/install

bench-streaming: $(VENV)/.bench ## How many answers one core streams at once, against other servers
	$(BIN)/python -m benchmarks.streaming $(ARGS)

bench-latency: $(VENV)/.bench ## How much later than from the model itself, against other servers
	$(BIN)/python -m benchmarks.added_latency $(ARGS)

bench-bursts: $(VENV)/.bench ## What many questions at once cost those who are reading
	$(BIN)/python -m benchmarks.bursts $(ARGS)

bench-resume: $(VENV)/.dev ## Going on with answers on another node, and what their log costs
	$(BIN)/python -m benchmarks.resume $(ARGS)

bench-feedback: $(VENV)/.dev ## Acknowledged judgements per second against the store's own limit
	$(BIN)/python -m benchmarks.feedback $(ARGS)

bench-outage: $(VENV)/.dev ## Senders, memory and journal while PostgreSQL is away for a minute
	$(BIN)/python -m benchmarks.outage $(ARGS)

bench-exports: $(VENV)/.dev ## Export rows per second per format
	$(BIN)/python -m benchmarks.exports $(ARGS)

bench-rollups: $(VENV)/.dev ## Statistics over 1 M judgements (ARGS="--rows 10000000") against the raw rows
	$(BIN)/python -m benchmarks.rollups $(ARGS)

bench-start: $(VENV)/.dev ## Time and memory of a start, and the commands of the command line
	$(BIN)/python -m benchmarks.start $(ARGS)

bench-scale-out: $(VENV)/.dev ## What an answer costs as nodes are added (ARGS=--model for a thousand)
	@scripts/require-haproxy
	$(BIN)/python -m benchmarks.scale_out $(ARGS)

bench-memory: $(VENV)/.dev ## Memory of idle sockets and running answers, growth over churn
	$(BIN)/python -m benchmarks.memory $(ARGS)

bench-manuals: $(VENV)/.dev ## Question to first token, manuals of 30 to 1,000 pages, cold and warm
	$(BIN)/python -m benchmarks.manuals $(ARGS)

bench-cache: $(VENV)/.dev ## Manuals found prepared, against LRU and the ideal
	$(BIN)/python -m benchmarks.cache $(ARGS)

$(VENV)/.run: requirements.lock pyproject.toml
	@scripts/make-venv "$(PYTHON)" $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml
	@scripts/make-venv "$(PYTHON)" $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.dev requirements-bench.lock
	@scripts/make-venv "$(PYTHON)" $(VENV) requirements-bench.lock
	@touch $@

clean: ## Remove what was made here
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
