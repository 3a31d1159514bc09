#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A stock kernel writes to a volume, reads it back and compares, while the volume's card is killed and updated again and again:
# the guest sees pauses and nothing else. Then a card that dies too often, and one that is killed while the guest is paused or
# restarts.
source tests/system/lib.sh
source tests/common/initramfs.sh
rounds=${KARUTA_TEST_ROUNDS:-3} # 20 take six minutes in emulation
linux_guest crash
truncate -s 64M data.vol
head -c 64 /dev/urandom >key
cp /opt/karuta/bin/karuta-card-volume other

# The verifier writes a new pattern each time, past the page cache and back, each block telling its place and its round. The
# reader times single reads, in hundredths of a second. A card in slot 6 ends both.
make_disk_initramfs initrd <<'INIT'
pattern() { seq 100000 | sed "s/^/$1 /" 2>/dev/null | head -c 524288; }
verify() {
	round=0
	until ended; do
		round=$((round + 1))
		pattern $round >/tmp/pattern 2>/dev/null
		want=$(md5sum </tmp/pattern)
		at=$((round % 96 * 8))
		dd if=/tmp/pattern of=$disk bs=64k seek=$at oflag=direct conv=fsync,notrunc 2>/dev/null || echo "GUEST write failed"
		got=$(dd if=$disk bs=64k skip=$at count=8 iflag=direct 2>/tmp/why | md5sum)
		[ "$want" = "$got" ] || echo "GUEST wrong data in round $round: $(cat /tmp/why)"
		echo "GUEST round $round"
	done
}
now() { read -r up rest </proc/uptime; echo "${up%.*}${up#*.}"; }
time_reads() {
	slowest=0
	until ended; do
		before=$(now)
		dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || echo "GUEST read failed"
		took=$(($(now) - before))
		[ $took -le $slowest ] || slowest=$took
	done
	echo "GUEST slowest read ${slowest}0 ms"
}
echo "GUEST up"
time_reads &
verify
wait
echo "GUEST complains: $(dmesg | grep -ciE 'nvme.*(timeout|abort|reset|fail|not ready|down)|I/O error|soft lockup|stall')"
dmesg | grep -iE 'nvme|I/O error|lockup|stall' | tail -n 15
while [ -b $disk ]; do usleep 100000; done
echo "GUEST lost its disk"
while ended; do usleep 100000; done
poweroff -f
INIT
start_linux crash '{ "slot": 1, "name": "data", "kind": "volume", "store": "data.vol", "key_fd": 5 }'
noted() { [ "$(grep -c "$1" notes)" -ge "${2:-1}" ]; }
verified() { grep -ac 'GUEST round' console; }

check "Linux comes up and verifies" wait_for 120 heard round
# A card may die five times a minute; updates are not counted. The instants are as they come.
killed=0 updated=0
for ((i = 1; i <= rounds; i++)); do
	next=$((SECONDS + 13))
	back=$(($(grep -c 'goes on after' notes) + 1))
	kill_volume_card && killed=$((killed + 1))
	wait_for 30 noted 'goes on after' $back || break
	program=other
	[ $((i % 2)) = 0 ] || program=
	sleep 0.$((RANDOM % 10))
	karuta-controller update crash data $program >>updates 2>&1 && updated=$((updated + 1))
	seen=$(verified)
	more() { [ "$(verified)" -gt "$seen" ]; }
	wait_for 60 more || break
	while [ $SECONDS -le $next ] && [ $i -lt "$rounds" ]; do sleep 0.2; done
done
check "the card was killed $rounds times ($killed)" test $killed = "$rounds"
check "and updated $rounds times ($updated)" test $updated = "$rounds"
check "the guest goes on" wait_for 60 heard round $(($(verified) + 2))
check "a pause does not wait for a card" sh -c '
	kill -9 "$(pgrep -P '$controller' -f karuta-card-volume)"; timeout 5 karuta-controller pause crash'
check "resume" karuta-controller resume crash
check "the guest goes on after it" wait_for 60 heard round $(($(verified) + 2))

karuta-controller attach crash kind=null slot=6 name=end >/dev/null
check "the guest ends its work" wait_for 60 heard complains
refuse "nothing was written or read wrong" '^0$' sh -c "grep -acE 'GUEST (wrong|write failed|read failed)' console; exit 1"
check "no error, timeout or reset in the guest's log" heard 'complains: 0'
echo "# $(verified) rounds verified, killed $killed times, updated $updated times"
echo "# $(grep -a 'GUEST slowest' console | tr -d '\r')"
echo "# host, ms: updates $(sed -n 's/.*goes on after \(.*\) ms.*/\1/p' updates | sort -n | tr '\n' ' ')"
echo "# host, ms: all $(sed -n 's/.*goes on after \(.*\) ms.*/\1/p' notes | sort -n | tr '\n' ' ')"

check "a card that dies too often is not started again" kill_for_good $controller karuta-card-volume notes
check "the guest loses it" wait_for 40 heard 'lost its disk'
check "status says that it failed" sh -c "karuta-controller status crash | awk '\$2 == \"data\" { print \$4 }' | grep -qx failed"
karuta-controller detach crash end >/dev/null
wait $controller
check "power-off ends the instance with 0" test $? = 0
check "nothing of it was taken for an attack" eval '! grep -h "SECURITY EVENT" notes | grep -v ": guest: "'
[ $failures = 0 ] || sed 's/^/# /' console notes updates | tail -n 300
finish
