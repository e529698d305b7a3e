#!/usr/bin/env bash
# The overhead of a trial on docker, side by side with Harbor's: `HARBOR_VENV=DIR scripts/bench-harbor.sh`. HARBOR_VENV is a virtual environment that has it; the engine is
# DOCKER_HOST's and has debian:bookworm-slim; docker compose is a plugin of docker's (DOCKER_CONFIG, see scripts/compose-plugin.sh). Takes about three minutes.
#
# Eight trivial tasks run one after the other, and four at once. The wall time of a trial, which solves and verifies in no time, is its overhead. Memory is the most that
# the harness had: the harbor process, or Oddish's server and worker in one.
set -euo pipefail
cd "$(dirname "$0")/.."
harbor=${HARBOR_VENV:?name a virtual environment with Harbor}/bin/harbor
work=$(mktemp -d)
export ODDISH_DATA_DIR=$work/data ODDISH_API_URL=http://localhost:$((20000 + $$ % 10000)) HARBOR_TELEMETRY=off LITELLM_LOCAL_MODEL_COST_MAP=True
cleanup() {
	"$work/oddish" clean --stop-only >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap cleanup EXIT
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/oddish" ./cmd/oddish

for i in $(seq 8); do
	dir=$work/tasks/trivial-$i
	mkdir -p "$dir"/{environment,solution,tests}
	printf 'schema_version = "1.4"\n[task]\nname = "bench/trivial-%d"\n[agent]\ntimeout_sec = 60\n[verifier]\ntimeout_sec = 60\n[environment]\ndocker_image = "debian:bookworm-slim"\n' "$i" >"$dir/task.toml"
	echo "Do nothing, $i times." >"$dir/instruction.md"
	printf '#!/bin/bash\ntrue\n' >"$dir/solution/solve.sh"
	printf '#!/bin/bash\necho 1 >/logs/verifier/reward.txt\n' >"$dir/tests/test.sh"
	chmod +x "$dir"/*/*.sh
done

row() { # row NAME JOBDIR MEMORY_KB WALL
	python3 - "$@" <<'PYTHON'
import json, sys, statistics, pathlib, datetime
name, job, kb, wall = sys.argv[1:]
at = lambda s: datetime.datetime.fromisoformat(s.replace("Z", "+00:00"))
took = []
for f in pathlib.Path(job).glob("*/result.json"):
    r = json.loads(f.read_text())
    assert r["verifier_result"]["rewards"]["reward"] == 1, f
    took.append((at(r["finished_at"]) - at(r["started_at"])).total_seconds())
assert len(took) == 8, took
print(f"{name:24} wall {float(wall):6.1f} s   trial median {statistics.median(took):5.2f} s, most {max(took):5.2f} s   memory {int(kb) // 1024} MiB")
PYTHON
}

peak() { awk '/VmHWM/ {print $2}' "/proc/$1/status"; }

for n in 1 4; do
	begun=$EPOCHREALTIME
	HOME=$work "$harbor" run -p "$work/tasks" -a oracle -e docker -n "$n" -o "$work/jobs" --job-name "harbor-$n" -y -q >"$work/log" 2>&1 &
	pid=$!
	kb=0
	while kill -0 $pid 2>/dev/null; do
		now=$(peak $pid 2>/dev/null || true)
		((${now:-0} <= kb)) || kb=$now
		sleep 0.5
	done
	wait $pid || { cat "$work/log" >&2; exit 1; }
	row "harbor, $n at once" "$work/jobs/harbor-$n" "$kb" "$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}')"

	begun=$EPOCHREALTIME
	ODDISH_WORKER_SLOTS=$n "$work/oddish" run -p "$work/tasks" -a oracle --env docker -E "oddish-$n" --quiet >/dev/null 2>&1
	wall=$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}')
	kb=$(peak "$("$work/oddish" status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["server"]["pid"])')")
	"$work/oddish" pull "oddish-$n" --out "$work/jobs/oddish-$n" >/dev/null
	"$work/oddish" clean --stop-only >/dev/null
	row "oddish, $n at once" "$work/jobs/oddish-$n" "$kb" "$wall"
done
