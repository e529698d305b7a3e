#!/usr/bin/env bash
# A private podman with the API of docker's engine for tests: `scripts/podman-engine.sh start|stop DIR`.
#
# Everything of it is below DIR: socket, images, networks, pid file, log. `start` installs podman from the system's packages
# when it is missing and we are root, waits until it answers, and prints one line on stdout,
#   DOCKER_HOST=unix://DIR/podman.sock
# As an ordinary user it is rootless, which needs ranges in /etc/subuid and /etc/subgid and the program newuidmap. Its networks need
# rules in this machine's packet filter, which podman adds and takes away. Exit status 3: it cannot be had here; the reason is on stderr.
set -euo pipefail

usage() {
	echo "usage: scripts/podman-engine.sh start|stop DIR" >&2
	exit 2
}
[[ $# -eq 2 ]] || usage

mkdir -p "$2"
dir=$(cd "$2" && pwd)
host=unix://$dir/podman.sock

unavailable() {
	echo "no podman for the tests: $*" >&2
	exit 3
}

answers() { curl --silent --fail --max-time 5 --unix-socket "$dir/podman.sock" http://podman/_ping >/dev/null 2>&1; }

need_packages() {
	command -v podman >/dev/null && command -v curl >/dev/null && return
	[[ $EUID -eq 0 ]] || unavailable "podman is not installed and only root can install it"
	command -v apt-get >/dev/null || unavailable "podman is not installed and this system has no apt-get"
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		podman buildah runc netavark aardvark-dns slirp4netns uidmap fuse-overlayfs iptables curl; } \
		>"$dir/install.log" 2>&1 || unavailable "installing podman failed: $(tail -n 1 "$dir/install.log")"
}

# Limits that this machine does not allow are not asked for (podman bounds its own processes by the largest id of one), and control groups are made
# without systemd. runc works on machines with both versions of them, as crun does not.
configure() {
	local runtime=crun processes
	processes=$(ulimit -Hu)
	if [[ $processes == unlimited || $processes -gt $(</proc/sys/kernel/pid_max) ]]; then processes=$(</proc/sys/kernel/pid_max); fi
	if command -v runc >/dev/null; then runtime=runc; fi
	cat >"$dir/containers.conf" <<-CONF
		[containers]
		default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=$processes:$processes"]
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		runtime = "$runtime"
		[network]
		network_backend = "netavark"
		network_config_dir = "$dir/networks"
	CONF
}

# Left to itself, podman may copy whole images where layers could be had.
driver=overlay

podman_here() {
	CONTAINERS_CONF=$dir/containers.conf podman --storage-driver "$driver" --root "$dir/data" --runroot "$dir/run" --tmpdir "$dir/tmp" "$@"
}

launch() {
	# Programs of its write to the folder that it was started in.
	(cd "$dir" && CONTAINERS_CONF=$dir/containers.conf exec setsid podman --storage-driver "$driver" --root "$dir/data" --runroot "$dir/run" --tmpdir "$dir/tmp" \
		system service --time=0 "$host" >>"$dir/podman.log" 2>&1 </dev/null) &
	local pid=$! _
	echo "$pid" >"$dir/podman.pid"
	for _ in $(seq 100); do
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
		configure
		launch || unavailable "it did not start: $(tail -n 2 "$dir/podman.log" | tr '\n' ' ')"
	fi
	echo "DOCKER_HOST=$host"
}

stop() {
	[[ -f $dir/podman.pid ]] || return 0
	podman_here rm --all --force --time 0 >/dev/null 2>&1 || true
	local pid _
	pid=$(cat "$dir/podman.pid")
	kill "$pid" 2>/dev/null || true
	for _ in $(seq 50); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null || true
	rm -f "$dir/podman.pid" "$dir/podman.sock"
	awk -v d="$dir/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n 1 umount -l
}

case $1 in
start) start ;;
stop) stop ;;
*) usage ;;
esac
