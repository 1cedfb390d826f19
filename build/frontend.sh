#!/usr/bin/env bash
# Builds what browsers and the window show: frontend/dist, and frontend/widget into backend/server/channel/web/dist.
# Go embeds both, so this comes before any go command. Does nothing when nothing changed. `frontend.sh clean` forgets it.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root/frontend"

stamps=node_modules/.parley
if [ "${1:-}" = clean ]; then
	rm -rf $stamps
	exit
fi

# fingerprint FILE-OR-FOLDER...: of names and contents.
fingerprint() {
	find "$@" -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum
}

# unless_fresh NAME RESULT SOURCE... -- COMMAND...: runs COMMAND when RESULT is missing or a SOURCE changed since.
unless_fresh() {
	local name=$1 result=$2 sources=() now
	shift 2
	while [ "$1" != -- ]; do
		sources+=("$1")
		shift
	done
	shift
	now=$(fingerprint "${sources[@]}")
	if [ -e "$result" ] && [ "$(cat "$stamps/$name" 2>/dev/null)" = "$now" ]; then return; fi
	"$@"
	mkdir -p "$stamps"
	echo "$now" >"$stamps/$name"
}

settings=(package.json package-lock.json)
unless_fresh packages node_modules/svelte package-lock.json -- npm ci --no-audit --no-fund --loglevel=error
unless_fresh window dist/index.html "${settings[@]}" index.html vite.config.ts vite.prerender.config.ts tsconfig.json svelte.config.js src public -- \
	npm run --silent build -- --logLevel warn
unless_fresh prerender dist/prerender.bin dist/prerender.js ../go.sum ../backend/desktop/prerender ../build/prerender -- \
	go run -C .. -buildvcs=false ./build/prerender frontend/dist/prerender.js frontend/dist/prerender.bin
unless_fresh widget ../backend/server/channel/web/dist/chat.js "${settings[@]}" widget -- \
	npm run --silent build:widget -- --logLevel warn
