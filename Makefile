# Each target does one thing. `make` alone builds.

# Tools and engine are kept outside the tree, so that a clean clone stays one.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/claude-bottle-tools
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

# Pinned, and no part of go.mod: the product does not depend on them.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: build try test test-escape test-faults test-vm lint bench bench-scan fuzz

# The one static binary: command, gateway and guest. It carries the last two as a
# smaller program, which is what bottles run.
build:
	go run ./cmd/build -version "$(VERSION)" -o bin/claude-bottle

# See a bottle attack itself, then a real Claude Code at work in one: with your
# token when there is one, else against a local stand-in for the Messages API.
# On docker where an engine answers, else native.
try: build
	go run ./test/engine/cmd/engine --or-native -- go run ./examples/try --binary bin/claude-bottle

# Everything, with a real engine and a real agent: some 14 minutes on two
# processors. Packages wait more than they work, so four are tested at once, and
# the two that take longest first; nothing is printed before the first has ended.
# What go vet says is lint's.
# `go test ./...` alone is the part for between two changes: without what needs an
# engine, and what takes long or fetches much, in two minutes.
test:
	go run ./test/engine/cmd/engine --gvisor --tools -- \
	  go test -race -shuffle=on -count=1 -timeout 40m -vet=off -p 4 ./test/e2e ./internal/platform/docker ./...
	cd modules/digest && go test -count=1 .
	cd modules/reference && go test -count=1 .

# The launcher, the engine and the bottle's parts killed and disturbed wherever
# they can be, and the machine compared before and after; at the end it says at
# how many points (docs/faults.md). `make test` runs a sample of it. First the
# platforms' own rows, whose binaries know the failpoints.
test-faults:
	go run ./test/engine/cmd/engine --gvisor -- sh -ec '\
	  go test -tags failpoints -count=1 -timeout 30m ./internal/bottle/bottletest; \
	  go test -tags failpoints -count=1 -timeout 60m -run "^TestConformance.*/^crash$$|^TestEveryCallFails$$" ./internal/platform/docker; \
	  go test -tags failpoints -count=1 -timeout 30m -run "^TestConformance/^crash$$" ./internal/platform/native; \
	  CLAUDE_BOTTLE_FAULTS=all go test -count=1 -v -timeout 120m ./test/faults'

# Every attack from inside, on every platform (docs/escape.md). `make test` runs
# a sample.
test-escape:
	go run ./test/engine/cmd/engine --gvisor --tools -- env CLAUDE_BOTTLE_ESCAPE=all go test -count=1 -v -timeout 60m ./test/escape/...

# Native bottles in a machine of its own, emulated and without a network: another
# kernel, systemd, control groups of version 2 alone, and AppArmor as on Ubuntu
# (docs/native.md). No part of `make test`: the suite alone took 19 minutes for root. Flags
# in VM, as VM="--run TestRestricted".
test-vm:
	go run ./test/vm $(VM)

# What parses a bottle's bytes, and what decides about them, each fuzzed for some
# seconds on top of the inputs that are kept.
fuzz:
	go run ./test/fuzz -time 5s

# Formatting, static checks, the direction of imports, known vulnerabilities.
lint: $(CACHE)/golangci-lint $(CACHE)/govulncheck
	$(CACHE)/golangci-lint run ./...
	$(CACHE)/govulncheck ./...

# What the design promises, measured beside the peers. Flags in BENCH, as
# BENCH="--only launch,trace --pairs 20". Built first, so that Ctrl-C reaches
# the program itself, which cleans up.
bench: build
	go build -o bin/bench ./test/bench
	go run ./test/engine/cmd/engine --gvisor --tools -- bin/bench --binary bin/claude-bottle $(BENCH)

# The scanner beside gitleaks, on a corpus that it makes. The peer is no part of
# the product: the module is apart.
bench-scan:
	cd test/bench/scanners && go run . -source "$$(go env GOROOT)"

$(CACHE)/golangci-lint: Makefile
	GOBIN=$(CACHE) go install $(GOLANGCI_LINT)
	@touch $@

$(CACHE)/govulncheck: Makefile
	GOBIN=$(CACHE) go install $(GOVULNCHECK)
	@touch $@
