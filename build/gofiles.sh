#!/usr/bin/env bash
# Prints our own Go files: those of the work tree, tracked or new, that are not deleted.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"
find . -name '*.go' -not -path '*/node_modules/*' -not -path './build/.tools/*'
