#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The controller with real programs: what a guest sees of attach and detach, what is left behind, what
# each program may, two instances side by side, and how it all ends.
source tests/system/lib.sh
guest=/opt/karuta/bin/karuta-test-guest
cd "$scratch" || exit 1
truncate -s 8M data.vol
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >key # 64 bytes

# start NAME LINE CARDS: in the background; its console is in NAME.console, its notes in NAME.notes.
start() {
	cat >"$1.json" <<END
{ "name": "$1", "memory": "64M", "cpus": 1, "kernel": "$guest", "command_line": "$2", "cards": [$3] }
END
	karuta-controller run "$1.json" --console "$1.console" 5<key 2>"$1.notes" &
	controller=$!
	cleanup kill -KILL $controller
}
# Has the console a line?
console() { grep -q "$2" "$1.console"; }
pid_of() { karuta-controller status "$1" --json | sed -n 's/^  "pid": \([0-9]*\),*/\1/p'; }
fds() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
mappings() { wc -l <"/proc/$1/maps"; }
children() { pgrep -c -P "$controller" -f karuta-; }
memfds() { find "/proc/$1/fd" -lname '*memfd*' | wc -l; }
programs() { pgrep -f 'karuta-(hypervisor|card|controller)'; }
key_is_shown() {
	local pid
	for pid in $(programs); do
		grep -qaF "$(cat key)" "/proc/$pid/cmdline" "/proc/$pid/environ" && return
	done
	return 1
}
state_of() { karuta-controller status "$1" | awk -v card="$2" '$2 == card { print $4 }'; }
end_code() { wait "$1"; }

# --- attach and detach ---
start slots slots '{ "slot": 1, "name": "first", "kind": "null" }'
wait_for 60 console slots waiting || sed 's/^/#   /' slots.notes
check "an instance starts" console slots waiting
hypervisor=$(pid_of slots)
check "attach: a volume, its key handed over" karuta-controller attach slots kind=volume slot=2 name=data store=data.vol key_fd=6 6<key
wait_for 10 console slots 'inserted 2'
check "the guest sees it" console slots 'inserted 2'
check "its key is in no command line or environment" eval '! key_is_shown'
check "status names it" test "$(state_of slots data)" = attached
check "detach waits for the guest" karuta-controller detach slots data
check "the guest was asked" console slots 'removed 2'
check "its program has ended" eval "! pgrep -f 'karuta-card-[v]olume'"

check "slots can be chosen" karuta-controller attach slots kind=null slot=9
karuta-controller detach slots 9 >/dev/null
# What both hold: taken when it has been the same for a second, as the end of a card is still being tidied up when who asked
# for it has the answer.
held_now() { echo "$(fds $controller) $(memfds $controller) $(children) $(fds "$hypervisor") $(mappings "$hypervisor") $(mappings $controller)"; }
held() {
	local i now last='' same=0
	for ((i = 0; i < 100 && same < 10; i++)); do
		now=$(held_now)
		[ "$now" = "$last" ] && same=$((same + 1)) || same=0
		last=$now
		sleep 0.1
	done
	echo "$now"
}
before=$(held)
rounds() {
	local i
	for ((i = 0; i < 50; i++)); do
		karuta-controller attach slots kind=null slot=9 name=again || return 1
		karuta-controller detach slots again || return 1
	done
}
check "50 times attach and detach" rounds
after=$(held)
check "leaves no descriptor, area, program or mapping behind ($before)" test "$before" = "$after"
[ "$before" = "$after" ] || echo "#   after: $after"

# --- a card dies ---
card=$(pgrep -P $controller -f karuta-card-null)
kill -KILL "$card"
check "kill -9 of a card: it is started again" wait_for 10 grep -q 'card first (slot 1) goes on after' slots.notes
check "as often as is allowed" kill_for_good $controller karuta-card-null slots.notes
check "then the guest is asked to let go" wait_for 20 console slots 'removed 1'
check "status says that it failed" test "$(state_of slots first)" = failed
check "and why" sh -c "karuta-controller status slots | grep -q 'killed by signal 9'"
check "it can be taken out" karuta-controller detach slots first
check "and another put in" karuta-controller attach slots kind=null slot=1 name=first

# --- what the programs are ---
card=$(pgrep -P $controller -f karuta-card-null)
for program in $hypervisor $card; do
	name=$(tr '\0' '\n' <"/proc/$program/cmdline" | head -n 1)
	check "$name: own user, no capabilities, seccomp, no new privileges" awk '
		/^Uid:/ { uid = $2 } /^CapEff:/ { cap = $2 } /^CapBnd:/ { bound = $2 } /^Seccomp:/ { sec = $2 } /^NoNewPrivs:/ { nnp = $2 }
		END { exit !(uid > 1879000000 && cap ~ /^0*$/ && bound ~ /^0*$/ && sec == 2 && nnp == 1) }' "/proc/$program/status"
	check "$name: has no socket to the controller and no file of the host" sh -c "
		! ls -l /proc/$program/fd | grep -vE 'memfd|anon_inode|socket|pipe|/dev/null|/dev/kvm|karuta-test-guest|total'"
done
check "the two have different users" test "$(stat -c %u "/proc/$hypervisor")" != "$(stat -c %u "/proc/$card")"
check "the command socket is for its owner only" test "$(stat -c %a /run/karuta/slots.sock)" = 600

# --- side by side ---
start other count ''
other=$controller
check "a second instance runs beside it" wait_for 30 console other 'count 3'
refuse "but not under the same name" 'runs already' karuta-controller run slots.json --console /dev/null
check "pause" karuta-controller pause other
sleep 0.3
seen=$(wc -c <other.console)
sleep 0.5
check "a paused guest writes nothing" test "$(wc -c <other.console)" = "$seen"
check "the first goes on" karuta-controller status slots
check "resume" karuta-controller resume other
more() { [ "$(wc -c <other.console)" -gt "$seen" ]; }
check "it goes on where it was" wait_for 10 more
check "the console can be followed" sh -c "timeout 20 karuta-controller console other | head -n 5 | grep -q 'count 0'"
check "reset" karuta-controller reset other
check "kill" karuta-controller kill other
end_code $other
check "ends with 1" test $? = 1

# --- the end ---
controller=$(pgrep -f 'karuta-controller run slots.json')
check "stop presses the power button and waits" karuta-controller stop slots --timeout 30
wait "$controller"
check "the guest's power-off ends it with 0" test $? = 0
check "its socket is gone" test ! -e /run/karuta/slots.sock
refuse "there is nobody to ask any more" 'no instance slots runs here' karuta-controller status slots

start spin spin ''
wait_for 30 console spin spinning
kill -TERM $controller
sleep 0.5
check "SIGTERM presses the power button only" kill -0 $controller
kill -TERM $controller
end_code $controller
check "the second one ends it with 143" test $? = 143

start orphan spin '{ "kind": "null" }'
wait_for 30 console orphan spinning
hypervisor=$(pid_of orphan)
card=$(pgrep -P $controller -f karuta-card-null)
kill -KILL $controller
wait $controller 2>/dev/null
check "all programs end with a controller that is killed" wait_for 5 sh -c "! kill -0 $hypervisor && ! kill -0 $card"

start crash crash ''
end_code $controller
check "a guest that crashes ends it with 1" test $? = 1
check "and is told so" grep -q 'guest crashed: ' crash.notes
[ -s crash.notes ] && sed -n 's/^/# /p' crash.notes
start orphan hello ''
end_code $controller
check "a killed controller's name can be used again" test $? = 0

# --- what does not start ---
sed 's/"kernel": "[^"]*"/"kernel": "key"/' orphan.json >bad.json
refuse "a file that is no kernel" 'kernel' karuta-controller run bad.json
sed 's/"memory": "64M"/"memory": "512G"/' orphan.json >bad.json
refuse "more memory than there is" 'memory' karuta-controller run bad.json
echo '{ "name": "x" ' >bad.json
refuse "a file that is no specification" 'bad.json:.*not JSON' karuta-controller run bad.json
cat >bad.json <<END
{ "name": "bad", "memory": "64M", "kernel": "$guest", "cards": [{ "name": "d", "kind": "volume", "store": "data.vol", "key_fd": 5 }] }
END
refuse "a volume whose key is too short" 'card d (slot 1): .*key' karuta-controller run bad.json 5<<<short
check "nothing was taken for an attack" eval '! grep -h "SECURITY EVENT" ./*.notes | grep -v ": guest: "'
check "nothing is left running" eval '! programs'
finish
