#!/usr/bin/env bash
# make faults: the fault tests with the nightly numbers and the race detector. What is given is passed on to the tests:
# build/faults.sh -faults.seed=N repeats the instants of a run, -run NAME takes one test.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

build/install.sh build test
. build/env.sh
build/compile.sh parleyd
go test -race -count=1 -v -timeout 4h -tags "$tags" -run '^TestFaults' ./e2e -faults.many "$@"
