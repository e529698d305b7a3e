#!/usr/bin/env bash
# Runs the checks and tests of the whole project: `scripts/test.sh [all|lint|unit|race]`.
#
# The services that tests need come from the system's packages (installed when run as
# root) and are started on private sockets in a temporary folder. Where one
# cannot be had, the tests that need it are skipped and the reason is printed; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

# Packages whose goroutines share state: they run under the race detector as well.
# The builtin provider is left out: gVisor must be linked statically, which the detector is not. So is docker, which needs an engine.
race_packages=(./api/... ./client/... ./internal/queue/... ./internal/store/... ./internal/blob/...
	./internal/server/... ./internal/worker/... ./internal/trial/... ./internal/sandbox ./internal/sandbox/fake/...
	./internal/sandbox/netpeer ./internal/imagebuild ./internal/llm/...)

scratch=$(mktemp -d)
chmod 755 "$scratch" # PostgreSQL runs as another user
cleanup() {
	[[ -z ${engine:-} ]] || kill "$engine" 2>/dev/null || true
	if [[ -d $scratch/docker ]]; then scripts/docker-engine.sh stop "$scratch/docker" || true; fi
	if [[ -d $scratch/postgres ]]; then scripts/postgres.sh stop "$scratch/postgres" || true; fi
	rm -rf "$scratch"
}
trap cleanup EXIT

say() { printf '\n== %s\n' "$*"; }

missing() { # missing WHAT: a service or tool that could not be had
	echo "SKIPPED: $*" >&2
	if [[ ${CI:-} == true ]]; then
		echo "with CI=true nothing may be skipped" >&2
		exit 1
	fi
}

lint() {
	say gofmt
	local unformatted
	unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)
	if [[ -n $unformatted ]]; then
		printf 'not formatted (run gofmt -w):\n%s\n' "$unformatted" >&2
		return 1
	fi
	say go vet
	go vet ./...
	say staticcheck
	go tool staticcheck ./...
}

docker_engine() {
	say docker engine for the tests
	local host
	if ! host=$(scripts/docker-engine.sh start "$scratch/docker"); then
		missing "the docker tests: no engine could be started (the reason is above)"
		return
	fi
	export "ODDISH_TEST_${host?}"
	local archive=${ODDISH_CACHE_DIR:-$PWD/.cache}/base-bookworm.tar
	if ! DOCKER_HOST=$ODDISH_TEST_DOCKER_HOST scripts/base-image.sh; then
		unset ODDISH_TEST_DOCKER_HOST
		missing "the docker tests: the base image could not be made (the reason is above)"
	fi
	[[ ! -f $archive ]] || export ODDISH_TEST_BASE_IMAGE=$archive
	local config
	if config=$(scripts/compose-plugin.sh); then export "${config?}"; else missing "the tests of compose tasks (the reason is above)"; fi
}

# The packages that speak SQL, once more on PostgreSQL.
postgres() {
	say go test on PostgreSQL
	local url
	if ! url=$(scripts/postgres.sh start "$scratch/postgres"); then
		missing "the tests on PostgreSQL: none could be started (the reason is above)"
		return
	fi
	export ODDISH_TEST_POSTGRES=$url
	# Chaos waits more than it works: the others run beside it.
	go test ./test/chaos -run PostgreSQL >"$scratch/chaos.log" 2>&1 &
	local chaos=$! failed=0
	go test ./internal/store/... ./internal/queue/... ./internal/server/... ./internal/backup || failed=1
	say several servers on PostgreSQL
	go test ./test/e2e -run Servers || failed=1
	say chaos on PostgreSQL
	wait "$chaos" || failed=1
	cat "$scratch/chaos.log"
	unset ODDISH_TEST_POSTGRES
	return $failed
}

unit() {
	say go test
	go test ./...
}

race() {
	say go test -race
	if ! command -v gcc >/dev/null; then
		missing "the race detector: it needs gcc"
		return
	fi
	# What copies whole databases, or works through thousands of trials in chunks, has nothing concurrent in it, and takes long under the detector.
	CGO_ENABLED=1 go test -race -skip '^Test(Copy|Purge|AGreat)' "${race_packages[@]}"
}

case "${1:-all}" in
lint) lint ;;
unit) unit ;;
race) race ;;
all)
	# The engine and its image come over the network while the code is looked at; what this makes is found by the call that follows.
	docker_engine >"$scratch/engine.log" 2>&1 &
	engine=$!
	lint
	wait "$engine" || true # the next call says why
	docker_engine
	unit
	postgres
	race
	say "all checks passed"
	;;
*)
	echo "usage: scripts/test.sh [all|lint|unit|race]" >&2
	exit 2
	;;
esac
