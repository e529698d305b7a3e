#!/usr/bin/env bash
# A private docker engine for tests: `scripts/docker-engine.sh start|stop DIR`.
#
# Everything of it is below DIR: socket, data, pid file, log. `start` installs docker.io from the system's packages when it
# is missing and we are root, waits until the engine answers, and prints one line on stdout,
#   DOCKER_HOST=unix://DIR/docker.sock
# It is harmless to start one that runs. Exit status 3: an engine cannot be had here; the reason is on stderr.
set -euo pipefail

usage() {
	echo "usage: scripts/docker-engine.sh start|stop DIR" >&2
	exit 2
}
[[ $# -eq 2 ]] || usage

mkdir -p "$2"
dir=$(cd "$2" && pwd)
host=unix://$dir/docker.sock

unavailable() {
	echo "no docker engine for the tests: $*" >&2
	exit 3
}

answers() { DOCKER_HOST=$host docker version >/dev/null 2>&1; }

need_packages() {
	command -v dockerd >/dev/null && command -v docker >/dev/null && command -v ip >/dev/null && return
	[[ $EUID -eq 0 ]] || unavailable "docker is not installed and only root can install it"
	command -v apt-get >/dev/null || unavailable "docker is not installed and this system has no apt-get"
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io iptables iproute2; } \
		>"$dir/install.log" 2>&1 || unavailable "installing docker.io failed: $(tail -n 1 "$dir/install.log")"
}

# The kernel may lack overlay, or the folder lie on a file system that cannot be an upper layer.
storage_driver() {
	local probe=$dir/probe driver=vfs
	mkdir -p "$probe"/{lower,upper,work,merged}
	if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" "$probe/merged" 2>/dev/null; then
		umount "$probe/merged"
		driver=overlay2
	fi
	rm -rf "$probe"
	echo "$driver"
}

# A bridge of its own, named after the folder, on a network that nothing here uses. docker0 is left
# alone: it may be another engine's, and two engines on one bridge give out the same addresses.
bridge=odt-$(printf %s "$dir" | cksum | cut -d ' ' -f 1)
bridge=${bridge:0:15}

make_bridge() {
	ip link show "$bridge" >/dev/null 2>&1 && return
	ip link add name "$bridge" type bridge || return
	local n
	for n in $(seq 100 250); do
		[[ -z $(ip -4 route show to match "172.31.$n.1/32" table all | grep -v ^default) ]] || continue
		ip addr add "172.31.$n.1/24" dev "$bridge" && ip link set "$bridge" up && return
	done
	return 1
}

remove_bridge() {
	if command -v ip >/dev/null && ip link show "$bridge" >/dev/null 2>&1; then ip link del "$bridge"; fi
}

# Without packet filter and address translation: containers reach each other and this machine,
# which is all that tests need, and nothing of this machine's own rules is touched.
launch() { # launch BRIDGE
	rm -f "$dir/dockerd.pid"
	setsid dockerd --host "$host" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" \
		--storage-driver "$(storage_driver)" --log-level warn \
		--bridge "$1" --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
		>>"$dir/dockerd.log" 2>&1 </dev/null &
	local pid=$! _
	for _ in $(seq 150); do
		answers && return 0
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.2
	done
	kill "$pid" 2>/dev/null || true
	return 1
}

start() {
	if ! answers; then
		need_packages
		[[ $EUID -eq 0 ]] || unavailable "only root can start one"
		if ! make_bridge 2>>"$dir/dockerd.log"; then
			remove_bridge
			bridge=none # containers have no network then; what is tested of it is skipped
		fi
		launch "$bridge" || unavailable "dockerd did not start: $(tail -n 2 "$dir/dockerd.log" | tr '\n' ' ')"
	fi
	echo "DOCKER_HOST=$host"
}

stop() {
	[[ -f $dir/dockerd.pid ]] || { remove_bridge; return 0; }
	if answers; then
		DOCKER_HOST=$host docker ps -aq | DOCKER_HOST=$host xargs -r docker rm -f >/dev/null
	fi
	local pid _
	pid=$(cat "$dir/dockerd.pid")
	kill "$pid" 2>/dev/null || true
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null || true
	# What the engine mounted would keep its folder from being removed.
	awk -v d="$dir/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n 1 umount -l
	remove_bridge
}

case $1 in
start) start ;;
stop) stop ;;
*) usage ;;
esac
