#!/usr/bin/env bash
# The figures of docs/performance.md: `scripts/bench.sh [builtin] [docker]` (default: builtin, and docker where DOCKER_HOST or the
# default socket answers). With COLD=1 it also times a first build with an empty build cache. Takes about two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
export ODDISH_DATA_DIR=$work/data ODDISH_API_URL=http://127.0.0.1:$((20000 + RANDOM % 20000)) CGO_ENABLED=0
oddish=$work/oddish
cleanup() {
	[[ ! -x $oddish ]] || "$oddish" clean --stop-only >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap cleanup EXIT

now() { echo "$EPOCHREALTIME"; }
row() { printf '%-58s %s\n' "$1" "$2"; }
median() { sort -n | awk '{v[NR]=$1} END {printf "%.2f (%.2f to %.2f, n=%d)", v[int((NR+1)/2)], v[1], v[NR], NR}'; }
timed() { # timed COMMAND...: seconds
	local begun
	begun=$(now)
	"$@" >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }
	awk -v a="$begun" -v b="$(now)" 'BEGIN {printf "%.3f\n", b - a}'
}

make_task() { # make_task NAME PAUSE: a task that does nothing but wait PAUSE seconds twice
	local dir=$work/$1/trivial
	mkdir -p "$dir"/{environment,tests,solution}
	cat >"$dir/task.toml" <<-TOML
		schema_version = "1.4"
		[agent]
		timeout_sec = 60.0
		[verifier]
		timeout_sec = 60.0
		[environment]
		build_timeout_sec = 300.0
		[environment.oddish]
		image = "host"
	TOML
	echo "Write the word done into /tmp/out." >"$dir/instruction.md"
	echo "FROM debian:bookworm-slim" >"$dir/environment/Dockerfile"
	printf '#!/bin/bash\nsleep %s\necho done >/tmp/out\n' "$2" >"$dir/solution/solve.sh"
	printf '#!/bin/bash\nsleep %s\n[ "$(cat /tmp/out)" = done ] && echo 1 >/logs/verifier/reward.txt\n' "$2" >"$dir/tests/test.sh"
}

run() { "$oddish" run -p "$1" -a oracle --env "$kind" "${@:2}"; }

fresh_server() { # fresh_server LIMIT
	"$oddish" clean --yes >/dev/null 2>&1 || true
	"$oddish" run -p "$work/plain" -a nop --env fake --quiet --n-concurrent "{\"local\": $1}" >/dev/null
}

overhead() { # seconds of each trial beyond the pauses of its scripts
	tr ',' '\n' <"$work/out" | sed -nE 's/.*"seconds": *([0-9.]+).*/\1/p' | awk '{printf "%.3f\n", $1 - 1}' | median
}

bench_kind() {
	kind=$1
	fresh_server 8
	run "$work/plain" --quiet >/dev/null # the image is built, the task uploaded
	for _ in 1 2 3 4 5 6 7; do timed run "$work/plain" --quiet; done >"$work/times"
	row "$kind: 1 trivial trial, command to exit, warm server, s" "$(median <"$work/times")"
	timed run "$work/paused" --json --watch --n-trials 3 --experiment one >/dev/null
	fresh_server 1
	timed run "$work/paused" --json --watch --n-trials 5 >/dev/null
	row "$kind: overhead of a trial, 1 at a time, s" "$(overhead)"
	fresh_server 8
	timed run "$work/paused" --json --watch --n-trials 24 >/dev/null
	row "$kind: overhead of a trial, 8 at a time, s" "$(overhead)"
	fresh_server 4
	row "$kind: 32 trivial trials, 4 at a time, command to exit, s" "$(timed run "$work/plain" --quiet --n-trials 32)"
}

idle() {
	fresh_server 4
	sleep 5
	local pid
	pid=$("$oddish" status --json | tr ',{' '\n\n' | sed -nE 's/.*"pid": *([0-9]+).*/\1/p' | head -n 1)
	row "idle server with its worker, resident, MB" "$(awk '/^Rss/ {r=$2} /^Pss:/ {p=$2} END {printf "%.0f (PSS %.0f)", r/1024, p/1024}' "/proc/$pid/smaps_rollup")"
	local before after
	before=$(awk '{print $14 + $15}' "/proc/$pid/stat")
	sleep 20
	after=$(awk '{print $14 + $15}' "/proc/$pid/stat")
	row "idle server with its worker, CPU s a minute" "$(awk -v t=$((after - before)) 'BEGIN {printf "%.2f", t / 100 * 3}')"
}

go build -trimpath -ldflags '-s -w' -o "$oddish" ./cmd/oddish
make_task plain 0
make_task paused 0.5
row "binary, stripped, MB" "$(stat -c %s "$oddish" | awk '{printf "%.1f", $1 / 1e6}')"
for _ in $(seq 20); do timed "$oddish" --help; done >"$work/times"
row "oddish --help, s" "$(median <"$work/times")"
kinds=("$@")
if [[ $# -eq 0 ]]; then
	kinds=(builtin)
	if docker version >/dev/null 2>&1; then kinds+=(docker); fi
fi
for kind in "${kinds[@]}"; do bench_kind "$kind"; done
idle
if [[ ${COLD:-} == 1 ]]; then
	"$oddish" clean --yes >/dev/null 2>&1
	export GOCACHE=$work/gocache
	row "first command, empty build cache, s" "$(timed go run ./cmd/oddish run -p examples/tasks -a oracle --env builtin)"
	"$oddish" clean --yes >/dev/null 2>&1
	row "first command, built before, no server yet, s" "$(timed go run ./cmd/oddish run -p examples/tasks -a oracle --env builtin)"
	row "the same again, server running, s" "$(timed go run ./cmd/oddish run -p examples/tasks -a oracle --env builtin)"
fi
