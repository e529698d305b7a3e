# The two commands of README.md, and a few for developers. `make help` lists them.
SHELL := /bin/bash
export CGO_ENABLED := 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: help build run test lint unit race bench fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -ts $$'\t'

build: ## build bin/oddish, one static binary
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/oddish ./cmd/oddish

run: ## run the example tasks with the oracle
	go run ./cmd/oddish run -p examples/tasks -a oracle

test: ## everything CI runs; installs and starts the services that the tests need where it may
	./scripts/test.sh

lint: ## gofmt, vet, staticcheck
	./scripts/test.sh lint

unit: ## the tests that need no service
	go test ./...

race: ## the concurrent packages under the race detector
	./scripts/test.sh race

bench: ## the benchmarks of docs/performance.md
	./scripts/bench.sh

fuzz: ## every fuzz test for a minute; scripts/fuzz.sh takes longer ones
	./scripts/fuzz.sh

clean: ## remove what was built here
	rm -rf bin .cache
