# The two commands of the README are `make demo` and `make test`.
# Each does all its own set-up and needs only Go and Debian's apt.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

AREA ?= all
FUZZTIME ?= 30s
ROUNDS ?= 500
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFLAGS_BUILD := -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'

# One build configuration for programs and tests: static, and compiled once.
export CGO_ENABLED := 0
TOOLS := test/e2e
AREAS := spine front evidence build
LATER_AREAS := host ledger
CLIENTS := bin/oras bin/crane bin/regctl bin/cosign
VERIFIERS := bin/oras bin/cosign bin/sigstore-go-verification bin/slsa-verifier bin/containerd test/e2e/npm/node_modules
PEERS := test/peers
PKCS11 := cmd/sigstore-kms-pkcs11

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9]+: .*## ' Makefile | sort | sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.PHONY: demo
demo: setup build bin/oras ## publish, gate, pull and query on this machine, with real gcc builds
	go run ./test/demo -bin bin

.PHONY: test
test: setup build ## run every test; says what was skipped, and a skip fails when CI=true
	go test -json -timeout 14m ./... | go run ./test/report
	cd test/wycheproof && go test -json ./... | (cd $(CURDIR) && go run ./test/report)
	cd $(PKCS11) && CGO_ENABLED=1 go test -json ./... | (cd $(CURDIR) && go run ./test/report)

.PHONY: build
build: ## build the five programs, static, into bin/
	go build $(GOFLAGS_BUILD) -o bin/ ./cmd/...

.PHONY: pkcs11
pkcs11: setup ## build bin/sigstore-kms-pkcs11, which signs with keys on PKCS 11 tokens (needs cgo)
	cd $(PKCS11) && CGO_ENABLED=1 go build -buildvcs=false -ldflags '-s -w' -o ../../bin/sigstore-kms-pkcs11 .

.PHONY: check
check: bin/staticcheck ## gofmt, vet, staticcheck, go.mod files, architecture test, docs test
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not gofmt'ed (run gofmt -w on them):"; echo "$$bad"; exit 1; fi
	go vet ./...
	cd $(TOOLS) && go vet ./...
	cd test/conformance && go vet ./... && go test ./...
	cd $(PEERS) && go vet ./... && go test -count=1 ./...
	cd test/s3 && go vet ./...
	cd test/wycheproof && go vet ./...
	cd $(PKCS11) && CGO_ENABLED=1 go vet ./...
	cd test/backend && go vet ./...
	scripts/modules
	bin/staticcheck ./...
	go test -count=1 ./test/arch

.PHONY: race
race: setup ## run every test under the race detector (needs cgo)
	CGO_ENABLED=1 go test -race -short -timeout 40m ./...

.PHONY: e2e
e2e: setup build $(if $(filter all evidence,$(AREA)),database bin/versitygw bin/rekor-server-posix) $(if $(filter spine build,$(AREA)),bin/oras,clients) $(if $(filter all front,$(AREA)),$(CLIENTS) bin/versitygw) $(if $(filter all evidence,$(AREA)),$(VERIFIERS)) $(if $(filter all build,$(AREA)),bin/builder bin/builder-libpulp) ## run the built programs end to end; AREA=spine, front, evidence or build for one area
	@case " all $(AREAS) " in *" $(AREA) "*) ;; *) \
	  case " $(LATER_AREAS) " in *" $(AREA) "*) echo "make e2e: area $(AREA) belongs to later work and has no test yet" >&2; exit 1;; esac; \
	  echo "make e2e: no area $(AREA); areas: all $(AREAS) $(LATER_AREAS)" >&2; exit 2;; esac
	@case "$(AREA)" in all|spine) go run ./test/demo -bin bin;; esac
	cd $(TOOLS) && PATCHFIT_BIN=$(CURDIR)/bin go test -json -count=1 -timeout 30m $(if $(filter-out all,$(AREA)),-run '(?i)^Test$(AREA)') ./... | (cd $(CURDIR) && go run ./test/report)
	@case "$(AREA)" in all|evidence) cd test/backend && PATCHFIT_BIN=$(CURDIR)/bin go test -json -count=1 -timeout 10m ./... | (cd $(CURDIR) && go run ./test/report);; esac
	@case "$(AREA)" in all|front) cd test/s3 && PATCHFIT_BIN=$(CURDIR)/bin go test -json -count=1 -timeout 30m ./... | (cd $(CURDIR) && go run ./test/report);; esac
	@case "$(AREA)" in all|front) $(MAKE) --no-print-directory conformance;; esac

.PHONY: conformance
conformance: setup build bin/oras bin/oci-conformance ## run the OCI distribution-spec suite, with all defaults, with and without gated content
	cd test/conformance && go run . -bin $(CURDIR)/bin -results $(CURDIR)/bin/conformance-results

.PHONY: soak
soak: setup build bin/oras ## kill -9 the server, and cut its power, ROUNDS times while publishing, pulling, logging, mounting, deleting and collecting
	cd $(TOOLS) && PATCHFIT_BIN=$(CURDIR)/bin PATCHFIT_CRASH_ROUNDS=$(ROUNDS) go test -count=1 -timeout 240m -run 'Crash|PowerCut' -v ./...

.PHONY: kernel
kernel: setup build ## build a kernel that can be live patched twice, contained, and compare: half an hour
	PATH=$(CURDIR)/bin:$$PATH examples/kernel/build bin/kernel

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: $(if $(filter all front,$(AREA)),setup build bin/peers bin/registry) ## print one line a goal; AREA=front ZOT=/path/to/zot for the registry beside others
	go run ./test/bench -area $(AREA) -zot "$(ZOT)" -peers "$(PEERS_FLAGS)"

.PHONY: golden
golden: ## write vectors and golden outputs again, then show what changed
	go generate ./...
	git status --short

.PHONY: release
release: ## (later work) signed, reproducible release archives
	@echo "make release: release archives come with later work; 'make build' makes the static programs" >&2; exit 1

.PHONY: setup clients database
setup:
	@scripts/setup

clients:
	@scripts/setup clients

database:
	@scripts/setup database

bin/oras: PACKAGE = oras.land/oras/cmd/oras
bin/crane: PACKAGE = github.com/google/go-containerregistry/cmd/crane
bin/regctl: PACKAGE = github.com/regclient/regclient/cmd/regctl
bin/oras bin/crane bin/regctl: $(TOOLS)/go.mod
	@echo "building $(@F), an unmodified OCI client, from the Go proxy"
	cd $(TOOLS) && go build -o ../../$@ $(PACKAGE)

bin/cosign: $(TOOLS)/cosign/go.mod
	@echo "building cosign, an unmodified Sigstore client, from the Go proxy: some minutes, once"
	cd $(TOOLS)/cosign && go build -ldflags '-s -w' -o ../../../bin/cosign github.com/sigstore/cosign/v3/cmd/cosign

bin/sigstore-go-verification: $(TOOLS)/verifiers/go.mod
	@echo "building sigstore-go's own verifier from the Go proxy"
	cd $(TOOLS)/verifiers && go build -o ../../../bin/ github.com/sigstore/sigstore-go/examples/sigstore-go-verification

bin/containerd: $(TOOLS)/containerd/go.mod
	@echo "building containerd and ctr, unmodified, from the Go proxy: some minutes, once"
	cd $(TOOLS)/containerd && go build -tags 'no_cri no_btrfs no_devmapper no_zfs' -ldflags '-s -w' -o ../../../bin/ github.com/containerd/containerd/v2/cmd/containerd github.com/containerd/containerd/v2/cmd/ctr

bin/slsa-verifier: $(TOOLS)/slsa-verifier/go.mod
	@echo "building slsa-verifier, unmodified, from the Go proxy: a minute, once"
	cd $(TOOLS)/slsa-verifier && go build -o ../../../bin/slsa-verifier github.com/slsa-framework/slsa-verifier/v2/cli/slsa-verifier

test/e2e/npm/node_modules: test/e2e/npm/package-lock.json
	@echo "installing Sigstore's JavaScript verifier from npm"
	cd test/e2e/npm && npm ci --no-audit --no-fund --loglevel=error && touch node_modules

bin/oci-conformance: test/conformance/go.mod
	@echo "building the OCI distribution-spec suite from the Go proxy"
	cd test/conformance && go build -o ../../bin/oci-conformance github.com/opencontainers/distribution-spec/conformance

.PHONY: bin/peers
bin/peers:
	cd $(PEERS) && go build -o ../../bin/peers .
	go build -o bin/fill ./test/fill

bin/registry: $(PEERS)/go.mod
	@echo "building plain distribution, a peer to measure beside, from the Go proxy"
	cd $(PEERS) && go build -o ../../bin/registry github.com/distribution/distribution/v3/cmd/registry

bin/versitygw: test/s3/go.mod
	@echo "building versitygw, an S3 server, from the Go proxy"
	cd test/s3 && go build -o ../../bin/versitygw github.com/versity/versitygw/cmd/versitygw

bin/rekor-server-posix: test/backend/rekor/go.mod
	@echo "building an unmodified Rekor v2 server from the Go proxy: a minute, once"
	cd test/backend/rekor && go build -ldflags '-s -w' -o ../../../bin/rekor-server-posix github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix

bin/builder bin/builder-libpulp: bin/%: examples/%.yaml | setup build
	@echo "making a builder image of the examples from Debian's archive: a minute or two, once"
	rm -rf $@ $@.lock && bin/patchfit builder create $< --lock $@.lock --out $@

bin/staticcheck: $(TOOLS)/go.mod
	@echo "building staticcheck from the Go proxy"
	cd $(TOOLS) && go build -o ../../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
