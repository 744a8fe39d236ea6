SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

golangci_lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
vegeta := github.com/tsenart/vegeta/v12@v12.13.0
govulncheck := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Installs libtorch if necessary and sets its compiler flags.
libtorch := flags=$$(deploy/libtorch/setup.sh); . "$$flags";

# Packages with tests, one per line, selected by whether they import libtorch: those run
# without the race detector, for which gotch would have to be compiled again.
tests := go list -test -f '{{.ImportPath}} {{.Deps}}' ./... | sed -n
with_libtorch := '/sugarme\/gotch/s/^\([^ ]*\)\.test .*/\1/p'
without_libtorch := '/sugarme\/gotch/!s/^\([^ ]*\)\.test .*/\1/p'

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 22

.PHONY: setup
setup: ## Install libtorch and compile its Go bindings (once)
	@deploy/libtorch/setup.sh >/dev/null

.PHONY: build
build: ## Build bin/genrec
	@$(libtorch) [[ -e bin/genrec ]] || echo "genrec: compiling (once, some minutes)" >&2; \
	go build -o bin/genrec ./cmd/genrec

.PHONY: test
test: setup ## Run the unit tests of all packages
	@deploy/libtorch/setup_test.sh
	@$(tests) $(without_libtorch) | xargs -r go test -race
	@$(libtorch) $(tests) $(with_libtorch) | xargs -r go test -p 1 # each one takes all cores

# Packages with tests that can use real servers.
on_servers := ./pkg/testservers ./pkg/bucket ./pkg/registry ./pkg/stream ./pkg/recs ./sessions ./serve ./ingest ./inference ./test/scenarios

.PHONY: test-real
test-real: setup ## Run the tests against a real Kafka, Redis and S3 server
	@kafka=$$(deploy/kafka/setup.sh); s3=$$(deploy/s3/setup.sh); \
	export GENREC_TEST_KAFKA_JARS="$$kafka" GENREC_TEST_S3="$$s3"; \
	go test -count=1 -p 1 $(on_servers); \
	$(libtorch) go test -count=1 -run 'Real|EndToEnd' ./cmd/genrec

SEED ?= 1

.PHONY: chaos
chaos: ## Kill and restart processes and servers for DURATION=5m, verify that nothing is lost; SEED=1, ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); binary=$$(mktemp); trap 'rm -f "$$binary"' EXIT; \
	go build -o "$$binary" ./test/chaos; \
	"$$binary" -kafka-jars "$$kafka" -duration $(or $(DURATION),5m) -seed $(SEED) $(ARGS)

.PHONY: test-retrain
test-retrain: build ## Run nightly trainings on a real Kafka and Redis while killing them; SEED=1, ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); go run ./test/retrain -kafka-jars "$$kafka" -seed $(SEED) $(ARGS)

.PHONY: test-ui
test-ui: build ## Test the playground in Chromium; ARGS="-docs docs" updates the screenshots of the docs
	@chromium=$$(deploy/chromium/setup.sh); go run ./test/ui -chromium "$$chromium" $(ARGS)

.PHONY: test-api
test-api: build ## Test genrec serve against its OpenAPI document by schemathesis; SEED=1, ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); clients=$$(deploy/clients/setup.sh); \
	go run ./test/api -kafka-jars "$$kafka" -clients "$$clients" -seed $(SEED) $(ARGS)

CASES ?= ../shared/cases

.PHONY: try-cases
try-cases: build ## Run genrec on inputs that once failed, CASES=../shared/cases; ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); clients=$$(deploy/clients/setup.sh); \
	go run ./test/cases -kafka-jars "$$kafka" -clients "$$clients" -cases "$(CASES)" $(ARGS)

FUZZTIME ?= 60s

# Before Go 1.27, the end of fuzzing may be reported as a failure without an input (go.dev/issue/75804).
.PHONY: fuzz
fuzz: ## Fuzz every decoder of untrusted bytes, each for FUZZTIME=60s
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	only_late() { grep -qx ' *context deadline exceeded' "$$log" && ! grep -q 'Failing input' "$$log"; }; \
	grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n 1 dirname | sort -u | while read -r package; do \
		go test -list '^Fuzz' "$$package" | sed -n '/^Fuzz/p' | while read -r target; do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$package" 2>&1 | tee "$$log" || only_late; \
		done; \
	done

.PHONY: lint
lint: ## Run go vet and golangci-lint
	@$(libtorch) go vet ./...; go run $(golangci_lint) run

.PHONY: check-deploy
check-deploy: setup ## Lint and render deploy/, and parse its commands and variables with genrec
	@$(libtorch) deploy/check/check.sh

.PHONY: test-kubernetes
test-kubernetes: ## Install the chart in a real Kubernetes control plane, as docs/DEPLOY.md shows
	@tools=$$(deploy/check/setup.sh); programs=$$(deploy/kubernetes/setup.sh); \
	go run ./test/kubernetes -tools "$$tools" -programs "$$programs"

.PHONY: test-containers
test-containers: ## Build and run the images and Compose, as docs/DEPLOY.md shows; ARGS=-cuda includes the CUDA image
	@binary=$$(mktemp); trap 'rm -f "$$binary"' EXIT; \
	go build -o "$$binary" ./test/containers; \
	deploy/engine/with.sh "$$binary" $(ARGS)

.PHONY: vuln
vuln: ## Check for known vulnerabilities
	@$(libtorch) go run $(govulncheck) ./...

.PHONY: demo
demo: build ## Run the demo; DATA= replays a dataset, ARGS= flags
	@bin/genrec demo $(if $(DATA),--data "$(DATA)") $(ARGS)

# PyTorch, transformers and CTranslate2, installed once into the cache.
baselines := python=$$(deploy/baselines/setup.sh deploy/baselines/requirements.txt);

.PHONY: parity
parity: setup ## Compare logits, gradients and beams with transformers' BART
	@$(libtorch) $(baselines) cases=$$(mktemp -d); trap 'rm -rf "$$cases"' EXIT; \
	"$$python" model/parity/make.py "$$cases"; \
	GENREC_PARITY="$$cases" go test -count=1 -v -run '^TestParity$$' ./model | tee "$$cases/log"; \
	"$$python" model/parity/check.py "$$cases"; \
	grep '^parity ' "$$cases/log"

.PHONY: bench-training
bench-training: setup ## Benchmark training against transformers; DATA= dataset, ARGS= flags
	@$(libtorch) $(baselines) go run ./cmd/bench training -data "$(or $(DATA),../shared/data/Beauty.txt)" -python "$$python" $(ARGS)

.PHONY: bench-warm-start
bench-warm-start: setup ## Benchmark warm starts against training from scratch; DATA= dataset, ARGS= flags
	@$(libtorch) go run ./cmd/bench warm-start -data "$(or $(DATA),../shared/data/Beauty.txt)" $(ARGS)

.PHONY: bench-inference
bench-inference: setup ## Benchmark inference against transformers and CTranslate2; DATA= dataset, ARGS= flags
	@$(libtorch) $(baselines) go run ./cmd/bench inference -data "$(or $(DATA),../shared/data/Beauty.txt)" -python "$$python" $(ARGS)

.PHONY: bench-growth
bench-growth: setup ## Benchmark recommendations, training steps and loading with growing catalogs; ARGS= flags
	@$(libtorch) go run ./cmd/bench growth $(ARGS)

.PHONY: bench-memory
bench-memory: setup ## Benchmark Redis memory per user, and appends; ARGS= flags
	@$(libtorch) go run ./cmd/bench memory $(ARGS)

.PHONY: bench-snapshot
bench-snapshot: setup ## Benchmark writing and reading a snapshot of 10 M events; ARGS= flags
	@$(libtorch) go run ./cmd/bench snapshot $(ARGS)

.PHONY: bench-stream
bench-stream: build ## Benchmark the stream on a real Kafka and Redis; DATA= dataset, ARGS= flags
	@$(libtorch) kafka=$$(deploy/kafka/setup.sh); go run ./cmd/bench stream -jars "$$kafka" -data "$(or $(DATA),../shared/data/Beauty.txt)" $(ARGS)

.PHONY: bench-serve
bench-serve: build ## Benchmark genrec serve at 5,000 requests/s on a real Redis; ARGS= flags
	@$(libtorch) cache="$${GENREC_CACHE:-$$HOME/.cache/genrec}/vegeta"; GOBIN="$$cache" go install $(vegeta); \
	go run ./cmd/bench serve -vegeta "$$cache/vegeta" $(ARGS)

.PHONY: try-benchmarks
try-benchmarks: build ## Run each benchmark with tiny inputs, to see that it works
	@deploy/check/benchmarks.sh

.PHONY: try-peers
try-peers: build ## The same for benchmarks that need PyTorch, which is installed first
	@deploy/check/benchmarks.sh --peers

TRIALS ?= 1000

.PHONY: simulate-gate
simulate-gate: ## Simulate how often the gate promotes equal, better and worse models; TRIALS=1000
	@GENREC_TRIALS=$(TRIALS) go test -count=1 -v -run 'Promoted' ./retrain/gate | sed -n 's/^ .*go:[0-9]*: //p'

.PHONY: soak
soak: setup ## Recommend at full rate for DURATION=1h, and fail if memory grows
	@$(libtorch) go run ./cmd/bench growth -soak $(or $(DURATION),1h)

IDS ?= published
CONFIG ?= paper
STAGE ?= full

.PHONY: accuracy
accuracy: build ## Reproduce a row of docs/ACCURACY.md; DATA=, IDS=, CONFIG=, STAGE=, ARGS= flags
	@models=$$(mktemp -d); trap 'rm -rf "$$models"' EXIT; \
	bin/genrec retrain --data "$(DATA)" --ids $(IDS) --recipe $(CONFIG) --stage $(STAGE) --models "$$models" $(ARGS)

.PHONY: peer
peer: ## Train a baseline of docs/ACCURACY.md; DATA= dataset, ARGS= flags
	@$(baselines) "$$python" retrain/baselines/next_item.py "$(DATA)" $(ARGS)

.PHONY: clean
clean: ## Remove bin/; libtorch stays in the cache folder
	@rm -rf bin
