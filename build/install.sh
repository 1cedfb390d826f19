#!/usr/bin/env bash
# Installs what a group of make targets needs and is not there yet: install.sh build|test ...
# Quick when everything is there; Debian packages in one apt-get run, Go and Node from the module
# proxy and the npm registry when the system's are too old.
set -euo pipefail
. "$(dirname "$0")/env.sh"

go_version=1.26.8 go_least=1.26
node_version=22.23.3 node_least=20.19
npm_version=11.19.1 npm_least=11

# at_least HAVE WANT: is version HAVE not older than WANT?
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

go_fits() {
	local have
	have=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) && at_least "${have#go}" $go_least
}

node_fits() {
	local node npm
	node=$(node --version 2>/dev/null) && npm=$(npm --version 2>/dev/null) &&
		at_least "${node#v}" $node_least && at_least "$npm" $npm_least
}

# browser: does the browser start that the tests will find? The name alone says little: Ubuntu's chromium-browser only
# points to a snap.
browser() {
	local name
	for name in chromium chromium-browser google-chrome; do
		if command -v $name >/dev/null; then
			$name --version >/dev/null 2>&1
			return
		fi
	done
	return 1
}

# packages GROUP: the Debian packages of a group that a program in PATH does not stand in for.
packages() {
	case $1 in
	build)
		echo ca-certificates git gcc libc6-dev pkg-config libgtk-3-dev libwebkit2gtk-4.1-dev
		command -v go >/dev/null || echo golang-go
		command -v npm >/dev/null || echo nodejs npm
		;;
	test)
		echo xvfb openbox dbus dbus-x11 at-spi2-core xdotool dunst imagemagick x11-utils libnotify-bin
		echo fonts-inter fonts-noto-core fonts-noto-color-emoji fonts-noto-cjk
		echo postgresql gnome-keyring libsecret-tools procps
		browser || echo chromium
		;;
	*) die "There is no group \"$1\" to install: build and test are known." ;;
	esac
}

# missing PACKAGE...: those that are not installed.
missing() {
	comm -23 <(printf '%s\n' "$@" | sort -u) \
		<(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

# offered PACKAGE: has apt such a package? One that it does not know would make it install none of the others.
offered() { [[ $(LC_ALL=C apt-cache policy "$1") == *"Candidate: "[!\(]* ]]; }

install_packages() {
	local want lacking as_root=()
	want=$(for group in "$@"; do packages "$group"; done)
	if ! command -v dpkg-query >/dev/null; then
		check_by_hand "$@"
		return
	fi
	# shellcheck disable=SC2086 # the list is meant to be split
	lacking=$(missing $want)
	[ -n "$lacking" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "These Debian packages are missing and sudo is not here to install them:" $lacking
		as_root=(sudo)
	fi
	echo "Installing Debian packages:" $lacking
	"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 -q update >/dev/null ||
		die "apt-get update did not work; the lines above say why."
	if grep -qx chromium <<<"$lacking" && ! offered chromium; then
		die "The tests need a browser, and apt has no package chromium here (Ubuntu has it only as a snap). Nothing was installed." \
			"Please install Google Chrome from https://www.google.com/chrome/, remove the package chromium-browser if it is there," \
			"and run this again."
	fi
	# shellcheck disable=SC2086
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		-qq --no-install-recommends -y install $lacking >/dev/null ||
		die "apt-get could not install them; the lines above say why."
}

# check_by_hand GROUP...: on a system without Debian's packages, say what is needed.
check_by_hand() {
	local absent=() name
	for name in git gcc pkg-config go npm; do command -v "$name" >/dev/null || absent+=("$name"); done
	pkg-config --exists webkit2gtk-4.1 gtk+-3.0 2>/dev/null || absent+=("the development files of GTK 3 and WebKitGTK 4.1")
	if [[ " $* " == *" test "* ]]; then
		for name in Xvfb openbox dbus-daemon xdotool dunst import postgres gnome-keyring-daemon; do
			command -v "$name" >/dev/null || absent+=("$name")
		done
		browser || absent+=("Chromium or Google Chrome")
	fi
	[ ${#absent[@]} = 0 ] || die "This is not Debian or Ubuntu, so please install by hand: $(printf '%s, ' "${absent[@]}" | sed 's/, $//')."
}

# install_go: any go can fetch a newer one, because each release is also a module.
install_go() {
	go_fits && return 0
	local arch dir
	arch=$(go env GOARCH)
	echo "Installing Go $go_version, because $(cd / && GOTOOLCHAIN=local go version | cut -d' ' -f3) is older than $go_least"
	mkdir -p "$tools"
	rm -rf "$tools/fetch" "$tools/go.new"
	mkdir "$tools/fetch"
	printf 'module fetch\n' >"$tools/fetch/go.mod"
	dir=$(cd "$tools/fetch" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOWORK=off \
		go mod download -json "golang.org/toolchain@v0.0.1-go$go_version.linux-$arch" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	[ -d "$dir" ] || die "Go $go_version could not be fetched through the Go module proxy; go $go_least or newer in PATH will do as well."
	cp -r "$dir" "$tools/go.new"
	chmod -R u+w "$tools/go.new"
	# A module can hold neither executables nor a nested go.mod, so both are put back here.
	chmod +x "$tools/go.new/bin/"* "$tools/go.new/pkg/tool/"*/*
	find "$tools/go.new/src" -name _go.mod -execdir mv _go.mod go.mod \;
	rm -rf "$tools/go" "$tools/fetch"
	mv "$tools/go.new" "$tools/go"
	. "$root/build/env.sh"
	go_fits || die "The Go $go_version that was just fetched does not run."
}

# install_node: the npm registry carries Node itself, one package for each system.
install_node() {
	node_fits && return 0
	local arch=x64
	[ "$(uname -m)" = aarch64 ] && arch=arm64
	echo "Installing Node $node_version and npm $npm_version, because those in PATH are older than $node_least and $npm_least"
	rm -rf "$tools/node.new"
	mkdir -p "$tools/node.new"
	npm install --silent --no-audit --no-fund --prefix "$tools/node.new" \
		"node-linux-$arch@$node_version" "npm@$npm_version" ||
		die "Node $node_version could not be fetched from the npm registry; node $node_least and npm $npm_least or newer in PATH will do as well."
	mkdir "$tools/node.new/bin"
	ln -s "../node_modules/node-linux-$arch/bin/node" "$tools/node.new/bin/node"
	ln -s ../node_modules/npm/bin/npm-cli.js "$tools/node.new/bin/npm"
	ln -s ../node_modules/npm/bin/npx-cli.js "$tools/node.new/bin/npx"
	rm -rf "$tools/node"
	mv "$tools/node.new" "$tools/node"
	. "$root/build/env.sh"
	node_fits || die "The Node $node_version that was just fetched does not run."
}

[ $# -gt 0 ] || die "usage: build/install.sh build|test ..."
install_packages "$@"
install_go
install_node
