# shellcheck shell=sh
# Installing system packages; sourced by set-up.sh. Each function prints what it does.

# Prints the package names of the lists of $1 (apt or dnf) and the further arguments (demo, test, bench, lint).
listed_packages() {
	manager=$1
	shift
	for list in "$@"; do
		sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "scripts/packages/$manager-$list"
	done
}

package_manager() {
	if command -v apt-get >/dev/null; then
		echo apt
	elif command -v dnf >/dev/null; then
		echo dnf
	else
		fail "neither apt-get nor dnf is here" \
			"install what scripts/packages/apt-demo names by hand, then: make venv"
	fi
}

# Prints those of the arguments that are not installed.
missing_packages() {
	manager=$1
	shift
	for package in "$@"; do
		case $manager in
		apt) [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package" ;;
		dnf) rpm -q --whatprovides "$package" >/dev/null 2>&1 || echo "$package" ;;
		esac
	done
}

# $1 is the manager; the rest are lists.
install_packages() {
	manager=$1
	shift
	# Package names have no blanks, so that splitting is meant here and below.
	# shellcheck disable=SC2046
	missing=$(missing_packages "$manager" $(listed_packages "$manager" "$@") | tr '\n' ' ')
	if [ -z "$missing" ]; then
		note "all installed"
		return
	fi
	note "missing: $missing"
	require_root "install system packages"
	install_by "$manager" "$missing"
}

# $2 is a list of names, separated by blanks.
install_by() {
	log=.cache/packages.log
	mkdir -p .cache
	# shellcheck disable=SC2086
	case $1 in
	apt) install_by_apt $2 >"$log" 2>&1 ;;
	dnf) dnf install -y --setopt=install_weak_deps=False $2 >"$log" 2>&1 ;;
	esac || {
		tail -n 15 "$log" >&2
		fail "the packages could not be installed" \
			"see $log; on the RHEL family enable EPEL and CRB first; then run this again"
	}
}

# The beds start the services that they need by themselves; installing a package shall start none on this machine.
install_by_apt() {
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		# A signal must leave by way of EXIT.
		trap 'exit 130' INT TERM
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}
