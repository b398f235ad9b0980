# make check test race     the start of .ci/run, which every change has to pass
# make interop             browsers and other stacks
# make fuzz FUZZTIME=5m    every fuzz target for so long

GO       ?= go
FUZZTIME ?= 20s
OUT      := out
export GOFLAGS ?= -buildvcs=false

.PHONY: all check test race fuzz bench rivals interop interop-go interop-node cover cross clean

all: check test

# check: formatting, vet, staticcheck, that references between files run down, and
# that modules are as they were published.
check:
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w these:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	cd cmd/interop/pion && $(GO) vet ./...
	cd cmd/interop/sharing && $(GO) vet ./...
	cd cmd/interop/quic && $(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	$(GO) vet ./.ci/coverage ./.ci/references
	$(GO) test ./.ci/references
	$(GO) run ./.ci/references -most 25 ./...
	$(GO) mod verify

test:
	$(GO) test ./...

race:
	$(GO) test -race -short -timeout 20m ./...

# fuzz: every target of every package, one after the other. FUZZTIME is a time
# or a number of executions (1000x). With a time, go may report "context deadline
# exceeded" for a target that merely ran out of it (go.dev/issue/75804, mended in Go 1.27), so
# CI counts.
fuzz:
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p; \
		done; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# interop: every browser found, then the other stacks, both roles.
interop: interop-browsers interop-dtls interop-go interop-node interop-examples interop-sharing

.PHONY: interop-browsers
interop-browsers: $(OUT)/interop
	$(OUT)/interop -json $(OUT)/interop.json

# interop-dtls: OpenSSL and GnuTLS, client and server, certificates both ways.
.PHONY: interop-dtls
interop-dtls:
	$(GO) test -count=1 -v -run 'OpenSSL|GnuTLS' ./dtls

# interop-sharing: a Host on quic-go's UDP socket, and on gVisor's network stack.
.PHONY: interop-sharing
interop-sharing:
	cd cmd/interop/sharing && $(GO) test -count=1 ./...

# interop-ways: the browsers in other scenarios: the local end on a Host, by an invite, ICE-lite or behind
# names, a bad
# network, a NAT that forgets, TCP, a relay, ICE restarts, media beside data, a path of
# small packets, SNAP and SPED.
.PHONY: interop-ways
interop-ways: $(OUT)/interop
	set -e; for w in host invite lite names bad rebinding tcp relay relay-tcp restart media smallmtu warp; do echo; echo "$$w:"; $(OUT)/interop -way $$w; done

EXCHANGE := $(OUT)/rtcbench exchange -role offer
ECHO     := $(OUT)/rtcbench echo -role answer
NODE     := node cmd/interop/libdatachannel/peer.mjs

interop-go: $(OUT)/rtcbench $(OUT)/pion
	$(OUT)/rtcbench pair -label "we offer, we answer" -a "$(EXCHANGE)" -b "$(ECHO)"
	$(OUT)/rtcbench pair -label "we offer, pion answers" -a "$(EXCHANGE)" -b "$(OUT)/pion echo -role answer"
	$(OUT)/rtcbench pair -label "pion offers, we answer" -a "$(OUT)/pion exchange -role offer" -b "$(ECHO)"

interop-node: $(OUT)/rtcbench
	cd cmd/interop/libdatachannel && npm ci --no-audit --no-fund --silent
	$(OUT)/rtcbench pair -label "we offer, libdatachannel answers" -a "$(EXCHANGE)" -b "$(NODE) echo -role answer"
	$(OUT)/rtcbench pair -label "libdatachannel offers, we answer" -a "$(NODE) exchange -role offer" -b "$(ECHO)"

# interop-examples: the programs in cmd/examples, each with a pion end.
.PHONY: interop-examples
interop-examples:
	cd cmd/interop/pion && $(GO) test -count=1 ./...

.PHONY: $(OUT)/interop $(OUT)/rtcbench $(OUT)/pion $(OUT)/quic
$(OUT)/interop $(OUT)/rtcbench:
	$(GO) build -o $@ ./cmd/$(@F)
$(OUT)/pion $(OUT)/quic:
	cd cmd/interop/$(@F) && $(GO) build -o ../../../$@ .

# rivals: a table and a chart in $(OUT) that compare this stack with pion,
# libdatachannel and, for bulk data and pings, quic-go.
# RIVALS=DIR names a rig with a program "floor" that measures the machine.
ROUNDS ?= 5
rivals: $(OUT)/rtcbench $(OUT)/pion $(OUT)/quic
	cd cmd/interop/libdatachannel && npm ci --no-audit --no-fund --silent
	$(OUT)/rtcbench rivals -rounds $(ROUNDS) -pion $(OUT)/pion -quic $(OUT)/quic -node "$(NODE)" $(if $(RIVALS),-floor $(RIVALS)/floor)

# cover: at least 85 % of the statements of every package outside cmd.
cover:
	@mkdir -p $(OUT)
	$(GO) test -coverprofile=$(OUT)/cover.out -coverpkg=./... $$($(GO) list ./... | grep -v /cmd/) >/dev/null
	@$(GO) run ./.ci/coverage -least 85 -skip /cmd/ $(OUT)/cover.out

# cross: that it compiles for every system we name.
cross:
	@set -e; for t in linux/amd64 linux/arm64 windows/amd64 windows/arm64 darwin/amd64 darwin/arm64 js/wasm; do \
		echo $$t; GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build ./...; \
	done

clean:
	rm -rf $(OUT)
