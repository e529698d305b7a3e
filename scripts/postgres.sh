#!/usr/bin/env bash
# A private PostgreSQL for tests: `scripts/postgres.sh start|stop DIR`.
#
# Everything of it is below DIR; it listens on a unix socket only. `start` installs PostgreSQL from the system's packages
# when it is missing and we are root, waits until it answers, and prints one line on stdout, a database URL. It is harmless to start
# one that runs. It does not wait for the disk unless POSTGRES_FSYNC=on. Exit status 3: it cannot be had here; the reason is on stderr.
set -euo pipefail

usage() {
	echo "usage: scripts/postgres.sh start|stop DIR" >&2
	exit 2
}
[[ $# -eq 2 ]] || usage

mkdir -p "$2"
dir=$(cd "$2" && pwd)

unavailable() {
	echo "no PostgreSQL for the tests: $*" >&2
	exit 3
}

programs() { # the folder with initdb of the newest version
	local found
	found=$(find /usr/lib/postgresql -name initdb 2>/dev/null | sort -V | tail -n 1)
	[[ -n $found ]] || found=$(command -v initdb || true)
	[[ -n $found ]] && dirname "$found"
}

need_packages() {
	programs >/dev/null && return
	[[ $EUID -eq 0 ]] || unavailable "it is not installed and only root can install it"
	command -v apt-get >/dev/null || unavailable "it is not installed and this system has no apt-get"
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql; } \
		>"$dir/install.log" 2>&1 || unavailable "installing postgresql failed: $(tail -n 1 "$dir/install.log")"
}

# PostgreSQL refuses to run as root.
as_user() {
	if [[ $EUID -eq 0 ]]; then setpriv --reuid postgres --regid postgres --init-groups "$@"; else "$@"; fi
}

start() {
	need_packages
	local bin
	bin=$(programs)
	if ! "$bin/pg_isready" -q -h "$dir"; then
		[[ $EUID -ne 0 ]] || chown postgres "$dir"
		cd "$dir" # the user may not be allowed to stand where we do
		[[ -d $dir/data ]] || as_user "$bin/initdb" -D "$dir/data" -U oddish -A trust -E UTF8 --no-sync >"$dir/initdb.log" 2>&1 ||
			unavailable "initdb failed: $(tail -n 1 "$dir/initdb.log")"
		as_user "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -w \
			-o "-k '$dir' -c listen_addresses='' -c fsync=${POSTGRES_FSYNC:-off} -c max_connections=200" start >"$dir/start.log" 2>&1 ||
			unavailable "it did not start: $(tail -n 1 "$dir/start.log")"
	fi
	echo "postgresql://oddish@/postgres?host=$dir"
}

stop() {
	[[ -f $dir/data/postmaster.pid ]] || return 0
	cd "$dir"
	as_user "$(programs)/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null
}

case $1 in
start) start ;;
stop) stop ;;
*) usage ;;
esac
