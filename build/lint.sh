#!/usr/bin/env bash
# What a reviewer should not have to say: format, vet, staticcheck, svelte-check, oxlint.
# The Go checks run with the window's tags, so that they share the compiled packages with the programs.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

lint_go() {
	local ugly
	# shellcheck disable=SC2046 # our file names have no spaces
	ugly=$(gofmt -l -s $(build/gofiles.sh))
	[ -z "$ugly" ] || die "These files are not formatted (make fmt does it):" $ugly
	go vet -buildvcs=false -tags "$window_tags,devtools" ./...
	go tool -modfile=build/tools/go.mod staticcheck -tags "$window_tags,devtools" ./...
}

lint_frontend() {
	(cd frontend && npm run --silent check && npm run --silent lint)
}

case ${1:-all} in
go) lint_go ;;
frontend) lint_frontend ;;
all)
	lint_go
	lint_frontend
	;;
*) die "build/lint.sh knows go, frontend and all." ;;
esac
