# Chancery. `make` alone lists the targets.
#
# Every tool is pinned here and installed below .tools by `go install`, once
# for each pair of tool and Go version; a machine needs Go, make and bash.
# Node adds the TypeScript client's tests and the lint of the OpenAPI
# document, and `make e2e` needs it; a C compiler adds the race detector. What is left out for want of
# one says so, and is a failure when CI=true.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# A target that failed leaves no half-written file behind.
.DELETE_ON_ERROR:

GO ?= go

GOLANGCI_LINT_VERSION := v2.15.0
GOFUMPT_VERSION       := v0.12.0
DEADCODE_VERSION      := v0.52.0
GO_LICENSES_VERSION   := v1.6.0
GOVULNCHECK_VERSION   := v1.9.0
BENCHSTAT_VERSION     := v0.0.0-20260908200009-22c9c6c9d4da
REDOCLY_VERSION       := 2.77.0
TLOG_FSCK_VERSION     := v1.0.4
NATS_CLI_VERSION      := v0.5.0

# A tool built by another Go may refuse to read this one's code, so the Go
# version is part of the path.
TOOLS         := $(CURDIR)/.tools/$(shell $(GO) env GOVERSION)
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
GOFUMPT       := $(TOOLS)/gofumpt-$(GOFUMPT_VERSION)/gofumpt
DEADCODE      := $(TOOLS)/deadcode-$(DEADCODE_VERSION)/deadcode
GO_LICENSES   := $(TOOLS)/go-licenses-$(GO_LICENSES_VERSION)/go-licenses
GOVULNCHECK   := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck
BENCHSTAT     := $(TOOLS)/benchstat-$(BENCHSTAT_VERSION)/benchstat
TLOG_FSCK     := $(TOOLS)/tlog-fsck-$(TLOG_FSCK_VERSION)/fsck
NATS_CLI      := $(TOOLS)/nats-$(NATS_CLI_VERSION)/nats

# make run
DATA   ?= chancery-data
LISTEN ?= 127.0.0.1:8420

# make test: PKG narrows it, RUN names tests.
PKG          ?= ./...
RUN          ?= .
TEST_TIMEOUT ?= 15m

# make bench: the load tool's flags (bin/hammer --help), then those of the Go
# benchmarks.
HAMMER        ?= --secrets 100000 --history 10000 --runs 3 --duration 2s --workloads read,mint,decrypt,list,history,mixed,update,create --restarts --offline --out docs/benchmarks.md
BENCH         ?= .
BENCHTIME     ?= 1s
BENCHCOUNT    ?= 6
BENCH_TIMEOUT ?= 60m

# make fuzz: FUZZ is a regular expression on "package target".
FUZZ     ?= .
FUZZTIME ?= 20s

# Licenses that the binary may carry. MPL-2.0 and stronger need a decision.
LICENSES := Apache-2.0,BSD-2-Clause,BSD-3-Clause,ISC,MIT

# Packages that other people's programs call, so main need not reach every
# function of them; what serves tests: packages ending in test, the logs in
# memory, the API document, the check of an open index; and the methods that
# keep a secret out of a print that nobody means to make. Paths within the module.
DEADCODE_ROOTS := ^(client|domain|kms/seal|httpapi/wire)/|[a-z]test/|func: (NewMemory|Memory[A-Za-z]*\.|(newM|m)emory[A-Z][A-Za-z]*(\.|$$)|OpenAPI$$|[A-Za-z]+\.(String|GoString|LogValue)$$)|^projections/accesslog/check\.go:[0-9:]+ unreachable func: (Check|Store\.checkMemory)$$

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/chancery
	$(GO) build -trimpath -o bin/chancery ./cmd/chancery

.PHONY: run
run: build ## Serve on LISTEN (127.0.0.1:8420) with its data in DATA (chancery-data)
	@exec ./bin/chancery serve --data "$(DATA)" --listen "$(LISTEN)"

.PHONY: test
test: test-go test-ts ## Run the whole suite (PKG=./kms/... and RUN=Name narrow the Go part)

# The race detector is tried rather than guessed: it needs cgo, a compiler and
# the C library's headers.
.PHONY: test-go
test-go: ## Run the Go tests, with the race detector where it works
	@race=-race; \
	if ! $(GO) build -race runtime/race runtime/cgo >/dev/null 2>&1; then \
		race=; \
		echo "test: no race detector here (it needs cgo and a C compiler)" >&2; \
		if [[ "$${CI:-}" == true ]]; then echo "test: CI does not go without" >&2; exit 1; fi; \
	fi; \
	set -x; $(GO) test $$race -timeout $(TEST_TIMEOUT) -run '$(RUN)' $(PKG)

# KILLS is how often the server gets SIGKILL in the middle of writes.
KILLS ?= 200
.PHONY: kill
kill: ## Kill the server KILLS times (200) under load: nothing acknowledged is lost or doubled
	CHANCERY_TEST_KILL_ROUNDS=$(KILLS) $(GO) test -count 1 -timeout 30m -run '^TestKillLosesAndDoublesNothing$$' -v ./cmd/chancery/server

.PHONY: test-ts
test-ts: ## Run the TypeScript client's tests against a real server
	@./scripts/ts-test.sh

# Other people's tools verify what the binary wrote and follow its events. They
# know nothing of ours. NATS_PYTHON, a Python with nats-py, adds that client.
.PHONY: e2e
e2e: build $(TLOG_FSCK) $(NATS_CLI) ## Run the binary; tools and clients of others verify its logs and follow its events
	$(GO) vet -tags e2e ./e2e
	CHANCERY_BINARY=$(CURDIR)/bin/chancery TLOG_FSCK=$(TLOG_FSCK) NATS_CLI=$(NATS_CLI) $(GO) test -count 1 -tags e2e -timeout 5m ./e2e

.PHONY: lint
lint: lint-go lint-mod lint-dead lint-licenses lint-vuln lint-openapi ## Check everything that can be checked without running it

.PHONY: lint-go
lint-go: $(GOLANGCI_LINT) $(GOFUMPT)
	$(GO) vet ./...
	@out=$$($(GOFUMPT) -l .); \
	if [[ -n $$out ]]; then echo "lint: not gofumpt's format (make fmt):"; echo "$$out"; exit 1; fi
	$(GOLANGCI_LINT) run

.PHONY: lint-mod
lint-mod:
	$(GO) mod verify
	$(GO) mod tidy -diff

# Two gates: nothing that neither main nor a test reaches, and nothing in the
# packages of the program that main does not reach.
.PHONY: lint-dead
lint-dead: $(DEADCODE)
	@out=$$($(DEADCODE) -test ./...); \
	if [[ -n $$out ]]; then echo "lint: neither main nor a test reaches:"; echo "$$out"; exit 1; fi
	@out=$$($(DEADCODE) ./... | { grep -vE '$(DEADCODE_ROOTS)' || true; }); \
	if [[ -n $$out ]]; then echo "lint: main never reaches:"; echo "$$out"; exit 1; fi
	@echo "lint: no dead code"

.PHONY: lint-licenses
lint-licenses: $(GO_LICENSES)
	@err=$$($(GO_LICENSES) check --allowed_licenses=$(LICENSES) ./cmd/... ./client/... 2>&1 >/dev/null) || { echo "$$err"; exit 1; }
	@echo "lint: every license that the binary carries is one of $(LICENSES)"

# The database lies on another host. Without it there is nothing to say.
.PHONY: lint-vuln
lint-vuln: $(GOVULNCHECK)
	@out=$$($(GOVULNCHECK) ./... 2>&1) && { echo "lint: no known vulnerability is reachable"; exit 0; }; \
	if grep -q 'fetching vulnerabilities' <<<"$$out"; then \
		echo "lint: SKIPPED govulncheck: its database is out of reach" >&2; \
	else echo "$$out"; exit 1; fi

.PHONY: lint-openapi
lint-openapi:
	@if command -v npx >/dev/null; then \
		REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npx --yes @redocly/cli@$(REDOCLY_VERSION) lint --extends=recommended httpapi/openapi.yaml; \
	else \
		echo "lint: SKIPPED httpapi/openapi.yaml: there is no npx" >&2; \
		if [[ "$${CI:-}" == true ]]; then echo "lint: CI does not go without" >&2; exit 1; fi; \
	fi

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the Go code and group its imports
	$(GOLANGCI_LINT) fmt

.PHONY: tidy
tidy: ## Make go.mod and go.sum say what the code imports
	$(GO) mod tidy

.PHONY: bench
bench: build ## Load a server with every workload and write docs/benchmarks.md (5 minutes)
	@mkdir -p .bench
	$(GO) build -trimpath -o bin/hammer ./cmd/hammer
	./bin/hammer $(HAMMER) | tee .bench/hammer.txt

.PHONY: bench-go
bench-go: $(BENCHSTAT) ## Run the Go benchmarks; compares with .bench/base.txt if you copied one there
	@mkdir -p .bench
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) -timeout $(BENCH_TIMEOUT) $(PKG) | tee .bench/new.txt
	@if [[ -e .bench/base.txt ]]; then $(BENCHSTAT) .bench/base.txt .bench/new.txt; else $(BENCHSTAT) .bench/new.txt; fi

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s); FUZZ='kms.*Parse' picks
	@list=$$($(GO) test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	targets=$$(awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }' <<<"$$list" | { grep -E '$(FUZZ)' || true; }); \
	if [[ -z $$targets ]]; then echo "fuzz: no target matches $(FUZZ)" >&2; exit 1; fi; \
	while read -r pkg target; do \
		echo "fuzz: $$pkg $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null; \
	done <<<"$$targets"

.PHONY: tools
tools: $(GOLANGCI_LINT) $(GOFUMPT) $(DEADCODE) $(GO_LICENSES) $(GOVULNCHECK) $(BENCHSTAT) $(TLOG_FSCK) $(NATS_CLI) ## Install the pinned tools below .tools

.PHONY: clean
clean: ## Remove what was built, tools included; never a data directory
	rm -rf bin .bench .tools client/ts/dist client/ts/node_modules

# The environment of the one who calls make must not change what is built.
install = GOFLAGS= GOBIN=$(@D) $(GO) install $(1)

$(GOLANGCI_LINT):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION))
$(GOFUMPT):
	$(call install,mvdan.cc/gofumpt@$(GOFUMPT_VERSION))
$(DEADCODE):
	$(call install,golang.org/x/tools/cmd/deadcode@$(DEADCODE_VERSION))
$(GO_LICENSES):
	$(call install,github.com/google/go-licenses@$(GO_LICENSES_VERSION))
$(GOVULNCHECK):
	$(call install,golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION))
$(BENCHSTAT):
	$(call install,golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION))
$(TLOG_FSCK):
	$(call install,github.com/transparency-dev/tessera/cmd/fsck@$(TLOG_FSCK_VERSION))
$(NATS_CLI):
	$(call install,github.com/nats-io/natscli/nats@$(NATS_CLI_VERSION))
