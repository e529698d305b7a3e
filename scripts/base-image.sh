#!/usr/bin/env bash
# Loads the base image of the tests into the engine at DOCKER_HOST, as debian:bookworm-slim, the
# tag that the example tasks' Dockerfiles name. No image registry is asked: the image is made from the system's packages with
# debootstrap, once, and kept in .cache/ (or ODDISH_CACHE_DIR). Exit status 3: it cannot be made here; the reason is on stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=debian:bookworm-slim
cache=${ODDISH_CACHE_DIR:-$PWD/.cache}
archive=$cache/base-bookworm.tar
# What example tasks need beyond the minimum, so that their Dockerfiles install nothing.
packages=ca-certificates,git,procps,python3-minimal

unavailable() {
	echo "no base image for the tests: $*" >&2
	exit 3
}

# The mirror that this machine's apt uses for Debian, in either format of its sources.
mirror() {
	{
		sed -nE 's/^URIs: *([^ ]+).*/\1/p' /etc/apt/sources.list.d/*.sources
		sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list
	} 2>/dev/null | awk '!/security/ {print; exit}' || true # a pattern of files that match nothing is no error
}

make_archive() {
	[[ $EUID -eq 0 ]] || unavailable "only root can run debootstrap"
	mkdir -p "$cache"
	local root log=$cache/base-image.log url
	if ! command -v debootstrap >/dev/null; then
		command -v apt-get >/dev/null || unavailable "debootstrap is not installed and this system has no apt-get"
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap; } \
			>"$log" 2>&1 || unavailable "installing debootstrap failed: $(tail -n 1 "$log")"
	fi
	url=$(mirror)
	[[ -n $url ]] || unavailable "apt has no Debian mirror configured"
	root=$(mktemp -d)
	trap "rm -rf '$root'" EXIT
	chmod 755 "$root" # it is /, also for engines that keep its mode
	debootstrap --variant=minbase --include="$packages" bookworm "$root" "$url" >"$log" 2>&1 ||
		unavailable "debootstrap failed: $(tail -n 1 "$log")"
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	tar -C "$root" -c . >"$archive.tmp"
	mv "$archive.tmp" "$archive"
}

docker image inspect "$tag" >/dev/null 2>&1 && exit 0
[[ -f $archive ]] || make_archive
docker import --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
	"$archive" "$tag" >/dev/null
