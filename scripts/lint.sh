#!/bin/sh
# All linters over all files; goes on after a finding, so that one run shows everything.
set -eu
cd "$(dirname "$0")/.."

FAILED=0

# $1 is the name, the rest the command.
check() {
	name=$1
	shift
	echo "== $name"
	"$@" || FAILED=1
}

# Prints the tracked and new files that match the patterns, one a line; their names have no blanks.
files() {
	git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
		[ ! -e "$file" ] || echo "$file"
	done
}

BIN=.venv/bin

check "ruff" "$BIN/ruff" check .
check "ruff format" "$BIN/ruff" format --check .
check "contract" "$BIN/python" scripts/contract.py --check
check "mypy" "$BIN/mypy"
for provider in providers/*/src; do
	check "mypy $provider" "$BIN/mypy" "$provider"
done
# The lists below are split on purpose.
# shellcheck disable=SC2046
check "clang-format" clang-format --dry-run -Werror $(files '*.c' '*.h')
# shellcheck disable=SC2046
check "clang-tidy" clang-tidy --quiet $(files 'datacrumbs/client/src/*.c') -- \
	-std=c11 -Wall -Wextra -Idatacrumbs/client/include -DDATACRUMBS_VERSION='"0"'
# shellcheck disable=SC2046
check "clang-tidy trace" clang-tidy --quiet $(files 'datacrumbs/trace/src/*.c') -- -std=c11 -Wall -Wextra
# In BPF C, as in the kernel, pointers to void count bytes.
# shellcheck disable=SC2046
check "cppcheck" cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr \
	--suppress=missingInclude --suppress=unknownMacro --suppress=arithOperationsOnVoidPointer \
	-DDATACRUMBS_VERSION='"0"' -Idatacrumbs/client/include \
	$(files 'datacrumbs/client/src/*.c' 'datacrumbs/trace/src/*.c' '*.bpf.c')
# shellcheck disable=SC2046
check "shellcheck" shellcheck --external-sources $(files 'scripts/*.sh' '.ci/run')

exit "$FAILED"
