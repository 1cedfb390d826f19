#!/usr/bin/env bash
# make bench: every figure beside the raw limit measured in the same run. Takes long, and wants a machine that does
# nothing else. The big workspaces are made once, into PARLEY_BENCH_DIR (default: a temporary folder).
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

build/install.sh build test
. build/env.sh
build/frontend.sh
which=.
if [ "${1:-all}" = window ]; then
	which=Window
else
	# One package at a time: two at once would measure each other.
	go test -run '^$' -bench . -benchmem -p 1 -timeout 2h -tags "$tags" ./backend/...
fi
build/compile.sh parleyd parley parley-devtools emptywindow
go test -run '^$' -bench $which -benchtime 1x -timeout 2h -tags "$tags" ./e2e
