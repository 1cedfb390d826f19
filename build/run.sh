#!/usr/bin/env bash
# make run: builds the window and opens it.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
	die "There is no screen here to open a window on (DISPLAY is not set): run this in a desktop session, or look at docs/develop.md for a screen without one."
fi
build/install.sh build
build/frontend.sh
build/compile.sh parley
exec build/bin/parley "$@"
