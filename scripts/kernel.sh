# shellcheck shell=sh
# What the kernel must offer to bcc: headers to compile with, tracefs, bpffs; sourced by set-up.sh.

# bcc compiles with the headers behind this link.
headers_present() {
	[ -e "/lib/modules/$(uname -r)/build/Makefile" ]
}

provide_headers() {
	if headers_present; then
		note "$(readlink -f "/lib/modules/$(uname -r)/build")"
		return
	fi
	newest=$(newest_headers)
	if [ -z "$newest" ]; then
		install_headers "$1"
		headers_present && return
		newest=$(newest_headers)
	fi
	[ -n "$newest" ] || fail "there are no headers for the kernel $(uname -r)" \
		"install your distribution's kernel header package, then run this again"
	link_headers "$newest"
}

# The running kernel's own headers where they are to be had, else the distribution's newest.
install_headers() {
	require_root "install kernel headers"
	case $1 in
	apt)
		[ -n "$(apt-cache search --names-only "^linux-headers-" 2>/dev/null)" ] || apt-get update >/dev/null
		for package in "linux-headers-$(uname -r)" "linux-headers-$(dpkg --print-architecture)" linux-headers-generic; do
			[ -n "$(apt-cache show "$package" 2>/dev/null)" ] || continue
			note "installing $package"
			install_by apt "$package"
			return
		done
		;;
	dnf)
		package="kernel-devel-$(uname -r)"
		dnf -q list "$package" >/dev/null 2>&1 || package=kernel-devel
		note "installing $package"
		install_by dnf "$package"
		;;
	esac
}

# Prints the newest directory of headers that a compiler can use; Debian's -common ones are only half of them.
newest_headers() {
	for directory in /usr/src/linux-headers-* /usr/src/kernels/*; do
		case $directory in
		*-common) ;;
		*) [ -e "$directory/Makefile" ] && echo "$directory" ;;
		esac
	done | sort -V | tail -n 1
}

# Headers of another version serve, since the probes take everything that differs between kernels from BTF and from
# tracefs, not from C structures.
link_headers() {
	require_root "link kernel headers"
	modules="/lib/modules/$(uname -r)"
	mkdir -p "$modules"
	ln -sfn "$1" "$modules/build"
	common=$(echo "$1" | sed 's/-[^-]*$/-common/')
	if [ -d "$common" ]; then
		ln -sfn "$common" "$modules/source"
	fi
	note "the kernel $(uname -r) has no headers of its own here; linked $modules/build to $1, which serves"
}

mount_file_systems() {
	mount_once tracefs /sys/kernel/tracing
	mount_once bpf /sys/fs/bpf
}

# $1 is the file system's type, $2 where it belongs.
mount_once() {
	if grep -q "^[^ ]* $2 $1 " /proc/mounts; then
		note "$2: mounted"
		return
	fi
	[ -d "$2" ] || fail "this kernel has no $2" "run a kernel with CONFIG_FTRACE and CONFIG_BPF_SYSCALL"
	require_root "mount $1"
	mount -t "$1" "$1" "$2" || fail "$1 cannot be mounted on $2" \
		"in a container: start it with --privileged, or mount $2 from the host"
	note "$2: now mounted"
}
