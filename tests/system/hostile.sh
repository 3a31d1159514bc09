#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest that means harm (tests/guests/bare/hostile.c): each thing it does to its disk has the answer of the specification, the
# controller counts what no guest may do, and another instance, which verifies its own disk all the time, notices nothing.
source tests/system/lib.sh
guest=$(command -v karuta-test-guest) || { skip hostile "no karuta-test-guest beside the programs"; exit 0; }
cd "$scratch" || exit 1
head -c 64 /dev/urandom >key

# start NAME BEHAVIOUR: in the background; `controller` is its process.
start() {
	truncate -s 8M "$1.vol"
	cat >"$1.json" <<END
{ "name": "$1", "memory": "64M", "cpus": 1, "kernel": "$guest", "command_line": "$2",
  "cards": [{ "slot": 1, "name": "disk", "kind": "volume", "store": "$1.vol", "key_fd": 5 }] }
END
	karuta-controller run "$1.json" --console "$1.console" 5<key 2>"$1.notes" &
	controller=$!
	cleanup "kill -9 $controller"
}
says() { grep -aq -- "$2" "$1.console"; }
counter() { karuta-controller status "$1" --json | sed -n "s/^ *\"$2\": \([0-9]*\),*/\1/p"; }
verified() { sed -n 's/^verified \([0-9]*\).*/\1/p' neighbour.console | tail -n 1; }

start neighbour verify
neighbour=$controller
check "a neighbour verifies its disk" wait_for 60 says neighbour '^verified 64'

start hostile hostile
hostile=$controller
started() { says hostile '^ok - there is a disk' || ! kill -0 $hostile; }
ended() { says hostile 'hostile: done' || ! kill -0 $hostile; }
wait_for 60 started
card=$(pgrep -P $hostile -f karuta-card-volume)
wait_for 240 ended
check "the hostile guest comes to its end" says hostile 'hostile: done'
grep -aE '^(not )?ok - ' hostile.console | tr -d '\r'
failures=$((failures + $(grep -ac '^not ok' hostile.console)))
check "its card is the process that it was" test "$card" = "$(pgrep -P $hostile -f karuta-card-volume)"
events=$(counter hostile security_events)
echo "# $events security events"
check "the status page counts what no guest may do" test "${events:-0}" -gt 200
check "status says so" sh -c "karuta-controller status hostile | grep -q 'security events'"
check "nothing broke the bus's rules" test "$(counter hostile protocol_errors)" = 0
check "power-off ends it with 0" sh -c "karuta-controller stop hostile --timeout 30 && tail --pid=$hostile -f /dev/null"

seen=$(verified)
more() { [ "$(verified)" -gt "$seen" ]; }
check "the neighbour goes on" wait_for 60 more
check "it is the neighbour's card that has no event" test "$(counter neighbour security_events) $(counter neighbour errors)" = "0 0"
karuta-controller stop neighbour --timeout 30 >/dev/null
wait $neighbour
check "it ended well" test $? = 0
sed -n 's/^rounds/# the neighbour: rounds/p' neighbour.console
check "and noticed nothing: no error, no wrong data" says neighbour '^rounds [0-9]* errors 0'
[ $failures = 0 ] || sed 's/^/# /' hostile.notes neighbour.notes
finish
