#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The controller: what the verified start costs, what `serve` costs with INSTANCES (50) of three cards each that nobody wants anything of,
# and how long a launch takes. The instances at rest are stand-ins (bench_stand_in), so /dev/kvm need only be there, to be handed on.
# Launched are also the programs themselves, with the bare guest, which is content with less of a KVM than a kernel is. Medians of 9. build/bench/host.json
set -eu -o pipefail
programs=$PWD/build/bin stand_in=$PWD/build/tests/bench/bench_stand_in out=$PWD/build/bench/host.json certificates=$PWD/tests/common/certificates.sh
rounds=9 instances=${INSTANCES:-50} seconds=10 port=$((20000 + $$ % 12000))
skip() { echo "skip - $1"; exit 0; }
[ -x "$stand_in" ] || skip "$stand_in was not built"
[ -w /dev/kvm ] || skip "needs /dev/kvm"
command -v jq >/dev/null || skip "needs jq"
mkdir -p build/bench
work=$(mktemp -d) daemon='' keeper=
end() {
	# Who is stopped does not see that the controller has gone.
	[ -z "$daemon" ] || { stand_ins -CONT; kill -INT "$keeper"; wait "$keeper"; } || :
	rm -rf "$work"
}
trap end EXIT
cd "$work"

load() { cut -d' ' -f1 /proc/loadavg; }
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
now_us() { echo "${EPOCHREALTIME/./}"; }
stand_ins() { pkill "$1" -P "${daemon// /,}" -f '^karuta-(hypervisor|card)'; }
call() { ./karuta-controller call 127.0.0.1:$port --ca ca.pem --cert operator.pem --key operator.key "$@" >/dev/null; }

# took_ms COMMAND...
took_ms() {
	local start
	start=$(now_us)
	"$@" || return 1
	awk "BEGIN { printf \"%.1f\n\", ($(now_us) - $start) / 1000 }"
}

# specification NAME KERNEL COMMAND-LINE [MEMORY]
specification() {
	local card='{ "kind": "null" }'
	echo "{ \"name\": \"$1\", \"memory\": \"${4:-64M}\", \"kernel\": \"$2\", \"command_line\": \"$3\", \"cards\": [$card, $card, $card] }" >"$1.json"
}

# serve CONTROLLER STATE: `daemon` is the keeper and the controller that it has started.
serve() {
	"$1" serve --listen 127.0.0.1:$port --ca ca.pem --cert host.pem --key host.key --files files --audit "$2-audit" --state "$2" 2>notes &
	keeper=$!
	for ((i = 0; i < 100; i++)); do
		call list 2>/dev/null && daemon="$keeper $(pgrep -P $keeper -f 'serve --keeper')" && return
		sleep 0.1
	done
	cat notes >&2
	return 1
}

set_up() {
	cp "$programs/karuta-controller" "$programs/karuta-keeper" .
	for name in hypervisor card-null card-volume card-local; do cp "$stand_in" karuta-$name; done
	"$programs/karuta-manifest" make --development --release 1 --key "$programs/development.key" --output karuta.manifest \
		controller:karuta-controller controller:karuta-keeper hypervisor:karuta-hypervisor card:karuta-card-null card:karuta-card-volume card:karuta-card-local >/dev/null
	bash "$certificates" host:host operator:operator
	mkdir files
	echo GOOD >files/kernel
	cp "$programs/karuta-test-guest" files/guest
	serve ./karuta-controller state
}

# Nanoseconds on a processor, all threads, of the controller and its keeper.
processor_ns() { for i in $daemon; do cat /proc/"$i"/task/*/schedstat; done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
resident_kib() { for i in $daemon; do cat "/proc/$i/status"; done | awk '/^VmRSS/ { sum += $2 } END { print sum }'; }

measure_start() {
	for ((i = 0; i < rounds; i++)); do
		"$programs/karuta-controller" verify --state "$work/verified" | sed 's/.*measured in \(.*\) ms/\1/'
	done
}

# One more, beside those that rest if there are any. MEMORY KERNEL COMMAND-LINE
measure_launches() {
	specification more "$2" "$3" "$1"
	for ((i = 0; i < rounds; i++)); do
		took_ms call launch more.json
		call kill more
	done
}

# From its death until the next one has taken all instances over and answers. It has a second to be taken for one that served.
measure_adoptions() {
	for ((i = 0; i < rounds; i++)); do
		sleep 1.2
		kill -KILL "$(pgrep -P "$keeper" -f 'serve --keeper')"
		took_ms call list
	done
}

runs_guests() {
	specification hello files/guest hello
	timeout 10 "$programs/karuta-controller" run --state "$work/verified" hello.json 2>/dev/null </dev/null | grep -q "hello from a guest"
}

before=$(load)
start_ms=$(measure_start | median)
set_up
resident_empty=$(resident_kib)
for ((i = 0; i < instances; i++)); do
	specification "idle$i" kernel ""
	call launch "idle$i.json"
done
launch_ms=$(measure_launches 64M kernel "" | median)
list_ms=$(for ((i = 0; i < rounds; i++)); do took_ms call list; done | median)

adopt_ms=$(measure_adoptions | median)
daemon="$keeper $(pgrep -P "$keeper" -f 'serve --keeper')"
stand_ins -STOP # they poll, which is not what is measured
sleep 2
since=$(processor_ns)
sleep $seconds
idle_us=$((($(processor_ns) - since) / 1000))
resident=$(resident_kib)

stand_ins -CONT
kill -INT "$keeper"
wait "$keeper" || :
daemon=
launches='[]'
if runs_guests; then
	serve "$programs/karuta-controller" real
	for memory in 64M 1G; do
		call=$(measure_launches $memory guest count | median)
		launches=$(jq --arg memory $memory --argjson call "$call" --argjson list "$list_ms" \
			'. + [{ memory: $memory, call_ms: $call, request_to_running_ms: (($call - $list) * 10 | round / 10) }]' <<<"$launches")
	done
else
	echo "skip - launch of a guest: this KVM runs none"
fi

jq -n --arg cpu "$(sed -n 's/^model name\s*: //p;T;q' /proc/cpuinfo)" --arg kernel "$(uname -r)" --arg before "$before" --arg after "$(load)" \
	--argjson rounds $rounds --argjson instances "$instances" --argjson start "$start_ms" --argjson resident "$resident" \
	--argjson empty "$resident_empty" --argjson idle "$idle_us" --argjson seconds $seconds --argjson launch "$launch_ms" --argjson list "$list_ms" \
	--argjson launches "$launches" --argjson adopt "$adopt_ms" '
	def at_most($figure; $aim; $here): { figure: $figure, aim: $aim, here: $here, met: ($here <= $aim) };
	{ cpu: $cpu, kernel: $kernel, load_before: $before, load_after: $after, rounds: $rounds, instances: $instances, verified_start_ms: $start,
		resident_kib: $resident, resident_without_instances_kib: $empty, idle_cpu_us: $idle, idle_seconds: $seconds,
		launch_without_kvm_ms: $launch, call_list_ms: $list, killed_to_answer_ms: $adopt, launches: $launches, aims: [
		at_most("verified start, ms"; 50; $start),
		at_most("\($instances) instances at rest, resident KiB"; 15 * 1024; $resident),
		at_most("\($instances) instances at rest, processor time, % of a core"; 1; ($idle / $seconds / 100 | round) / 100),
		($launches[] | at_most("launch of a guest of \(.memory), request to running, ms"; 60; .request_to_running_ms))] }' >"$out"
jq -r '"\(.cpu); load \(.load_before) before, \(.load_after) after; launch of a stand-in \(.launch_without_kvm_ms) ms, list \(.call_list_ms) ms, list after kill -9 of the controller \(.killed_to_answer_ms) ms, without instances \(.resident_without_instances_kib) KiB",
	(.aims[] | "| \(.figure) | \(.aim) | \(.here) | \(if .met then "met" else "missed" end) |")' "$out"
