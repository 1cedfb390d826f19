# Parley. `make run` and `make test` are all that a newcomer needs; each target first installs what it lacks.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run demo test simulate mutants faults bench bench-window lint fmt generate frontend server desktop desktop-devtools clean

# The two programs have no source files listed here: the go command knows best what is stale.
sh := . build/env.sh;

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 24

run: ## build Parley and open its window, with the backend inside
	@build/run.sh

demo: ## fill a workspace with demo data and open the window on it; FRESH=1 makes it anew
	@build/demo.sh

test: ## lint, unit tests, and the real window with a real backend and a real browser
	@build/test.sh

simulate: ## play 100,000 schedules of faults, which takes hours; SCHEDULES=1 SEED=N plays one again, SHIFT=1m makes them longer
	@build/install.sh build && . build/env.sh && go test -count=1 -timeout 0 -tags sqlite_fts5 ./backend/desktop/simulation \
		-run TestSchedules -v -schedules $${SCHEDULES:-100000} -seed $${SEED:-1} -shift $${SHIFT:-5s}

mutants: ## want the simulation to catch every deliberate bug
	@build/install.sh build && . build/env.sh && go test -count=1 -timeout 0 -tags sqlite_fts5 ./backend/desktop/simulation \
		-run TestMutants -v -mutants

faults: frontend ## the fault tests with their nightly numbers: hours
	@build/faults.sh

bench: ## every figure beside its raw limit
	@build/bench.sh

bench-window: ## only the figures of the native window
	@build/bench.sh window

lint: frontend ## what make test says about style, without the tests
	@build/lint.sh

fmt: ## format the Go files
	@$(sh) gofmt -l -w $$(build/gofiles.sh)

generate: frontend ## make anew what is generated from the Go code
	@build/generate.sh

frontend: ## the window's pages and what customers see
	@build/install.sh build && build/frontend.sh

server: frontend ## build/bin/parleyd
	@build/compile.sh parleyd

desktop: frontend ## build/bin/parley
	@build/compile.sh parley

desktop-devtools: frontend ## build/bin/parley-devtools, a window that tests can drive
	@build/compile.sh parley-devtools

clean: ## remove what was built; tools in build/.tools and downloaded modules stay
	rm -rf build/bin frontend/node_modules/.vite e2e/shots
	find frontend/dist backend/server/channel/web/dist -mindepth 1 -not -name '.*keep' -delete
	@build/frontend.sh clean
