#!/usr/bin/env bash
# The figures of the section "The queue at scale" of docs/performance.md: `scripts/bench-queue.sh [FLAGS]`, with the flags of
# test/scale, first on SQLite, then on a PostgreSQL of its own that writes to the disk as a real one does. Takes about eight minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

work=$(mktemp -d)
chmod 755 "$work" # PostgreSQL runs as another user
cleanup() {
	if [[ -d $work/postgres ]]; then scripts/postgres.sh stop "$work/postgres" || true; fi
	rm -rf "$work"
}
trap cleanup EXIT

go build -o "$work/oddish" ./cmd/oddish
go build -o "$work/scale" ./test/scale
echo "load of the machine before: $(cut -d ' ' -f 1-3 /proc/loadavg), $(nproc) processors"

echo "== SQLite"
"$work/scale" -oddish "$work/oddish" "$@"

echo "== PostgreSQL"
if url=$(POSTGRES_FSYNC=on scripts/postgres.sh start "$work/postgres"); then
	"$work/scale" -oddish "$work/oddish" -database "$url" "$@"
fi
echo "load of the machine after: $(cut -d ' ' -f 1-3 /proc/loadavg)"
