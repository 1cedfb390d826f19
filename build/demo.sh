#!/usr/bin/env bash
# make demo: a company with 2,000 chats, in a data folder of its own beside the real one, and the window on it.
# Made once; `make demo FRESH=1` makes it anew.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

data=${XDG_DATA_HOME:-$HOME/.local/share}/parley-demo
build/install.sh build
build/frontend.sh
build/compile.sh parleyd parley

if [ -n "${FRESH:-}" ]; then rm -rf "$data"; fi
if [ ! -d "$data/server" ]; then
	# Made aside and moved when complete, so that an interrupted run leaves no half company.
	rm -rf "$data/making"
	mkdir -p "$data"
	build/bin/parleyd demo --data "$data/making"
	mv "$data/making" "$data/server"
fi

echo
echo "The demo company is in $data (make demo FRESH=1 makes it anew)."
echo "Its owner signs in as olivia@northwind.example with the password northwind-demo-2026."
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
	echo "There is no screen here to open a window on; in a desktop session, build/bin/parley --data $data shows it."
	echo "To sign in to it from elsewhere: build/bin/parleyd serve --data $data/server"
	exit
fi
exec build/bin/parley --data "$data"
