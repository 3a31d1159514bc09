#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What keeps instances apart on a host: cgroups and their limits, whole cores, memory.
source tests/system/lib.sh
guest=$(command -v karuta-test-guest) || { skip isolation "no karuta-test-guest beside the programs"; exit 0; }
[ -e /sys/fs/cgroup/cgroup.controllers ] || { skip isolation "no cgroup v2 in /sys/fs/cgroup"; exit 0; }
tree=/sys/fs/cgroup/karuta
cd "$scratch" || exit 1
truncate -s 8M data.vol
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >key

# specification NAME LINE MORE [CARDS]
specification() {
	cat >"$1.json" <<END
{ "name": "$1", "memory": "64M", "cpus": 1, $3 "kernel": "$guest", "command_line": "$2", "cards": [${4:-}] }
END
}
# start NAME ...: in the background; `controller` is its process.
start() {
	specification "$@"
	karuta-controller run "$1.json" --console "$1.console" 2>"$1.notes" 5<key &
	controller=$!
	cleanup "kill -KILL $controller"
	wait_for 60 grep -q "count 1" "$1.console" || sed 's/^/#   /' "$1.notes"
}
program() { pgrep -P "$1" -f "karuta-$2"; } # CONTROLLER NAME
group() { echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup")"; }
cpus() { awk '/^Cpus_allowed_list:/ { print $2 }' /proc/"$1"/task/*/status | sort -u; }
limits() { cat "$(group "$1")/memory.max" "$(group "$1")/memory.swap.max" "$(group "$1")/pids.max" | tr '\n' ' '; }

# ---- cgroups ----

start web count '' '{ "slot": 3, "name": "data", "kind": "volume", "store": "data.vol", "key_fd": 5 }'
web=$controller
hypervisor=$(program $web hypervisor)
card=$(program $web card-volume)
check "a hypervisor is in a cgroup of its own" test "$(group "$hypervisor")" = $tree/shared/instance-web/hypervisor
check "a card is, too" test "$(group "$card")" = $tree/shared/instance-web/card-3
check "a hypervisor has what its guest needs of memory, no swap, few threads" test "$(limits "$hypervisor")" = \
	"$(((64 + 1 + 64 + 4) << 20)) 0 34 "
check "a card has 256 MiB" test "$(limits "$card")" = "268435456 0 256 "
check "status tells the limits" sh -c "karuta-controller status web --json | grep -q '\"limits\": \"cpu cpuset memory pids\"'"
check "a guest's memory is reserved while it starts" wait_for 20 sh -c "karuta-controller status web --json | grep -q '\"reserved\": $((64 << 20))'"
resident=$(awk '/^shmem / { print $2 }' "$tree/shared/instance-web/hypervisor/memory.stat")
check "all of it is there then" test "$resident" -ge $((64 << 20))
merged() { cat /sys/kernel/mm/ksm/pages_sharing; }
may_merge() { grep -qs 'ksm_merge_any: yes' "/proc/$1/ksm_stat" || grep -q '\bmg\b' "/proc/$1/smaps"; }
check "no page of it is for merging" eval "! may_merge $hypervisor && ! may_merge $card"

# ---- a card that takes too much ----

echo 1M >"$tree/shared/instance-web/card-3/memory.max"
check "a card that takes too much memory is started again" wait_for 10 grep -q 'card data (slot 3) goes on after' web.notes
check "alone" test "$(program $web hypervisor)" = "$hypervisor"
check "with its limit" test "$(limits "$(program $web card-volume)")" = "268435456 0 256 "
truncate -s 32M /dev/shm/memory.vol
cleanup rm /dev/shm/memory.vol
karuta-controller attach web kind=volume slot=4 name=memory store=/dev/shm/memory.vol key_fd=6 6<key >/dev/null
in_memory=$(program $web 'card-volume.*--serial memory')
check "a store in memory is not taken from its card" test "$(limits "$in_memory")" = "$(((256 + 32) << 20)) 0 256 "
karuta-controller resize web memory 64M >/dev/null
check "nor what it grows by" test "$(limits "$in_memory")" = "$(((256 + 64) << 20)) 0 256 "
check "a card that was detached leaves no cgroup" eval "karuta-controller attach web kind=null slot=9 name=x &&
	test -d $tree/shared/instance-web/card-9 && karuta-controller detach web x --force && ! test -e $tree/shared/instance-web/card-9"

# ---- whole cores ----

cores=$(cat /sys/devices/system/cpu/cpu[0-9]*/topology/core_cpus_list | sort -u | wc -l)
all=$(cat /sys/devices/system/cpu/online)
if [ "$cores" -ge 3 ]; then
	start one count '"cores": 1,' '{ "name": "n", "kind": "null" }'
	one=$controller
	start two count '"cores": 1,'
	two=$controller
	a=$(cpus "$(program $one hypervisor)") b=$(cpus "$(program $two hypervisor)")
	echo "# $all: one has $a, two has $b, web has $(cpus "$hypervisor"), controllers run on $(cpus $one)"
	check "an instance with a whole core has it" grep -qx "$a" /sys/devices/system/cpu/cpu[0-9]*/topology/core_cpus_list
	check "another has another" test "$a" != "$b"
	check "its cards are there, too" test "$(cpus "$(program $one card-null)")" = "$a"
	check "who shares has kept off since" eval "! cpus $hypervisor | tr , '\n' | grep -qxE '$a|$b'"
	check "status tells the cores" sh -c "karuta-controller status one | grep -qx 'limits: cpu cpuset memory pids; whole cores: $a'"
	specification three count "\"cores\": $((cores - 2)),"
	refuse "who wants more than are left is refused" "whole core.* wanted, $((cores - 3)) of $cores" karuta-controller run three.json
	karuta-controller kill two >/dev/null
	wait $two
	check "they are free again at an instance's end" eval "cpus $hypervisor | grep -q ."
	echo "# web has $(cpus "$hypervisor")"
	karuta-controller kill one >/dev/null
	wait $one
	check "who shares has all of them again" test "$(cpus "$hypervisor")" = "$all"
else
	skip "whole cores of several instances" "this host has only $cores"
fi

# ---- the end ----

karuta-controller kill web >/dev/null
wait $web
left() { find $tree -mindepth 2 -type d; }
check "nothing is left of what has ended" test -z "$(left)"
most=
[ "$cores" -lt 2 ] || most="\"cores\": $((cores - 1)),"
start dead count "$most" '{ "name": "n", "kind": "null" }'
kill -KILL $controller
wait $controller 2>/dev/null
check "what a killed controller leaves" test -n "$(left)"
specification next hello "$most"
check "is in the way of nobody" karuta-controller run next.json
check "and removed by the next one" test -z "$(left)"

# ---- memory ----

specification big count ''
sed -i 's/"64M"/"1T"/' big.json
refuse "who wants more than the host has is refused" "memory: 1048576 MiB asked for, the host has" karuta-controller run big.json
if command -v strace >/dev/null; then
	specification short count ''
	# Of its 16 pieces the host is to have 4. A call that is changed is still one of the list.
	refuse "what the host turns out not to have ends the guest" "the host had only 16 MiB of them" \
		strace -f --seccomp-bpf -o short.trace -e trace=fallocate -e inject=fallocate:error=ENOMEM:syscall=getpid:when=5+ karuta-controller run short.json
else
	skip "a host that has less than it said" "no strace"
fi
start full count ''
echo 1M >$tree/shared/instance-full/hypervisor/memory.max
wait $controller
check "a guest that the kernel ends for want of memory is said to be one" grep -q 'full: .*had no memory left for it' full.notes

huge=/sys/kernel/mm/transparent_hugepage/shmem_enabled
if [ -w $huge ]; then
	cleanup "echo $(sed 's/.*\[\(.*\)\].*/\1/' $huge) >$huge"
	echo advise >$huge
	start huge count ''
	huge_pages() { awk '/^shmem_thp / { print $2 }' $tree/shared/instance-huge/hypervisor/memory.stat; }
	check "its pages are huge where that is to be asked for" wait_for 20 eval "test \$(huge_pages) -ge $((60 << 20))"
	karuta-controller kill huge >/dev/null
	wait $controller
else
	skip "huge pages" "this kernel has none for shared memory"
fi

specification first leave-secret ''
specification second find-secret ''
karuta-controller run first.json >first.console 2>&1
check "a guest has something in each of its pages" grep -q 'secrets in 15[0-9]* pages' first.console
karuta-controller run second.json >second.console 2>&1
check "the next one finds nothing of it" grep -q 'secrets in 0 pages' second.console
finish
