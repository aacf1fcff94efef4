GO ?= go
FUZZTIME ?= 10m
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Nothing here needs a C compiler, but for the race detector, which citest sees to.
export CGO_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help build run test check bench torture fuzz docs clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do printf '  %-8s %s\n' "$$name" "$$text"; done

# The version control stamp is left out: it would make the build depend on who
# owns the source tree.
build: ## bin/ulogd, one static program
	$(GO) build -trimpath -buildvcs=false -o bin/ ./cmd/...

run: build ## show real firewall packets being logged, in a network made for it
	$(GO) run ./contrib/demo -ulogd bin/ulogd

test: check ## everything that is checked and tested; as root to skip nothing
	$(GO) run ./contrib/citest

check: ## what takes seconds: vet, gofmt, staticcheck, generated files
	$(GO) vet ./...
	@files="$$($$($(GO) env GOROOT)/bin/gofmt -l cmd contrib pkg plugins schema)"; \
	if [ -n "$$files" ]; then echo "not formatted, run gofmt -w:" $$files; exit 1; fi
	$(GO) run $(STATICCHECK) ./...
	$(GO) run ./contrib/docs -check

bench: build ## measure against Debian's ulogd, as root; BENCHFLAGS=-quick for a minute of it
	$(GO) run ./contrib/bench -ulogd bin/ulogd $(BENCHFLAGS)
	$(GO) test ./contrib/bench/databases -run "^$$" -bench . -benchtime 1x -timeout 30m

torture: ## crash daemon and databases many times and count every packet, as root
	$(GO) test ./contrib/torture -count=1 -v -timeout 3h -long

fuzz: ## each fuzz target for FUZZTIME, which is 10m
	@set -e; for package in $$($(GO) list ./...); do \
		tests=$$($(GO) test -list '^Fuzz' $$package); \
		for target in $$(echo "$$tests" | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

docs: ## write what is generated: plugins/all, tables of the READMEs, ulogd.toml.example
	$(GO) generate ./plugins/all
	$(GO) run ./contrib/docs

clean: ## remove what was built
	rm -rf bin
