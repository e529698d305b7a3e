#!/usr/bin/env bash
# What a server costs that has nothing to do: `scripts/idle.sh [sqlite|postgres]`.
#
# Builds the program, starts a server and 10 workers (WORKERS) with the sandbox `fake`, lets them settle (SETTLE, 35 s: longer than a
# claim waits) and measures for 60 s (DURATION): statements sent to the database, processor time, memory. postgres starts one of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
engine=${1:-sqlite} workers=${WORKERS:-10} settle=${SETTLE:-35} duration=${DURATION:-60}
case $engine in sqlite | postgres) ;; *)
	echo "usage: scripts/idle.sh [sqlite|postgres]" >&2
	exit 2
	;;
esac

scratch=$(mktemp -d)
chmod 755 "$scratch" # PostgreSQL runs as another user
pids=()
cleanup() {
	((${#pids[@]} == 0)) || kill -9 "${pids[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	if [[ -d $scratch/postgres ]]; then scripts/postgres.sh stop "$scratch/postgres" || true; fi
	rm -rf "$scratch"
}
trap cleanup EXIT

CGO_ENABLED=0 go build -trimpath -o "$scratch/oddish" ./cmd/oddish
port=$((20000 + $$ % 10000))
export ODDISH_API_URL=http://localhost:$port ODDISH_AUTO_START_WORKERS=false ODDISH_DEFAULT_ENVIRONMENT=fake
unset DATABASE_URL ODDISH_DATABASE_URL
if [[ $engine == postgres ]]; then
	ODDISH_DATABASE_URL=$(scripts/postgres.sh start "$scratch/postgres")
	export ODDISH_DATABASE_URL
fi

launch() { # launch NAME ARGUMENTS...
	local name=$1
	shift
	ODDISH_DATA_DIR=$scratch/$name "$scratch/oddish" "$@" >"$scratch/$name.log" 2>&1 &
	pids+=($!)
}
metrics() { curl -sf "$ODDISH_API_URL/metrics"; }
statements() { metrics | awk '/^oddish_db_statements_total/ { n += $NF } END { printf "%d", n }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; } # of processor time; the name in field 2 has no space
memory() { awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$1/status"; }

launch server api --port "$port"
for _ in $(seq 100); do
	if metrics >/dev/null; then break; fi
	sleep 0.1
done
metrics >/dev/null || {
	cat "$scratch/server.log" >&2
	exit 1
}
for n in $(seq "$workers"); do launch "worker$n" worker --env fake; done
sleep "$settle"

all_ticks() { for pid in "${pids[@]:1}"; do ticks "$pid"; done | awk '{ n += $1 } END { print n }'; }
before=$(statements) server=$(ticks "${pids[0]}") others=$(all_ticks)
sleep "$duration"
after=$(statements) server=$(($(ticks "${pids[0]}") - server)) others=$(($(all_ticks) - others))

hz=$(getconf CLK_TCK)
per_minute() { awk -v n="$1" -v d="$duration" -v by="$2" -v f="$3" 'BEGIN { printf f, n / by * 60 / d }'; }
printf '%s, %d idle workers, %d s\n' "$engine" "$workers" "$duration"
printf 'statements a minute        %s\n' "$(per_minute $((after - before)) 1 %.0f)"
printf 'server, CPU s a minute     %s\n' "$(per_minute "$server" "$hz" %.2f)"
printf 'a worker, CPU s a minute   %s\n' "$(per_minute "$others" $((hz * workers)) %.3f)"
printf 'server, resident           %s MB\n' "$(memory "${pids[0]}")"
printf 'a worker, resident         %s MB\n' "$(memory "${pids[1]}")"
