#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Formatting, licence lines, size of files, man pages.
cd "$(dirname "$0")/.." || exit 1
status=0
mapfile -t sources < <(git ls-files '*.c' '*.h')
# Versions of clang-format differ in what they make of the same file: Debian 12's is the one that counts.
if clang-format --version | grep -q 'version 14\.'; then
	clang-format --dry-run -Werror "${sources[@]}" 2>&1 | grep error: | head -n 20
	[ "${PIPESTATUS[0]}" = 0 ] || status=1
fi
for file in "${sources[@]}"; do
	head -n 1 "$file" | grep -q SPDX-License-Identifier || { echo "$file: no licence line"; status=1; }
	[ "$(wc -l <"$file")" -le 700 ] || { echo "$file: longer than 700 lines: more than one concept?"; status=1; }
done
grep -nE '\b(TODO|FIXME|XXX)\b' "${sources[@]}" && status=1
for page in docs/man/*.[0-9]; do
	mandoc -Tlint -Wwarning "$page" || status=1
done
exit $status
