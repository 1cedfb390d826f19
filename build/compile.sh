#!/usr/bin/env bash
# Compiles programs into build/bin: compile.sh parleyd|parley|parley-devtools|emptywindow ...
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

for program in "$@"; do
	case $program in
	parleyd) source=./backend/cmd/parleyd with=$tags ;;
	parley) source=. with=$window_tags ;;
	parley-devtools) source=. with=$window_tags,devtools ;;
	emptywindow) source=./e2e/bench/emptywindow with=$window_tags ;;
	*) die "build/compile.sh does not know a program \"$program\"." ;;
	esac
	go build -buildvcs=false -tags "$with" -ldflags "-X main.version=$version" -o "build/bin/$program" $source
done
