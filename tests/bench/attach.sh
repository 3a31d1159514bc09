#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What karuta takes of an attach, from the request at the plane until the function is on the guest's bus: plane, controller, hypervisor and
# card are the programs themselves, the guest is the bare one, which is content with less of a KVM than a kernel is and uses what comes
# into its slots. ATTACHES (50) of them, one after the other; writes build/bench/attach.json.
set -eu -o pipefail
programs=$PWD/build/bin out=$PWD/build/bench/attach.json attaches=${ATTACHES:-50}
port=$((20000 + $$ % 6000 * 2))
skip() { echo "skip - $1"; exit 0; }
[ -w /dev/kvm ] || skip "needs /dev/kvm"
command -v jq >/dev/null || skip "needs jq"
mkdir -p build/bench
work=$(mktemp -d) plane='' keeper=''
end() {
	[ -z "$keeper" ] || { kill -INT "$keeper"; wait "$keeper"; } || :
	[ -z "$plane" ] || { kill -INT "$plane"; wait "$plane"; } || :
	rm -rf "$work"
}
trap end EXIT
cd "$work"
export PATH=$programs:$PATH KARUTA_PLANE=$work/plane.json

load() { cut -d' ' -f1 /proc/loadavg; }
await() {
	for ((i = 0; i < 200; i++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	tail -n 20 plane.notes notes >&2
	return 1
}
is() { [ "$(karuta "$1" show "$2" --json | jq -r .status.state)" = "$3" ]; }
runs_guests() { karuta instance run web --kernel guest --memory 64M --command-line slots --wait >/dev/null 2>&1 && await is instance web running; }

before=$(load)
mkdir -m 700 plane
mkdir srv etc
cp "$programs/karuta-test-guest" srv/guest
karuta-plane --listen "127.0.0.1:$port" --folder plane --allow-unattested --release "$programs/karuta.manifest" 2>plane.notes &
plane=$!
await eval 'karuta login https://127.0.0.1:$port --ca plane/ca.pem <plane/admin.token'
karuta host add h1 "127.0.0.1:$((port + 1))" >token
karuta-controller enrol --token - --listen "127.0.0.1:$((port + 1))" --folder etc <token >/dev/null 2>&1
karuta-controller serve --listen "127.0.0.1:$((port + 1))" --ca etc/ca.pem --cert etc/host.pem --key etc/host.key --files srv --audit audit --state state 2>notes &
keeper=$!
await is host h1 unattested
runs_guests || skip "this KVM runs no guest: $(karuta instance show web | sed -n 's/.*text *//p')"
karuta volume create data --size 64M --wait >/dev/null

# One line of JSON an attach: in ms, until each step.
for ((n = 0; n < attaches; n++)); do
	karuta volume attach data web --trace --json 2>/dev/null | jq -c '[.steps[]] | [foreach .[] as $step (0; . + $step.ms; { step: $step.step, part: $step.part, ms: $step.ms, until: . })]'
	karuta volume detach data --wait >/dev/null 2>&1
done >traces
kept=$(karuta instance console web | grep -c 'inserted')

jq -s --arg cpu "$(sed -n 's/^model name\s*: //p;T;q' /proc/cpuinfo)" --arg kernel "$(uname -r)" --arg before "$before" --arg after "$(load)" --argjson guest "$kept" '
	def median: sort | .[length / 2 | floor];
	def tenths: . * 10 | round / 10;
	def at_most($figure; $aim; $here): { figure: $figure, aim: $aim, here: $here, met: ($here <= $aim) };
	. as $runs
	| [$runs[] | map(select(.step == "it is on the bus and trapped"))[0].until] as $present
	| [$runs[0][] | .step as $name | { step: $name, part: .part, median_ms: ([$runs[][] | select(.step == $name) | .ms] | median) }] as $steps
	| { cpu: $cpu, kernel: $kernel, load_before: $before, load_after: $after, attaches: ($runs | length), seen_by_the_guest: $guest, steps: $steps,
		slowest_ms: ($present | max | tenths), aims: [at_most("attach, request until the guest is told, ms"; 30; ($present | median | tenths))] }' traces >"$out"
jq -r '"\(.cpu); load \(.load_before) before, \(.load_after) after; \(.attaches) attaches, \(.seen_by_the_guest) seen by the guest, the slowest \(.slowest_ms) ms",
	(.steps[] | "\(.median_ms) ms\t\(.part)\t\(.step)"), (.aims[] | "| \(.figure) | \(.aim) | \(.here) | \(if .met then "met" else "missed" end) |")' "$out"
