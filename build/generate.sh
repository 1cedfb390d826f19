#!/usr/bin/env bash
# Makes anew what is generated (go generate). With "check", fails if that changes a file: then somebody changed the
# source and not what comes of it.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

state() { git ls-files -z --cached --others --exclude-standard | sort -z | xargs -0 sha256sum 2>/dev/null || true; }

if [ "${1:-}" = check ]; then before=$(state); fi
go generate ./...
if [ "${1:-}" = check ]; then
	changed=$(diff <(echo "$before") <(state) | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u)
	[ -z "$changed" ] || die "These generated files were not up to date (make generate makes them so; commit the result):" $changed
fi
