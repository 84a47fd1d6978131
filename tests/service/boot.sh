#!/bin/sh
# Boot systemd on a copy-on-write view of the host's root, in a mount namespace and in cgroups of its own, and stay
# in the foreground until it is shut down.
#
# usage: setsid unshare --mount --propagation private boot.sh NAME DIRECTORY SHOWN...
#   NAME       of the machine; its cgroups are made here and removed by whoever called
#   DIRECTORY  empty; a file system in memory is mounted there
#   SHOWN...   directories of the host that must be seen whatever lies over them
set -eu

NAME=$1
DIRECTORY=$2
shift 2

for hierarchy in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
	[ -w "$hierarchy/cgroup.procs" ] || continue
	mkdir -p "$hierarchy/$NAME"
	echo $$ >"$hierarchy/$NAME/cgroup.procs"
done

mount -t tmpfs -o size=4g,mode=755 tmpfs "$DIRECTORY"
mkdir "$DIRECTORY/upper" "$DIRECTORY/work" "$DIRECTORY/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$DIRECTORY/upper,workdir=$DIRECTORY/work" "$DIRECTORY/root"
ROOT=$DIRECTORY/root

# Nothing of the host's own services, and none of its installation, in which others may be at work: then again.
remove() {
	rm -rf "$@" || rm -rf "$@"
}
remove "$ROOT"/etc/systemd/system/*.wants "$ROOT"/etc/systemd/system/datacrumbs* "$ROOT/.dockerenv" \
	"$ROOT/etc/datacrumbs" "$ROOT/var/lib/datacrumbs" "$ROOT/var/log/datacrumbs" "$ROOT/var/log/journal"

binds=
for shown; do
	binds="$binds --bind-ro=$shown"
done
# shellcheck disable=SC2086 # the list is split on purpose; paths with blanks have been refused
SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 exec systemd-nspawn --quiet --directory="$ROOT" \
	--machine="$NAME" --boot --register=no --keep-unit --console=pipe --capability=all --private-users=no \
	--resolv-conf=off --timezone=off --link-journal=no $binds \
	--bind=/sys/kernel/debug --bind=/sys/kernel/tracing --bind=/sys/fs/bpf -- systemd.unit=multi-user.target
