#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Once Linux's driver keeps its doorbells in its memory, its reads and writes leave the guest without the hypervisor's process: no
# system call of it grows with them. Before that, after a controller reset, and when another process serves the card, they
# work as well; and it comes to be so again.
source tests/system/lib.sh
source tests/common/initramfs.sh
span=${KARUTA_TEST_SECONDS:-5} # of each look
linux_guest shadow strace
truncate -s 64M data.vol
head -c 64 /dev/urandom >key

# Says nothing while it reads and writes: the serial port is the hypervisor's. A card in slot 5 has it reset the controller in the
# middle of that, one in slot 6 ends it.
make_disk_initramfs initrd <<'INIT'
reading() {
	until ended; do
		dd if=$disk of=/dev/null bs=4k count=500 skip=$1 iflag=direct 2>/dev/null || echo "GUEST read failed"
	done
}
writing() {
	until ended; do
		dd if=/dev/zero of=$disk bs=4k count=500 seek=$1 oflag=direct conv=notrunc 2>/dev/null || echo "GUEST write failed"
	done
}
reading 0 &
reading 4000 &
writing 8000 &
echo "GUEST up"
until slot 5 || ended; do usleep 100000; done
for i in 1 2 3; do
	echo 1 >/sys/class/nvme/nvme0/reset_controller || echo "GUEST reset failed"
	sleep 0.5
done
echo "GUEST was reset"
wait
echo "GUEST complains: $(dmesg | grep -ciE 'nvme.*(timeout|abort|fail|not ready|down|dbbuf)|I/O error|soft lockup|stall')"
dmesg | grep -iE 'nvme|I/O error|lockup|stall' | tail -n 15
poweroff -f
INIT
start_linux shadow '{ "slot": 1, "name": "data", "kind": "volume", "store": "data.vol", "key_fd": 5 }'
commands() { karuta-controller status shadow | awk '$2 == "data" { print $5 + $6 }'; }
grows() { local before; before=$(commands); sleep 1; [ "$(commands)" -gt $((before + 20)) ]; }

# look NAME: the hypervisor's system calls while the guest works. Its main thread's poll, ten a second, is no part of that.
look() {
	local before after calls
	before=$(commands)
	timeout -s INT "$span" strace -f -c -S calls -o calls -p "$(pgrep -P $controller -f karuta-hypervisor)" 2>/dev/null
	after=$(commands)
	calls=$(awk '$NF ~ /^[a-z]/ && $4 ~ /^[0-9]+$/ && $NF !~ /^(poll|restart_syscall|total)$/ { sum += $4 } END { print sum + 0 }' calls)
	echo "# $1: $((after - before)) commands, $calls calls in $span s: $(awk '$4 ~ /^[0-9]+$/ { printf "%s %s, ", $NF, $4 }' calls)"
	check "$1: no system call for the guest's reads and writes" test "$calls" -lt $(((after - before) / 20))
	check "$1: and there were many of those" test $((after - before)) -gt $((span * 20))
}

check "Linux comes up" wait_for 120 heard up
check "reads and writes go on" wait_for 30 grows
look "at first"
kill_volume_card
check "a card that died goes on" wait_for 20 grep -q 'goes on after' notes
check "reads and writes go on after it" wait_for 30 grows
look "after a card's death"
karuta-controller attach shadow kind=null slot=5 name=five >/dev/null
check "the guest resets the controller under load" wait_for 60 heard 'was reset'
check "reads and writes go on after it" wait_for 30 grows
look "after a reset"
karuta-controller attach shadow kind=null slot=6 name=six >/dev/null
check "the guest ends its work" wait_for 60 heard complains
refuse "nothing failed" '^0$' sh -c "grep -acE 'GUEST (read|write|reset) failed' console; exit 1"
check "no error or timeout in the guest's log" heard 'complains: 0'
wait $controller
check "power-off ends the instance with 0" test $? = 0
[ $failures = 0 ] || sed 's/^/# /' console notes calls | tail -n 200
finish
