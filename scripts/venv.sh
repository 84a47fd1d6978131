# shellcheck shell=sh
# The virtual environment; sourced by set-up.sh.

VENV=.venv
# bcc's Python part is a package of the system's own interpreter, so that no other can import it.
PYTHON=/usr/bin/python3

make_venv() {
	"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
		fail "$PYTHON is $("$PYTHON" --version 2>&1); 3.11 or newer is needed" \
			"use a newer release of the distribution: bcc comes for its own Python only"
	# One that sees all of the system's packages looks into its user's home directory as well, also when root runs it.
	if grep -q '^include-system-site-packages = true' "$VENV/pyvenv.cfg" 2>/dev/null; then
		rm -rf "$VENV"
	fi
	if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
		note "$VENV: there"
		return
	fi
	"$PYTHON" -m venv "$VENV" ||
		fail "the virtual environment cannot be made" "see the message above; is python3-venv installed?"
	# Where the system's own bcc is; without bcc nothing can be traced, and the doctor says so.
	for site in "$VENV"/lib/python3*/site-packages; do
		"$PYTHON" -I -c 'import bcc, os; print(os.path.dirname(bcc.__path__[0]))' >"$site/bcc.pth" 2>/dev/null ||
			rm -f "$site/bcc.pth"
	done
	note "$VENV: made"
}

# All that decides what has to be installed; Python code is not among it, because it is installed editable.
environment_digest() {
	cat pyproject.toml setup.py datacrumbs/__init__.py datacrumbs/client/src/* datacrumbs/client/include/*.h datacrumbs/trace/src/* datacrumbs/model/contract.h systemd/* \
		providers/*/pyproject.toml scripts/venv.sh | sha256sum | cut -d ' ' -f 1
}

# $1 is a list of extras, separated by commas. A stamp per extra records what has been installed for it.
fill_venv() {
	digest=$(environment_digest)
	stamps=$VENV/.installed
	mkdir -p "$stamps"
	for extra in $(echo "$1" | tr , ' '); do
		[ "$(cat "$stamps/$extra" 2>/dev/null)" = "$digest" ] || {
			install_distributions "$1"
			break
		}
	done
	for extra in $(echo "$1" | tr , ' '); do
		echo "$digest" >"$stamps/$extra"
	done
	note "$("$VENV/bin/python" -m pip list 2>/dev/null | awk '/^datacrumbs/ { printf "%s %s  ", $1, $2 }')"
}

install_distributions() {
	set -- -e ".[$1]"
	for provider in providers/*/pyproject.toml; do
		set -- "$@" -e "$(dirname "$provider")"
	done
	pip_install "$@"
}

# Nothing of the checkout stays in use, whose owner could change what root runs.
install_copies() {
	set -- ".[report]"
	for provider in providers/*/pyproject.toml; do
		set -- "$@" "./$(dirname "$provider")"
	done
	pip_install "$@"
}

pip_install() {
	note "installing; the first time takes a minute"
	log=.cache/pip.log
	mkdir -p .cache
	# Without isolation the build tools are fetched once and not once per distribution. setuptools has a copy of
	# packaging, but takes the system's older one where bcc.pth shows it.
	if ! { "$VENV/bin/python" -m pip install --disable-pip-version-check "setuptools>=77" "packaging>=24.2" &&
		"$VENV/bin/python" -m pip install --disable-pip-version-check --no-build-isolation "$@"; } >"$log" 2>&1; then
		tail -n 15 "$log" >&2
		fail "pip could not install the Python packages" "see $log; pip needs a package index and a C compiler"
	fi
}
