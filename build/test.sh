#!/usr/bin/env bash
# make test: everything, from a fresh clone, in one go. Stops at the first step that does not work and says which.
# Compiling is what takes long on two cores, so its order matters: the programs first, then vet and staticcheck with
# the very same tags (they find each package compiled), then one build with the race detector for all Go tests.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

work=$(mktemp -d)
counts=$work/counts.json
began=$SECONDS
current=
simulation=

finish() {
	local code=$?
	echo
	if [ -s "$work/times" ]; then
		cat "$work/times"
		printf '%6d s  in all\n\n' $((SECONDS - began))
	fi
	if [ $code != 0 ]; then
		echo "make test stopped at: $current. The lines above the times say why."
	fi
	if command -v go >/dev/null; then
		go run -buildvcs=false ./build/report -counts "$counts" -sum -broken=$([ $code = 0 ] && echo false || echo true)
	else
		echo "0 passed, 1 failed"
	fi
	[ -z "$simulation" ] || kill -- "-$simulation" 2>/dev/null || true
	rm -rf "$work"
	exit $code
}
trap finish EXIT

# step NAME COMMAND...: runs it, notes the time it took.
step() {
	local start=$SECONDS
	current=$1
	shift
	printf '\n== %s\n' "$current"
	"$@"
	printf '%6d s  %s\n' $((SECONDS - start)) "$current" >>"$work/times"
}

# The window's tests and the widget's have a setting each.
frontend_tests() {
	local setting code=0
	for setting in vite.config.ts widget/vitest.config.ts; do
		rm -f "$work/vitest.json"
		(cd frontend && npx vitest run --config "$setting" \
			--reporter=dot --reporter=json --outputFile.json="$work/vitest.json") || code=$?
		if [ -s "$work/vitest.json" ]; then
			go run -buildvcs=false ./build/report -counts "$counts" -vitest "$work/vitest.json"
		fi
		[ $code = 0 ] || return $code
	done
}

# go_tests ARGUMENT...: go test, told in few lines.
go_tests() {
	go build -buildvcs=false -o "$work/report" ./build/report
	go test -json "$@" | "$work/report" -counts "$counts"
}

# The window needs Wails and GTK, which are slow to compile; they are compiled once, without the race detector, for
# the program itself. The end-to-end tests have no use for it either: what they test runs in other processes. The rules
# about imports and the demo set start no goroutine, and the tests of others watch the demo set where it is shared.
race_packages() {
	go list -tags "$tags" ./... | grep -Ev '^parley(/e2e.*|/build/.*|/backend|/backend/demo|/backend/desktop/simulation)?$'
}

# What other people's packages only compute, on memory that nobody else has, needs no watching and takes most of the
# time under watch: hashes of passwords, pictures, schemas. Few packages are built on these, so they alone differ from
# what a plain go test -race builds.
unwatched=()
for package in golang.org/x/crypto/{argon2,blake2b} image/... github.com/getkin/kin-openapi/... github.com/santhosh-tekuri/jsonschema/...; do
	unwatched+=(-gcflags="$package=-race=false")
done

unit_tests() {
	# shellcheck disable=SC2046 # one package per word
	go_tests -race "${unwatched[@]}" -shuffle=on -vet=off -timeout 10m -tags "$tags" $(race_packages)
	go_tests -shuffle=on -vet=off -tags "$window_tags,devtools" . ./build/... ./backend ./backend/demo
}

# Schedules of faults, and deliberate faults that they must find: without the race detector, which looks at the same
# code in the other tests and would make this take many times as long. It runs beside what follows and takes only the
# time that the others leave: in its own time nothing depends on how fast the machine is.
begin_simulation() {
	go build -buildvcs=false -o "$work/report" ./build/report
	go test -c -vet=off -tags "$tags" -o "$work/simulation" ./backend/desktop/simulation
	(
		cd backend/desktop/simulation
		# A schedule waits for its threads now and then, so there are twice as many at a time as processors.
		exec setsid nice -n 19 go tool test2json -p parley/backend/desktop/simulation -t "$work/simulation" -test.v=test2json -test.timeout 25m \
			-test.parallel $((2 * $(nproc))) -test.run '^(TestSchedules|TestMutants)$' -schedules 2000 -shift 5s -mutants
	) >"$work/simulation.json" 2>&1 &
	simulation=$!
}

end_simulation() {
	local code=0
	wait "$simulation" || code=$?
	simulation=
	"$work/report" -counts "$counts" <"$work/simulation.json" || code=1
	return $code
}

end_to_end_tests() {
	rm -rf e2e/shots
	go_tests -count=1 -vet=off -timeout 10m -tags "$tags" ./e2e
}

step "install what is missing" build/install.sh build test
. build/env.sh
step "frontend: build" build/frontend.sh
step "frontend: svelte-check, oxlint" build/lint.sh frontend
step "frontend: tests" frontend_tests
step "programs: build" build/compile.sh parleyd parley-devtools
step "Go: format, vet, staticcheck" build/lint.sh go
step "generated files are up to date" build/generate.sh check
step "simulated faults: begin" begin_simulation
step "Go: tests with the race detector" unit_tests
step "the real window, backend and browser" end_to_end_tests
step "simulated faults: what is left of them" end_simulation
