#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The plane: pages, reads and events with 10,000 instances, and a fleet of 1,000 instances on 100 simulated hosts that are all restarted. The
# plane has core 0, its clients and hosts core 1. ROUNDS runs (3), of which the best counts for each figure: what other work on the machine
# takes makes it worse, nothing makes it better. Writes build/bench/plane.json.
set -o pipefail
rounds=${ROUNDS:-3} plane=$PWD/build/bin/karuta-plane out=build/bench/plane
skip() { echo "skip - $1"; exit 0; }
for program in bench_api bench_fleet; do [ -x build/tests/bench/$program ] || skip "$program was not built"; done
[ "$(nproc)" -ge 2 ] || skip "needs two cores"
command -v jq >/dev/null || skip "needs jq"
mkdir -p build/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
load() { cut -d' ' -f1 /proc/loadavg; }

before=$(load)
: >$out.lines
for ((i = 0; i < rounds; i++)); do
	for program in bench_api bench_fleet; do
		timeout 300 build/tests/bench/$program "$plane" "$work" >>$out.lines || { echo "not ok - $program"; exit 1; }
	done
done
jq -s --arg cpu "$(sed -n 's/^model name\s*: //p;T;q' /proc/cpuinfo)" --arg kernel "$(uname -r)" --arg before "$before" --arg after "$(load)" \
	--argjson rounds "$rounds" '
	. as $runs
	| def least($case; $member): [$runs[] | select(.case == $case) | .[$member]] | min;
	def most($case; $member): [$runs[] | select(.case == $case) | .[$member]] | max;
	def at_most($figure; $aim; $here): { figure: $figure, aim: $aim, here: $here, met: ($here <= $aim) };
	def at_least($figure; $aim; $here): { figure: $figure, aim: $aim, here: $here, met: ($here >= $aim) };
	{ cpu: $cpu, kernel: $kernel, load_before: $before, load_after: $after, rounds: $rounds, runs: $runs, aims: [
		at_most("first page of 10,000 instances, ms"; 20; least("first page of 10,000 instances"; "median_ms")),
		at_least("reads of one instance, a second"; 2000; most("reads of one instance"; "a_second")),
		at_most("events to watchers that were lost"; 0; least("events to 50 watchers"; "lost")),
		at_least("events to 50 watchers, deliveries a second"; 4950; most("events to 50 watchers"; "a_second")),
		at_most("all hosts restarted until all run, s"; 10; (least("all hosts restarted"; "done_ms") / 1000)),
		at_most("the same, processor time of the plane, s"; 10; (least("all hosts restarted"; "plane_ms") / 1000)),
		at_most("1,000 instances on 100 hosts, resident KiB"; 40960; least("plane restarted"; "resident_kib")),
		at_most("attach, request until the host is asked, ms"; 30; least("attach, request to host"; "median_ms"))] }' $out.lines >$out.json || exit 1
rm -f $out.lines
jq -r '"\(.cpu); load \(.load_before) before, \(.load_after) after", (.aims[] | "| \(.figure) | \(.aim) | \(.here) | \(if .met then "met" else "missed" end) |")' $out.json
