#!/bin/sh
# Run the test suite: the tests in emulated guests, of which each keeps one processor busy, beside all others.
#
# usage: scripts/run-tests.sh [PYTEST-ARGUMENT ...]    with arguments: one pytest with them
set -u
cd "$(dirname "$0")/.." || exit

if [ $# -gt 0 ]; then
	exec .venv/bin/python -m pytest "$@"
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT TERM

.venv/bin/python -m pytest -p no:cacheprovider tests/vm >"$directory/guests" 2>&1 &
guests=$!
.venv/bin/python -m pytest --ignore=tests/vm
others=$?
wait "$guests"
guests=$?
cat "$directory/guests"
for status in "$others" "$guests"; do
	[ "$status" = 0 ] || exit "$status"
done
