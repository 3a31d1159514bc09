#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The volume card by way of vfio-user, without a guest: the driver on core 0, the card on core 1, both polling. Beside it, on the same
# core and the same file, what the machine can do: fio's io_uring engine and OpenSSL. Medians of ROUNDS runs (3) of SECONDS each (1);
# build/bench/nvme.json. A machine that others use as well gives less: the load average is in the result.
set -o pipefail
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-1} size=256M
out=build/bench/nvme file=build/bench/nvme.img
client=build/tests/bench/bench_nvme card=build/bin/karuta-card-volume
[ -x $client ] || { echo "skip - $client was not built"; exit 0; }
[ "$(nproc)" -ge 2 ] || { echo "skip - needs two cores"; exit 0; }
mkdir -p build/bench
trap 'rm -f $file $out.lines $out.floor' EXIT

load() { cut -d' ' -f1 /proc/loadavg; }

# Every block is there and in the page cache.
fill() { head -c $size /dev/urandom >$file && cat $file >/dev/null && sync -f $file; }

# name, then options of the card
measure() {
	local name=$1 round
	shift
	for ((round = 0; round < rounds; round++)); do
		$client "$name" "$seconds" $card "$@" >>$out.lines || exit 1
	done
}

# fio PATTERN DEPTH: a line as bench_nvme writes it
floor() {
	local rw=$1 depth=$2 round
	for ((round = 0; round < rounds; round++)); do
		taskset -c 1 fio --name=floor --filename=$file --size=$size --invalidate=0 --ioengine=io_uring --rw="rand$rw" --bs=4k --iodepth="$depth" \
			--runtime="$seconds" --time_based --output-format=json --lat_percentiles=1 --percentile_list=50:99:99.9 |
			jq -c --arg rw "$rw" --argjson depth "$depth" '.jobs[0][$rw] | { card: "fio io_uring, same file", pattern: "\($rw) 4K random",
				depth: $depth, iops: (.iops | floor), median_ns: .lat_ns.percentile["50.000000"],
				p99_ns: .lat_ns.percentile["99.000000"], p999_ns: .lat_ns.percentile["99.900000"] }' >>$out.lines || exit 1
	done
}

# Nanoseconds for a block of 4096 bytes.
cipher() {
	taskset -c 1 openssl speed -elapsed -evp aes-256-xts -bytes 4096 -seconds 1 2>/dev/null |
		awk '/^AES-256-XTS/ { sub("k", "", $2); printf "%.0f\n", 4096e9 / ($2 * 1000) }'
}

before=$(load)
rm -f $out.lines
cipher_ns=$(for ((i = 0; i < rounds; i++)); do cipher; done | sort -n | sed -n "$(((rounds + 1) / 2))p")
measure "RAM" --poll --store ram: --size $size
measure "RAM, encrypted" --poll --store ram: --size $size --key-fd 6
measure "RAM, rung by message" --store ram: --size $size
fill
measure "file in the page cache, encrypted" --poll --store file:$file --key-fd 6
if command -v fio >/dev/null; then
	for rw in read write; do
		floor $rw 1
		floor $rw 32
	done
fi
jq -s --arg before "$before" --arg after "$(load)" --argjson cipher "${cipher_ns:-null}" --argjson rounds "$rounds" \
	--arg cpu "$(sed -n 's/^model name\s*: //p;T;q' /proc/cpuinfo)" '
	def middle: sort | .[(length - 1) / 2 | floor];
	{ cpu: $cpu, load_before: $before, load_after: $after, rounds: $rounds, openssl_xts_4k_ns: $cipher, runs: (
		group_by([.card, .depth, .pattern]) | map({ card: .[0].card, pattern: .[0].pattern, depth: .[0].depth,
			iops: (map(.iops) | middle), best_iops: (map(.iops) | max), median_ns: (map(.median_ns) | middle),
			p99_ns: (map(.p99_ns) | middle), p999_ns: (map(.p999_ns) | middle) })) }' $out.lines >$out.json || exit 1
jq -r '"\(.cpu); load \(.load_before) before, \(.load_after) after; OpenSSL AES-256-XTS \(.openssl_xts_4k_ns) ns for 4 KiB"' $out.json
jq -r '(["card", "pattern", "depth", "IOPS", "best", "median us", "99 %", "99.9 %"] | @tsv),
	(.runs[] | [.card, .pattern, .depth, .iops, .best_iops, .median_ns / 1000, .p99_ns / 1000, .p999_ns / 1000] | @tsv)' $out.json |
	column -t -s $'\t'
