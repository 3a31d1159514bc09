#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The hypervisor, with a guest that has no operating system (tests/guests/bare): boot, memory, resets, the bus, cards that
# come, go and die, pause, the sandbox, and what it refuses.
source tests/system/lib.sh
guest=$(command -v karuta-test-guest) || { skip hypervisor "no karuta-test-guest beside the programs"; exit 0; }
cd "$scratch" || exit 1

# specification NAME COMMAND-LINE [MEMORY [CPUS [CARDS [MORE]]]]
specification() {
	cat >"$1.json" <<END
{ "name": "$1", "memory": "${3:-16M}", "cpus": ${4:-1}, "kernel": "${kernel:-$guest}", "command_line": "$2", "cards": [${5:-}]${6:-} }
END
}

# run NAME: to its end; console, notes and status are kept. Lines of the guest's own are results.
run() {
	timeout 60 karuta-controller run "$1.json" >"$1.console" 2>"$1.notes"
	status=$?
	grep -aE '^(not )?ok - ' "$1.console"
	failures=$((failures + $(grep -ac '^not ok' "$1.console")))
}

# start NAME: in the background; `controller` is its process.
start() {
	karuta-controller run "$1.json" >"$1.console" 2>"$1.notes" &
	controller=$!
	cleanup "kill -9 $controller"
}

says() { grep -aq -- "$2" "$1.console"; }
hypervisor_of() { pgrep -P "$controller" -x karuta-hypervis; }
card_of() { pgrep -P "$controller" -x karuta-card-nul; }
null='{ "slot": 1, "name": "one", "kind": "null" }'

# ---- boot, memory, resets ----

specification hello hello
run hello
check "a guest starts, writes to the console and powers off" test "$status $(cat hello.console)" = "0 hello from a guest"

printf 'an initial RAM disk\n' >initrd
specification memory memory 64M 1 '' ', "initrd": "initrd"'
run memory
check "memory is as big as asked for" says memory '^memory 63 MiB'
check "the initrd is in memory" says memory '^initrd 20 bytes: an initial RAM disk'

available=$(awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
if [ "$available" -gt 3300 ]; then
	specification high memory 3200M 1 "{ \"kind\": \"null\" }"
	run high
	check "memory goes on above 4 GiB" says high '^memory 3199 MiB'
else
	skip "memory above 4 GiB" "the host has only $available MiB left"
fi

specification reboot reboot
run reboot
check "each way to reset works, and memory survives it" test "$status $(tr '\n' ' ' <reboot.console)" = \
	"0 start 0 start 1 start 2 start 3 start 4 "

specification processors processors 16M 4
run processors
check "all processors start" says processors '^processors 4'

specification nonsense nonsense
run nonsense
check "accesses that no sane guest makes do nothing" says nonsense 'still here'

specification crash crash
run crash
check "a guest that cannot go on ends the instance with 1" test "$status" = 1
check "and it is told why" grep -q 'cannot go on\|unexpected exit\|KVM_RUN' crash.notes

# ---- the bus ----

specification bus bus 16M 1 "$null"
run bus
check "the bus guest ends well" test "$status" = 0

specification death death 16M 1 "$null"
start death
if wait_for 20 says death 'kill it now'; then
	kill_for_good $controller karuta-card-null death.notes
	wait $controller
	check "a card's death does not end the instance" test $? = 0
	grep -aE '^(not )?ok - ' death.console
	failures=$((failures + $(grep -ac '^not ok' death.console)))
else
	not_ok "a card's death"
fi

specification silence death 16M 1 "$null"
start silence
if wait_for 20 says silence 'kill it now'; then
	card=$(card_of)
	kill -STOP "$card"
	check "a silent card is given up at the deadline, and started again" wait_for 20 grep -q 'goes on after' silence.notes
	check "the guest has seen nothing of it" test "$(grep -ac '^ok' silence.console)" = 0
	kill_for_good $controller karuta-card-null silence.notes
	wait $controller
	check "until that is no longer done" test $? = 0
	check "and it reads as all ones from then on" says silence '^ok - the registers read as all ones'
else
	not_ok "a card's silence"
fi

# ---- cards come and go ----

fds() { ls "/proc/$1/fd" | wc -l; }
mappings() { wc -l <"/proc/$1/maps"; }
cycle() {
	karuta-controller attach slots kind=null slot="$1" name=card && karuta-controller detach slots card
}
specification slots slots
start slots
if wait_for 20 says slots waiting; then
	hypervisor=$(hypervisor_of)
	check "a card is attached to the running guest and detached again" cycle 3
	check "the guest saw both" sh -c 'grep -q "^inserted 3" slots.console && grep -q "^removed 3" slots.console'
	cycle 4 >/dev/null 2>&1
	before="$(fds "$hypervisor") $(mappings "$hypervisor")"
	for ((i = 0; i < 50; i++)); do
		cycle $((i % 31 + 1)) >>cycles.log 2>&1 || echo "failed $i" >>cycles.log
	done
	check "fifty times more" test "$(grep -c '^failed' cycles.log)" = 0
	check "which leaves no descriptor and no mapping behind" test "$(fds "$hypervisor") $(mappings "$hypervisor")" = "$before"
	check "nor a card's process" test -z "$(card_of)"
	karuta-controller attach slots kind=null slot=9 name=nine >/dev/null 2>&1
	refuse "a slot that is taken is refused" 'slot 9' karuta-controller attach slots kind=null slot=9 name=other
	check "the power button reaches the guest" karuta-controller stop slots --timeout 10
	wait $controller
	check "which powers off" test $? = 0
else
	not_ok "cards come and go"
fi

# ---- pause, the plug, the sandbox ----

lines() { wc -l <count.console; }
specification count count 16M 2
start count
if wait_for 20 says count 'count 3'; then
	hypervisor=$(hypervisor_of)
	check "it pauses" karuta-controller pause count
	sleep 0.3
	before=$(lines)
	sleep 0.5
	check "a paused guest does nothing" test "$(lines)" = "$before"
	check "it goes on" karuta-controller resume count
	check "where it was" wait_for 10 grep -q "^count $((before + 5))" count.console
	field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$hypervisor/status"; }
	check "every thread has the system call filter" test "$(cat /proc/"$hypervisor"/task/*/status | grep -c '^Seccomp:.*2')" = \
		"$(ls "/proc/$hypervisor/task" | wc -l)"
	check "no capability is left, nor can one be gained" test "$(field CapEff) $(field CapPrm) $(field CapBnd) $(field NoNewPrivs)" = \
		"0000000000000000 0000000000000000 0000000000000000 1"
	check "it is a user of its own" test "$(field Uid | cut -f1)" -ge 1879048192
	check "its root is empty" test -z "$(ls -A "/proc/$hypervisor/root/")"
	check "its network is its own" test "$(readlink "/proc/$hypervisor/ns/net")" != "$(readlink /proc/self/ns/net)"
	own=$(awk '/^[0-9a-f]+-[0-9a-f]+ /{guest=/guest-memory/} /^Pss:/{if(!guest)sum+=$2} END{print sum}' "/proc/$hypervisor/smaps")
	echo "# resident memory without the guest's: $own KiB"
	check "it needs less than 5 MiB for itself" test "$own" -lt 5120
	karuta-controller kill count >/dev/null 2>&1
	wait $controller
	check "the plug ends it with 1" test $? = 1
else
	not_ok "pause"
fi

specification spin spin 16M 2
start spin
if wait_for 20 says spin spinning; then
	check "a guest that only spins is stopped, too" karuta-controller kill spin
	wait $controller
else
	not_ok "a spinning guest"
fi

# ---- what is refused, before anything runs ----

refused() { # NAME PATTERN
	refuse "$1" "$2" timeout 20 karuta-controller run refused.json
}
head -c 100000 /dev/urandom >noise
head -c 3000 "$guest" >cut
head -c 64 "$guest" >header
printf '' >empty
for file in noise cut header empty; do
	kernel=$PWD/$file specification refused hello
	refused "a kernel that is none is refused ($file)" 'kernel: '
done
truncate -s 20M huge
specification refused hello 16M 1 '' ', "initrd": "huge"'
refused "an initrd that does not fit is refused" 'initrd: .* do not fit'
specification refused hello 900G
refused "more memory than the host has is refused" 'memory: .* the host has'
finish
