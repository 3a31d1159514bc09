# SPDX-License-Identifier: Apache-2.0
# What the benchmarks of cards share. A result is a line of JSON: card, pattern, depth, iops, mb_s, median_ns, p99_ns, p999_ns.
# The driver is on core 0, the card and fio on core 1. ROUNDS runs (3) of SECONDS_EACH (1), in turns, so that what disturbs the
# machine disturbs all alike.
set -o pipefail
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-1} size=256M
client=build/tests/bench/bench_nvme card=build/bin/karuta-card-volume bare=build/tests/bench/karuta-card-bare
mkdir -p build/bench

skip() { echo "skip - $1"; exit 0; }
for program in $client $card $bare; do [ -x $program ] || skip "$program was not built: meson configure build -Dmeasuring=true"; done
[ "$(nproc)" -ge 2 ] || skip "needs two cores"
command -v jq >/dev/null || skip "needs jq"

load() { cut -d' ' -f1 /proc/loadavg; }

# start NAME: results go to build/bench/NAME.lines
start() {
	out=build/bench/$1 before=$(load)
	: >"$out.lines"
}

# measure NAME "PATTERN..." PROGRAM OPTION...
measure() {
	local name=$1 pattern patterns=()
	for pattern in $2; do patterns+=(-p "$pattern"); done
	shift 2
	timeout 300 $client -n "$name" -t "$seconds" "${patterns[@]}" "$@" >>"$out.lines" || { echo "not ok - $name"; exit 1; }
}

# floor NAME FILE DIRECT "PATTERN...": the same patterns by fio's io_uring engine
floor() {
	local pattern how kib depth
	command -v fio >/dev/null || return 0
	for pattern in $4; do
		IFS=: read -r how kib depth <<<"$pattern"
		timeout 300 taskset -c 1 fio --name=floor --filename="$2" --size=$size --direct="$3" --invalidate=0 --ioengine=io_uring \
			--rw="$how" --bs="${kib}k" --iodepth="$depth" --ramp_time=250ms --runtime="$(awk "BEGIN { print int($seconds * 1000) }")ms" --time_based --output-format=json \
			--lat_percentiles=1 --percentile_list=50:99:99.9 |
			jq -c --arg name "$1" --arg pattern "$how ${kib}K" --argjson depth "$depth" '.jobs[0] | if $pattern | test("read") then .read
				else .write end | { card: $name, pattern: $pattern, depth: $depth, iops: (.iops | floor), mb_s: (.bw_bytes / 1e6 | floor),
				median_ns: .lat_ns.percentile["50.000000"], p99_ns: .lat_ns.percentile["99.000000"],
				p999_ns: .lat_ns.percentile["99.900000"] }' >>"$out.lines" || { echo "not ok - fio, $1"; exit 1; }
	done
}

# Every block is there, and in the page cache.
fill() { head -c $size /dev/urandom >"$1" && cat "$1" >/dev/null && sync -f "$1"; }

# Nanoseconds for a block of 4096 bytes, by openssl alone.
cipher() {
	taskset -c 1 openssl speed -elapsed -evp aes-256-xts -bytes 4096 -seconds 1 2>/dev/null |
		awk '/^AES-256-XTS/ { sub("k", "", $2); printf "%.0f\n", 4096e9 / ($2 * 1000) }'
}

median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }

# finish CIPHER_NS JQ: build/bench/NAME.json with the medians, and the aims as JQ makes them from `run(card; pattern; depth)`:
# each {figure, aim, here, met}; then all of it as tables for docs/performance.md.
finish() {
	jq -s --arg before "$before" --arg after "$(load)" --argjson cipher "${1:-null}" --argjson rounds "$rounds" \
		--arg cpu "$(sed -n 's/^model name\s*: //p;T;q' /proc/cpuinfo)" --arg kernel "$(uname -r)" '
		def middle: sort | .[(length - 1) / 2 | floor];
		[group_by([.card, .pattern, .depth])[] | { card: .[0].card, pattern: .[0].pattern, depth: .[0].depth, iops: (map(.iops) | middle),
			best_iops: (map(.iops) | max), mb_s: (map(.mb_s) | middle), median_ns: (map(.median_ns) | middle),
			p99_ns: (map(.p99_ns) | middle), p999_ns: (map(.p999_ns) | middle) }] as $runs
		| def run($card; $pattern; $depth): first($runs[] | select(.card == $card and .pattern == $pattern and .depth == $depth)) // {};
		def times($value; $factor): if $value then $value * $factor else null end; # what was not measured has no aim
		def at_least($figure; $aim; $here): select($here and $aim) | { figure: $figure, aim: ($aim | floor), here: $here, met: ($here >= $aim) };
		def at_most($figure; $aim; $here): select($here and $aim) | { figure: $figure, aim: ($aim | floor), here: $here, met: ($here <= $aim) };
		{ cpu: $cpu, kernel: $kernel, load_before: $before, load_after: $after, rounds: $rounds, openssl_xts_4k_ns: $cipher, runs: $runs,
			aims: ['"$2"'] }' "$out.lines" >"$out.json" || exit 1
	rm -f "$out.lines"
	jq -r '"\(.cpu); load \(.load_before) before, \(.load_after) after; OpenSSL AES-256-XTS \(.openssl_xts_4k_ns) ns for 4 KiB"' "$out.json"
	jq -r '"| card | pattern | depth | IOPS | best run | MB/s | median us | 99 % | 99.9 % |", "|---|---|---|---|---|---|---|---|---|", (.runs[] |
		"| \([.card, .pattern, .depth, .iops, .best_iops, .mb_s, .median_ns / 1000, .p99_ns / 1000, .p999_ns / 1000] | map(tostring) | join(" | ")) |")' \
		"$out.json"
	jq -r '.aims[] | "| \(.figure) | \(.aim) | \(.here) | \(if .met then "met" else "missed" end) |"' "$out.json"
}
