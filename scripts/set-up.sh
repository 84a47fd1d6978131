#!/bin/sh
# Make this machine able to run the demo, the tests or the linters. Running it again is quick: each step looks first
# whether there is anything to do.
#
# usage: scripts/set-up.sh demo|test|fuzz|bench|lint|system|venv|install|uninstall
set -eu
cd "$(dirname "$0")/.."

GOAL=${1:-}
STEP=0
# Below /usr/local, with links to what an installation has there.
SHARED='share/man/man1 share/man/man8 share/bash-completion/completions share/zsh/site-functions'

# $1 says what the step does; the total differs by goal.
step() {
	STEP=$((STEP + 1))
	echo "[$STEP/$STEPS] $1"
}

note() {
	echo "      $1"
}

# $1 says why, $2 how to fix it.
fail() {
	echo "set-up: step $STEP: $1" >&2
	echo "  fix: $2" >&2
	exit 1
}

require_root() {
	[ "$(id -u)" = 0 ] || fail "only root may $1" "run it by sudo, as in: sudo make demo"
}

# shellcheck source=scripts/packages.sh
. scripts/packages.sh
# shellcheck source=scripts/kernel.sh
. scripts/kernel.sh
# shellcheck source=scripts/venv.sh
. scripts/venv.sh

# $@ are the package lists.
prepare_system() {
	manager=$(package_manager)
	step "system packages ($manager: $*)"
	install_packages "$manager" "$@"
	step "kernel headers"
	provide_headers "$manager"
	step "kernel file systems"
	mount_file_systems
}

# $1 is the list of extras.
prepare_environment() {
	step "virtual environment"
	make_venv
	step "datacrumbs and its providers in it"
	fill_venv "$1"
}

case $GOAL in
demo)
	STEPS=5
	prepare_system demo
	prepare_environment report
	;;
test)
	STEPS=5
	prepare_system demo test
	prepare_environment report,test
	;;
fuzz)
	STEPS=2
	prepare_environment report,test,fuzz
	;;
bench)
	STEPS=5
	prepare_system demo bench
	prepare_environment report
	;;
lint)
	STEPS=3
	step "linters"
	install_packages "$(package_manager)" lint
	prepare_environment report,test,lint
	;;
system)
	STEPS=3
	prepare_system demo
	;;
venv)
	STEPS=2
	prepare_environment report
	;;
install)
	STEPS=6
	require_root "install for the whole host"
	prepare_system demo
	VENV=${PREFIX:-/opt/datacrumbs}
	VENV=${VENV%/}
	step "virtual environment"
	make_venv
	step "datacrumbs and its providers in it"
	install_copies
	step "commands"
	ln -sf "$VENV"/bin/datacrumbs* /usr/local/bin/
	note "/usr/local/bin/datacrumbs*"
	for directory in $SHARED; do
		mkdir -p "/usr/local/$directory"
		ln -sf "$VENV/$directory"/*datacrumbs* "/usr/local/$directory/"
	done
	;;
uninstall)
	STEPS=2
	require_root "uninstall from the whole host"
	VENV=${PREFIX:-/opt/datacrumbs}
	VENV=${VENV%/}
	step "what set-up and runs have made"
	if ! [ -x "$VENV/bin/datacrumbs_setup" ] || ! [ -f "$VENV/pyvenv.cfg" ]; then
		fail "$VENV: nothing is installed there" "name the place: sudo make uninstall PREFIX=DIR"
	fi
	"$VENV/bin/datacrumbs_setup" --uninstall
	step "commands and environment"
	for directory in bin $SHARED; do
		find "/usr/local/$directory" -maxdepth 1 -lname "$VENV/*" -delete 2>/dev/null || true
	done
	rm -rf "$VENV"
	note "$VENV: removed"
	;;
*)
	echo "usage: scripts/set-up.sh demo|test|fuzz|bench|lint|system|venv|install|uninstall" >&2
	exit 2
	;;
esac
