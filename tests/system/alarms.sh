#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the programs of a host ask its kernel for, seen from outside; and what becomes of one that asks for more: a debugger makes
# it do so, since none does by itself.
source tests/system/lib.sh
guest=/opt/karuta/bin/karuta-test-guest
command -v strace >/dev/null || { skip alarms "no strace"; exit 0; }
cd "$scratch" || exit 1

# start NAME [TRACER...]: its notes are in NAME.notes.
start() {
	local name=$1
	shift
	cat >"$name.json" <<END
{ "name": "$name", "memory": "64M", "cpus": 1, "kernel": "$guest", "command_line": "slots",
  "cards": [{ "slot": 1, "name": "first", "kind": "null" }] }
END
	"$@" karuta-controller run "$name.json" --console "$name.console" 2>"$name.notes" &
	cleanup kill -KILL $!
	wait_for 60 grep -q waiting "$name.console" || sed 's/^/#   /' "$name.notes"
}
pid_of() { karuta-controller status "$1" --json | jq "$2"; }
compromised() { [ "$(pid_of "$1" .compromised)" = "$2" ]; }

# --- a whole life, traced ---
start traced strace -f --seccomp-bpf -o trace -e trace=network,process
check "an instance starts" grep -q waiting traced.console
check "a card comes" karuta-controller attach traced kind=null slot=2
check "and goes" karuta-controller detach traced 2
karuta-controller kill traced >/dev/null
check "it ends" wait_for 30 grep -q 'killed' traced.notes
check "nobody connects to anything" eval '! grep "connect(" trace'
check "nothing is executed but the controller" test "$(grep -c 'execve(' trace)" = 1
check "and descriptors ($(grep -c 'execveat(' trace))" eval 'grep -q "execveat(" trace && ! grep "execveat(" trace |
	grep -v "execveat([0-9]*, \"\", .*AT_EMPTY_PATH"'
check "the one socket that is listened on is the local one" eval \
	'[ "$(grep -c "listen(" trace)" = 1 ] && grep "bind(" trace | grep -q AF_UNIX'
check "no socket is made after it" eval '! sed "1,/listen(/d" trace | grep " socket("'
check "nobody was ended for a call" eval '! grep SIGSYS trace'

# --- one that asks for more ---
# make_it_ask PID CALL COMMAND...: instead of CALL for its user id, when COMMAND has woken it.
make_it_ask() {
	strace -f -p "$1" -o injected -e trace="$2" -e inject="$2":retval=0:syscall=geteuid 2>attached &
	wait_for 30 grep -q attached attached
	shift 2
	"$@" >/dev/null 2>&1
}
# What the event says of it, where the kernel's log tells and has the process under the same number.
call_of() { ! dmesg | grep -q "type=1326 .* pid=$1 " || echo 'system call 107 (geteuid)'; }

start asking
card=$(pgrep -f 'karuta-card-nul[l]')
check "nothing has happened yet" compromised asking false
make_it_ask "$card" epoll_wait sleep 1
check "a card that asks for more is ended" wait_for 10 eval "! kill -0 $card"
check "it is a security event, with the call" wait_for 10 sh -c \
	"karuta-controller status asking | grep -q 'system-call .*asking/first, pid $card: .*$(call_of "$card")'"
check "its instance is marked" compromised asking true
check "the card comes back" wait_for 10 grep -q 'card first (slot 1) goes on' asking.notes
hypervisor=$(pid_of asking .pid)
make_it_ask "$hypervisor" poll karuta-controller pause asking
check "a hypervisor that asks for more is ended" wait_for 10 eval "! kill -0 $hypervisor"
check "with its instance, and an event" wait_for 10 grep -q \
	"SECURITY EVENT 2: system-call: hypervisor, pid $hypervisor: .*$(call_of "$hypervisor")" asking.notes
check "which are in the audit log" test "$(karuta-controller audit show /var/lib/karuta/audit/instance/asking |
	grep -c 'controller: event asking/.*system-call')" = 2

finish
