# Sourced by every script and by the Makefile: tools that install.sh had to bring stand before the system's.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/build/.tools
if [ -x "$tools/node/bin/node" ]; then PATH=$tools/node/bin:$PATH; fi
if [ -x "$tools/go/bin/go" ]; then
	PATH=$tools/go/bin:$PATH
	unset GOROOT
	export GOTOOLCHAIN=local
elif ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
	PATH=/usr/local/go/bin:$PATH
fi
export PATH

# SQLite's full-text search is a build tag; a program built without it refuses to start.
tags=sqlite_fts5
# The window: WebKitGTK 4.1, Wails in production mode.
window_tags=desktop,production,webkit2_41,$tags
# A clone owned by somebody else must build too, so the version is asked of git here and not by the go command.
version=$(git -C "$root" describe --tags --always --dirty 2>/dev/null || echo unversioned)

# die says in one sentence why this cannot go on.
die() {
	printf '\n%s\n' "$*" >&2
	exit 1
}
