#!/usr/bin/env bash
# Builds the plugin `docker compose` for tests, once, from its sources of the Go proxy, and prints one line on stdout,
#   DOCKER_CONFIG=DIR
# the folder that has it in cli-plugins. It is kept in .cache/ (or ODDISH_CACHE_DIR). Nothing is built where docker has the plugin
# already. Exit status 3: it cannot be had here; the reason is on stderr. The first build takes about a minute and a half on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v2.40.3
config=${ODDISH_CACHE_DIR:-$PWD/.cache}/docker-config
plugin=$config/cli-plugins/docker-compose

unavailable() {
	echo "no docker compose for the tests: $*" >&2
	exit 3
}

if docker compose version >/dev/null 2>&1; then
	echo "DOCKER_CONFIG=${DOCKER_CONFIG:-$HOME/.docker}"
	exit 0
fi
if [[ ! -x $plugin ]]; then
	log=$config/build.log
	mkdir -p "$config/cli-plugins"
	# It cannot be installed by its name, since its go.mod has exclusions: it is built as a main module.
	source=$(go mod download -json "github.com/docker/compose/v2@$version" 2>"$log" | sed -n 's/.*"Dir": "\(.*\)",/\1/p') && [[ -n $source ]] ||
		unavailable "its sources could not be fetched: $(tail -n 1 "$log")"
	(cd "$source" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$version" \
		-o "$plugin.tmp" ./cmd) >"$log" 2>&1 || unavailable "the build failed: $(tail -n 1 "$log")"
	mv "$plugin.tmp" "$plugin"
fi
echo "DOCKER_CONFIG=$config"
