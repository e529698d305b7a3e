#!/usr/bin/env bash
# The long form of the chaos test: `scripts/chaos.sh [MINUTES [SEED]]` (3 minutes, a random seed).
#
# Servers and workers run 2,000 trials in fake sandboxes for each three minutes while they are killed, stopped and cut from their database: first two
# servers with four workers on PostgreSQL, then one server with two workers on SQLite; see test/chaos. PostgreSQL is the one at
# ODDISH_TEST_POSTGRES (a URL of somebody who may create databases and end connections), else a private one that is started for it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

minutes=${1:-3}
seed=${2:-0}
if ! [[ $minutes =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]] || (($# > 2)); then
	echo "usage: scripts/chaos.sh [MINUTES [SEED]]" >&2
	exit 2
fi

if [[ -z ${ODDISH_TEST_POSTGRES:-} ]]; then
	scratch=$(mktemp -d)
	chmod 755 "$scratch" # PostgreSQL runs as another user
	trap 'scripts/postgres.sh stop "$scratch"; rm -rf "$scratch"' EXIT
	ODDISH_TEST_POSTGRES=$(scripts/postgres.sh start "$scratch")
	export ODDISH_TEST_POSTGRES
fi

go test ./test/chaos -count=1 -v -timeout "$((minutes * 4 + 20))m" \
	-chaos.time="${minutes}m" -chaos.trials=$((minutes * 2000 / 3)) -chaos.seed="$seed"
