# The tasks of this project. `make help` lists them; .ci/run runs check and test.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Each directory with a go.mod is a module: the library, and what needs packages that it must not need.
# Those whose tests take longest come first.
SLOW := . ./e2e ./sqlstore ./goredis ./otelsession
MODULES := $(patsubst %/go.mod,%,$(sort $(shell find . -name go.mod \
	-not -path '*/.*' -not -path '*/testdata/*' -not -path '*/node_modules/*')))
MODULES := $(filter $(MODULES),$(SLOW)) $(filter-out $(SLOW),$(MODULES))

# The go.mod alone decides what is built, and who owns the checkout does not matter.
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
test: deps bench-short fuzz-short unit ## everything: bench-short, fuzz-short, then unit

.PHONY: unit
unit: ## every test of every module, with the race detector
	@CGO_ENABLED=1 $(GO) run ./internal/ci/test -race $(MODULES)

.PHONY: test-quick
test-quick: ## the tests of the library, without the race detector and the other modules
	@$(GO) run ./internal/ci/test -p 4 -omit '/internal/(ci|redistest|suites/races)|/examples' .

.PHONY: soak
soak: deps ## outages of redis under more load, for SOAKTIME (10m); prints a table
	@echo '| what happens | requests | writes acknowledged | lost | requests failed | the last of them after | slowest request |'
	@echo '|---|---|---|---|---|---|---|'
	@cd goredis && SOAKTIME=$(or $(SOAKTIME),10m) $(GO) test -count=1 -timeout 24h -v -run TestNothingIsLost . | \
		grep --line-buffered -oE '\| .* \|$$|.*(FAIL|panic:|Error:|Messages:).*|^ok.*'

.PHONY: fuzz-short
fuzz-short: ## each fuzz target for FUZZTIME, or all together for 12s; one without seeds fails
	@$(GO) run ./internal/ci/fuzz $(if $(FUZZTIME),-fuzztime $(FUZZTIME),-total 12s) $(MODULES)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME, or all together for an hour
	@$(GO) run ./internal/ci/fuzz $(if $(FUZZTIME),-fuzztime $(FUZZTIME),-total 1h) $(MODULES)

.PHONY: cover
cover: deps ## the coverage of the library by its tests, in coverage.out
	@library=$$($(GO) list -deps -f '{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}' . | paste -sd,); \
	$(GO) test -count=1 -coverpkg="$$library" -coverprofile=coverage.out ./...
	@$(GO) tool cover -func=coverage.out | tail -n 1

.PHONY: check
check: gofmt vet tidy staticcheck guard vuln ## what can be checked without running the library

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
guard: ## imports go one way; documents and files keep the rules (unit renames the module, too)
	@$(GO) test -count=1 -skip '^TestRenamingTheModuleWorks$$' ./internal/ci

.PHONY: vuln
vuln: ## known vulnerabilities in code that is called, if the database can be reached
	@internal/ci/vuln.sh $(MODULES)

.PHONY: bench
bench: ## compare this library with others
	@$(MAKE) -C benchmarks bench

.PHONY: bench-short
bench-short: ## measure for a few seconds; fails if a limit is missed by more than a factor of three
	@$(MAKE) -C benchmarks bench-short

.PHONY: bench-check
bench-check: ## measure for three minutes; fails if a limit is missed
	@$(MAKE) -C benchmarks bench-check
