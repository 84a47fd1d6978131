#!/bin/busybox sh
# shellcheck shell=dash
# The guest's first process: the root with the kernel's modules and headers, read-only below an overlay, then the
# command of the share `out`.
bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /host /kernel /top /new
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev
while read -r module; do
	$bb insmod "/modules/$module" || echo "insmod $module failed"
done </modules/order

share=trans=virtio,version=9p2000.L,msize=524288
$bb mount -t 9p -o "$share,ro,cache=loose" host /host
$bb mount -t 9p -o "$share,ro,cache=loose" kernel /kernel
$bb mount -t tmpfs -o size=75% tmpfs /top
$bb mkdir -p /top/upper /top/work
$bb mount -t overlay -o lowerdir=/kernel:/host,upperdir=/top/upper,workdir=/top/work overlay /new
# The host's own mounts appear as empty or stale directories in its root.
for place in proc sys dev run tmp; do
	$bb mkdir -p "/new/$place"
done
$bb mount -t proc proc /new/proc
$bb mount -t sysfs sysfs /new/sys
$bb mount -t devtmpfs devtmpfs /new/dev
$bb mkdir -p /new/dev/pts /new/dev/shm
$bb mount -t devpts devpts /new/dev/pts
$bb mount -t tmpfs tmpfs /new/dev/shm
$bb mount -t tmpfs tmpfs /new/run
$bb mount -t tmpfs tmpfs /new/tmp
$bb mount -t debugfs debugfs /new/sys/kernel/debug
$bb mount -t tracefs tracefs /new/sys/kernel/tracing
$bb mount -t bpf bpf /new/sys/fs/bpf
$bb mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
$bb mkdir -p /new/run/guest
$bb mount -t 9p -o "$share,cache=none" out /new/run/guest
# A checkout that the root lacks, because it is below /tmp, which is the guest's own, or because the root is another's.
checkout=$($bb cat /new/run/guest/checkout)
if ! [ -e "/new$checkout/pyproject.toml" ]; then
	$bb mkdir -p /checkout "/new$checkout" /top/checkout/upper /top/checkout/work
	$bb mount -t 9p -o "$share,ro,cache=loose" checkout /checkout
	layers="lowerdir=/checkout,upperdir=/top/checkout/upper,workdir=/top/checkout/work"
	$bb mount -t overlay -o "$layers" overlay "/new$checkout"
fi
$bb ip link set lo up
$bb hostname guest

# As the real root, not by chroot: the kernel's paths start at the root of the mounts.
exec $bb switch_root /new /bin/sh /run/guest/first
