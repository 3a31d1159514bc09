#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Instances of `serve`, with real programs: what goes on and what comes back when a hypervisor is killed, or the controller, and what
# does not. KARUTA_TEST_ROUNDS (3): so many updates of the controller.
source tests/system/lib.sh
certificates=/opt/karuta/certificates
if [ ! -d "$certificates" ]; then
	skip "instances that come back" "no certificates; see tests/run"
	exit 0
fi
cd "$scratch" || exit 1
ip link set lo up
mkdir srv
cp /opt/karuta/bin/karuta-test-guest srv/guest
truncate -s 8M srv/data.vol
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >key # 64 bytes
store='{ "kind": "volume", "name": "data", "store": "data.vol", "key_fd": 5 }'

as() { # WHO VERB...
	local who=$1
	shift
	karuta-controller call 127.0.0.1 "$@" --ca "$certificates/ca.pem" --cert "$certificates/$who.pem" \
		--key "$certificates/$who.key"
}
call() { as operator "$@"; }
serve() {
	karuta-controller serve --ca "$certificates/ca.pem" --cert "$certificates/host.pem" --key "$certificates/host.key" \
		--files srv --audit audit --state state 2>>notes &
	keeper=$!
	cleanup 'pkill -KILL karuta-'
	wait_for 60 call list
}
serving() { pgrep -P "$keeper" -f 'serve --keeper'; }
programs() { pgrep -f 'karuta-(hypervisor|card)' | tr '\n' ' '; }
# launch NAME LINE CARDS [KEYS]
launch() {
	cat >"$1.json" <<END_OF_SPEC
{ "name": "$1", "memory": "64M", "kernel": "guest", "command_line": "$2", "cards": [$3] }
END_OF_SPEC
	call launch "$1.json" ${4:+"$4"}
}
says() { call status "$1" | grep -q -- "$2"; }
field() { call status "$1" --json | jq -r ".result.$2"; }
# Its guest does something.
works() { [ "$(field "$1" counters.exits)" -gt 0 ] && [ "$(field "$1" state)" = running ]; }

serve || sed 's/^/#   /' notes
check "a volume and its key" launch web slots "$store" keys=5:key
check "an instance without keys" launch plain spin ''
check "its guest works" wait_for 30 works web

# --- what came over the network, and what can be had from there ---
mapfile -t files < <(find "$scratch" /tmp /run /var /dev/shm -xdev -type f ! -path "$scratch/key" 2>/dev/null)
karuta-key-search "$(pgrep -f ^karuta-card-volume)" "${files[@]}" >found
if [ $? = 77 ]; then
	skip "where its key is" "$(cat found)"
else
	check "its key is in its card" grep -q 'key 1' found
	check "else where the controller keeps it, and nowhere" sh -c '! grep -E "^(process|file)" found | grep -v " karuta-controll /memfd:karuta-key"'
	sed 's/^/# /' found
fi
writes() { call console web | grep -q .; }
check "what its guest writes can be read" writes

# --- a hypervisor dies ---
kill -KILL "$(field web pid)"
check "kill -9 of a hypervisor: its instance comes back" wait_for 30 says web 'restarts: 1, the last after: hypervisor: killed'
check "its guest works again" wait_for 30 works web
check "with its volume, without being asked for the key" says web 'attached'
check "the other has not noticed" says plain 'plain: running'
check "nothing of it is left twice" test "$(programs | wc -w)" = 3

# --- the controller dies ---
before=$(programs)
for ((i = 0; i < 3; i++)); do
	old=$(serving)
	kill -KILL "$old"
	check "kill -9 of the controller: there is another" wait_for 30 sh -c "pgrep -P $keeper -f 'serve --keeper' | grep -vx $old"
	check "it answers" wait_for 30 call list
	check "the same programs run" test "$(programs)" = "$before"
	check "their guests work" works web
	exits=$(field web counters.exits)
	more() { [ "$(field web counters.exits)" -gt "$exits" ]; }
	check "and go on" wait_for 30 more
done
updated=0
for ((i = 0; i < ${KARUTA_TEST_ROUNDS:-3}; i++)); do
	as admin update-host part=controller >>updates 2>&1 && updated=$((updated + 1))
done
check "the controller is updated ${KARUTA_TEST_ROUNDS:-3} times ($updated)" test $updated = "${KARUTA_TEST_ROUNDS:-3}"
check "and the host as a whole" as admin update-host
check "the same programs run" test "$(programs)" = "$before"
exits=$(field web counters.exits)
check "and the guest goes on" wait_for 30 more
check "it can order what runs about" call update web card=data
check "also its hypervisor" call update web hypervisor=true
check "the guest works" wait_for 30 works web
check "both of them are killed: all programs end" sh -c "kill -KILL $keeper $(serving)"
wait $keeper 2>/dev/null
check "they do" wait_for 20 sh -c "! pgrep -f 'karuta-(hypervisor|card)'"
serve || sed 's/^/#   /' notes
check "the next one: what needs no key comes back" wait_for 30 works plain
check "what needs one waits for it" wait_for 10 says web 'web: waiting for keys'
check "and has it" call start web keys=5:key
check "its guest works" wait_for 30 works web

# --- what is stopped stays so ---
check "stop" call stop web
kill -TERM $keeper
sleep 0.5
kill -TERM $keeper
wait $keeper 2>/dev/null
serve || sed 's/^/#   /' notes
check "what was running when it was told to end comes back" wait_for 30 works plain
check "what was stopped does not" says web 'web: ended'
check "kill" call kill plain
check "forget" call forget plain
refuse "it is not known any more" 'there is no instance plain' call status plain
check "the audit log holds" karuta-controller audit verify audit
sed 's/^/# /' notes
finish
