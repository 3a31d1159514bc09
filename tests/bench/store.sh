#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The block back ends without a guest: one thread, 32 requests at a time, page cache. Writes build/bench/store.json.
set -o pipefail
bench=build/tests/bench/bench_store
[ -x "$bench" ] || { echo "skip - $bench was not built"; exit 0; }
"$bench" --json build/bench/store.img | tee build/bench/store.lines |
	jq -r '[.store, .pattern, "\(.iops) IOPS", "\(.mib_s) MiB/s"] | @tsv' | column -t -s $'\t' || exit 1
jq -s . build/bench/store.lines >build/bench/store.json
rm -f build/bench/store.lines
