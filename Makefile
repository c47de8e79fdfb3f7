# What one does with this project. `make help` lists it; .ci/run runs check and test.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Each directory with a go.mod is a module: the library, and beside it whatever needs more packages.
MODULES := $(patsubst %/go.mod,%,$(sort $(shell find . -name go.mod \
	-not -path '*/.*' -not -path '*/testdata/*' -not -path '*/node_modules/*')))

# Modules are taken as their go.mod has them, and built the same where git distrusts the checkout.
export GOWORK := off
export GOFLAGS := $(strip $(shell $(GO) env GOFLAGS) -buildvcs=false)

# $(call each,command) runs a command in every module and fails if it failed in any.
each = status=0; for dir in $(MODULES); do echo "[$$dir] $(1)"; (cd "$$dir" && $(1)) || status=1; done; exit $$status

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: deps
deps: ## install what the tests need and the machine lacks
	@internal/ci/deps.sh

.PHONY: test
test: deps fuzz-short unit bench-short ## everything: each fuzz target for FUZZTIME (10s), then unit and bench-short

.PHONY: unit
unit: ## every test of every module, with the race detector
	@export CGO_ENABLED=1; $(call each,$(GO) test -race -count=1 -timeout 20m ./...)

.PHONY: soak
soak: deps ## outages of redis under more load, for SOAKTIME (10m); prints a table
	@echo '| what happens | requests | writes acknowledged | lost | requests failed | the last of them after | slowest request |'
	@echo '|---|---|---|---|---|---|---|'
	@cd goredis && SOAKTIME=$(or $(SOAKTIME),10m) $(GO) test -count=1 -timeout 24h -v -run TestNothingIsLost . | \
		grep --line-buffered -oE '\| .* \|$$|.*(FAIL|panic:|Error:|Messages:).*|^ok.*'

.PHONY: fuzz-short
fuzz-short: ## each fuzz target for FUZZTIME (10s); one without seeds fails
	@$(GO) run ./internal/ci/fuzz -fuzztime $(or $(FUZZTIME),10s) $(MODULES)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (an hour, shared by all)
	@$(GO) run ./internal/ci/fuzz $(if $(FUZZTIME),-fuzztime $(FUZZTIME),-total 1h) $(MODULES)

.PHONY: cover
cover: deps ## how much of the library its tests reach, in coverage.out
	@$(GO) test -count=1 -coverpkg=. -coverprofile=coverage.out ./...
	@$(GO) tool cover -func=coverage.out | tail -n 1

.PHONY: check
check: gofmt vet tidy staticcheck guard vuln ## what can be told without running the library

.PHONY: gofmt
gofmt: ## every Go file is formatted
	@files=$$(find . -name '*.go' -not -path '*/.*' -not -path '*/testdata/*' -exec gofmt -l {} +); \
	test -z "$$files" || { echo "gofmt -w would change:"; echo "$$files"; exit 1; }

.PHONY: vet
vet: ## go vet in every module
	@$(call each,$(GO) vet ./...)

.PHONY: tidy
tidy: ## every go.mod and go.sum is as go mod tidy leaves it
	@$(call each,$(GO) mod tidy -diff)

.PHONY: staticcheck
staticcheck: ## staticcheck in every module
	@$(call each,$(GO) run $(STATICCHECK) ./...)

.PHONY: guard
guard: ## README, CONTRIBUTING and go.mod keep their word
	@$(GO) test -count=1 ./internal/ci

.PHONY: vuln
vuln: ## known vulnerabilities that are called, where the database can be reached
	@internal/ci/vuln.sh $(MODULES)

.PHONY: bench
bench: ## compare with other libraries
	@test -d benchmarks || { echo "there is no benchmarks/ here" >&2; exit 1; }
	@$(MAKE) -C benchmarks bench

.PHONY: bench-short
bench-short: ## a few seconds of it, and fail where a number is missed by far
	@test -d benchmarks || { echo "there is no benchmarks/ here" >&2; exit 1; }
	@$(MAKE) -C benchmarks bench-short

.PHONY: bench-check
bench-check: ## a minute for what is promised, and fail where a number is missed
	@test -d benchmarks || { echo "there is no benchmarks/ here" >&2; exit 1; }
	@$(MAKE) -C benchmarks bench-check
