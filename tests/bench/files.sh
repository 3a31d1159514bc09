#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The card on a file, beside fio's io_uring engine on the same file: in the page cache, with O_DIRECT, on tmpfs. Without encryption it is
# the measuring build. BENCH_DIR (build/bench) is where the file is. build/bench/files.json
source tests/bench/lib.sh
disk=${BENCH_DIR:-build/bench}/files.img memory=/dev/shm/karuta-bench.img
trap 'rm -f "$disk" "$memory"' EXIT
four="randread:4:1 randread:4:32 randwrite:4:1 randwrite:4:32" stream="read:128:32 write:128:32"

# place NAME FILE DIRECT
place() {
	local direct=()
	[ "$3" = 0 ] || direct=(--direct)
	floor "$1, fio" "$2" "$3" "$four $stream"
	measure "$1, bare" "$four" $bare --poll --store "file:$2" "${direct[@]}"
	measure "$1, encrypted" "$four $stream" $card --poll --store "file:$2" "${direct[@]}" --key-fd 6
}

start files
fill "$disk" && fill "$memory" || exit 1
for ((round = 0; round < rounds; round++)); do
	ciphers+=$(cipher)$'\n'
	cat "$disk" >/dev/null # what O_DIRECT wrote is not in the page cache
	place "page cache" "$disk" 0
	place "O_DIRECT" "$disk" 1
	[ "$(stat -f -c %T /dev/shm)" != tmpfs ] || place "tmpfs, O_DIRECT" "$memory" 1
done
finish "$(printf %s "$ciphers" | median)" '
	at_most("page cache, encrypted, read, depth 1, median ns"; (run("page cache, fio"; "randread 4K"; 1).median_ns | select(.)) + 2000 + $cipher;
		run("page cache, encrypted"; "randread 4K"; 1).median_ns),
	at_least("page cache, bare, read, depth 32, IOPS"; times(run("page cache, fio"; "randread 4K"; 32).iops; 0.9);
		run("page cache, bare"; "randread 4K"; 32).iops),
	at_least("page cache, encrypted, read, depth 32, IOPS"; times(run("page cache, fio"; "randread 4K"; 32).iops; 0.6);
		run("page cache, encrypted"; "randread 4K"; 32).iops),
	(("O_DIRECT", "tmpfs, O_DIRECT") as $place | ("randread 4K", "randwrite 4K") as $pattern | (1, 32) as $depth |
		at_least("\($place), bare, \($pattern), depth \($depth), IOPS";
			times(run("\($place), fio"; $pattern; $depth).iops; if $depth == 1 then 1 else 0.9 end);
			run("\($place), bare"; $pattern; $depth).iops)),
	(("page cache", "O_DIRECT", "tmpfs, O_DIRECT") as $place | ("read 128K", "write 128K") as $pattern |
		at_least("\($place), encrypted, \($pattern), MB/s"; ([times(run("\($place), fio"; $pattern; 32).mb_s; 0.9), 4000] | min);
			run("\($place), encrypted"; $pattern; 32).mb_s))'
