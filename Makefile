SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

golangci_lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
vegeta := github.com/tsenart/vegeta/v12@v12.13.0
govulncheck := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Sets up what is missing of libtorch, then takes its compiler flags.
libtorch := flags=$$(deploy/libtorch/setup.sh); . "$$flags";

# The packages with tests, one a line, picked by whether they import libtorch:
# it stays out of the race detector, for which gotch would be compiled again.
tests := go list -test -f '{{.ImportPath}} {{.Deps}}' ./... | sed -n
with_libtorch := '/sugarme\/gotch/s/^\([^ ]*\)\.test .*/\1/p'
without_libtorch := '/sugarme\/gotch/!s/^\([^ ]*\)\.test .*/\1/p'

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 22

.PHONY: setup
setup: ## Fetch libtorch and compile its Go bindings, once
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

# The tests of these, against servers as production has them.
on_servers := ./pkg/realservers ./pkg/bucket ./pkg/registry ./pkg/stream ./pkg/recs ./sessions ./serve ./ingest ./inference ./scenarios

.PHONY: test-real
test-real: setup ## Run the tests against a real Kafka, Redis and S3 server
	@kafka=$$(deploy/kafka/setup.sh); s3=$$(deploy/s3/setup.sh); \
	export GENREC_TEST_KAFKA_JARS="$$kafka" GENREC_TEST_S3="$$s3"; \
	go test -count=1 -p 1 $(on_servers); \
	$(libtorch) go test -count=1 -run 'Real|EndToEnd' ./cmd/genrec

SEED ?= 1

.PHONY: chaos
chaos: ## Kill and restart all there is for DURATION=5m by SEED=1, and compare with what was sent; ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); binary=$$(mktemp); trap 'rm -f "$$binary"' EXIT; \
	go build -o "$$binary" ./cmd/chaos; \
	"$$binary" -kafka-jars "$$kafka" -duration $(or $(DURATION),5m) -seed $(SEED) $(ARGS)

.PHONY: test-retrain
test-retrain: build ## Let a night in small go by on a real Kafka and Redis, trainings being killed; SEED=1, ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); go run ./cmd/night -kafka-jars "$$kafka" -seed $(SEED) $(ARGS)

.PHONY: test-ui
test-ui: build ## Click through the page in Chromium; ARGS="-docs docs" renews the pictures of README.md
	@chromium=$$(deploy/chromium/setup.sh); go run ./cmd/test-ui -chromium "$$chromium" $(ARGS)

.PHONY: test-api
test-api: build ## Hold genrec serve against its OpenAPI document by schemathesis, on a real Kafka and Redis; SEED=1, ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); clients=$$(deploy/clients/setup.sh); \
	go run ./cmd/test-api -kafka-jars "$$kafka" -clients "$$clients" -seed $(SEED) $(ARGS)

CASES ?= ../shared/cases

.PHONY: try-cases
try-cases: build ## Run genrec with each of CASES=../shared/cases on a real Kafka and Redis; ARGS= flags
	@kafka=$$(deploy/kafka/setup.sh); clients=$$(deploy/clients/setup.sh); \
	go run ./cmd/try-cases -kafka-jars "$$kafka" -clients "$$clients" -cases "$(CASES)" $(ARGS)

FUZZTIME ?= 60s

# Before Go 1.27, the end of the time may be told as a failure, of no input (go.dev/issue/75804).
.PHONY: fuzz
fuzz: ## Fuzz every decoder of outside bytes, each for FUZZTIME=60s
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
check-deploy: setup ## Lint and render what is in deploy/, and let genrec read its commands and variables
	@$(libtorch) deploy/check/check.sh

.PHONY: test-kubernetes
test-kubernetes: ## Install the chart in a real control plane of Kubernetes, as docs/DEPLOY.md says
	@tools=$$(deploy/check/setup.sh); programs=$$(deploy/kubernetes/setup.sh); \
	go run ./cmd/test-kubernetes -tools "$$tools" -programs "$$programs"

.PHONY: test-containers
test-containers: ## Build and run in containers as docs/DEPLOY.md says, with Docker or a private engine; ARGS=-cuda for GPUs, too
	@binary=$$(mktemp); trap 'rm -f "$$binary"' EXIT; \
	go build -o "$$binary" ./cmd/test-containers; \
	deploy/engine/with.sh "$$binary" $(ARGS)

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what the program calls
	@$(libtorch) go run $(govulncheck) ./...

.PHONY: demo
demo: build ## Run the demonstration; DATA= is its dataset, ARGS= more flags
	@bin/genrec demo $(if $(DATA),--data "$(DATA)") $(ARGS)

# What PyTorch and transformers compute, for comparison: installed once into the cache.
peers := python=$$(deploy/peers/setup.sh deploy/peers/requirements.txt);

.PHONY: parity
parity: setup ## Compare the model with transformers' BART: logits, gradients, beams
	@$(libtorch) $(peers) cases=$$(mktemp -d); trap 'rm -rf "$$cases"' EXIT; \
	"$$python" model/parity/make.py "$$cases"; \
	GENREC_PARITY="$$cases" go test -count=1 -v -run '^TestParity$$' ./model | tee "$$cases/log"; \
	"$$python" model/parity/check.py "$$cases"; \
	grep '^parity ' "$$cases/log"

.PHONY: bench-training
bench-training: setup ## Time training beside transformers; DATA= is a dataset, ARGS= more flags
	@$(libtorch) $(peers) go run ./cmd/bench-training -data "$(or $(DATA),../shared/data/Beauty.txt)" -python "$$python" $(ARGS)

.PHONY: bench-warm-start
bench-warm-start: setup ## Time a warm start beside a training from scratch; DATA= is a dataset, ARGS= more flags
	@$(libtorch) go run ./cmd/bench-warm-start -data "$(or $(DATA),../shared/data/Beauty.txt)" $(ARGS)

.PHONY: bench-inference
bench-inference: setup ## Time recommendation beside transformers and CTranslate2; DATA=, ARGS= more flags
	@$(libtorch) $(peers) go run ./cmd/bench-inference -data "$(or $(DATA),../shared/data/Beauty.txt)" -python "$$python" $(ARGS)

.PHONY: bench-growth
bench-growth: setup ## Time the search over growing catalogs, histories, beams and batches; ARGS= flags
	@$(libtorch) go run ./cmd/bench-growth $(ARGS)

.PHONY: bench-memory
bench-memory: ## Measure users' memory in a redis-server, and appends; ARGS= flags
	@go run ./cmd/bench-memory $(ARGS)

.PHONY: bench-snapshot
bench-snapshot: ## Time writing and reading a snapshot of 10 M events, and its memory; ARGS= flags
	@go run ./cmd/bench-snapshot $(ARGS)

.PHONY: bench-stream
bench-stream: build ## Measure the stream on a real Kafka and Redis; DATA= is a dataset, ARGS= flags
	@$(libtorch) kafka=$$(deploy/kafka/setup.sh); built=$$(mktemp -d); trap 'rm -rf "$$built"' EXIT; \
	go build -o "$$built" ./cmd/bench-stream ./cmd/bench-stream/engine; \
	"$$built/bench-stream" -jars "$$kafka" -engine "$$built/engine" -data "$(or $(DATA),../shared/data/Beauty.txt)" $(ARGS)

.PHONY: bench-serve
bench-serve: build ## Ask genrec serve 5,000 times a second on a real Redis; ARGS= flags
	@cache="$${GENREC_CACHE:-$$HOME/.cache/genrec}/vegeta"; GOBIN="$$cache" go install $(vegeta); \
	go run ./cmd/bench-serve -vegeta "$$cache/vegeta" $(ARGS)

.PHONY: try-benchmarks
try-benchmarks: build ## Run each benchmark very small: whether it works, not how fast it is
	@deploy/check/benchmarks.sh

.PHONY: try-peers
try-peers: build ## The same for those beside PyTorch, which is installed first
	@deploy/check/benchmarks.sh --peers

TRIALS ?= 1000

.PHONY: simulate-gate
simulate-gate: ## Simulate how often the gate promotes equal, better and worse models, in TRIALS=1000
	@GENREC_TRIALS=$(TRIALS) go test -count=1 -v -run 'Luck|MakeUp|BetterModels' ./retrain/gate | sed -n 's/^ .*go:[0-9]*: //p'

.PHONY: soak
soak: setup ## Search for DURATION=1h at full rate, and fail if memory grows
	@$(libtorch) go run ./cmd/bench-growth -soak $(or $(DURATION),1h)

IDS ?= published
CONFIG ?= paper
STAGE ?= full

.PHONY: accuracy
accuracy: build ## Make a row of docs/ACCURACY.md; DATA=, IDS=, CONFIG=, STAGE=, ARGS= more flags
	@models=$$(mktemp -d); trap 'rm -rf "$$models"' EXIT; \
	bin/genrec retrain --data "$(DATA)" --ids $(IDS) --recipe $(CONFIG) --stage $(STAGE) --models "$$models" $(ARGS)

.PHONY: peer
peer: ## Train a peer of docs/ACCURACY.md; DATA= is its dataset, ARGS= more flags
	@$(peers) "$$python" retrain/peers/next_item.py "$(DATA)" $(ARGS)

.PHONY: clean
clean: ## Remove bin/; libtorch stays in the cache folder
	@rm -rf bin
