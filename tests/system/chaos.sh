#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Instances of `serve` while controller, keeper, hypervisors and cards are killed at random: whatever a guest has been told to be on
# its disk is there, also after its own end; all of them run in the end; nothing is left behind.
#
# KARUTA_TEST_KILLS (10) kills among KARUTA_TEST_INSTANCES (1) stock kernels that write and compare, one bare guest, and with
# KARUTA_TEST_FIO=1 a Debian with fio --verify.
source tests/system/lib.sh
source tests/common/initramfs.sh
kills=${KARUTA_TEST_KILLS:-10} count=${KARUTA_TEST_INSTANCES:-1} fio=${KARUTA_TEST_FIO:-}
images=/opt/karuta/images
certificates=/opt/karuta/certificates
[ -d "$certificates" ] || { skip chaos "no certificates; see tests/run"; exit 0; }
linux_guest chaos jq
ip link set lo up
mkdir srv
cp /opt/karuta/bin/karuta-test-guest srv/guest
cp "$kernel" srv/kernel
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >key # 64 bytes

# Eight places of 64 KiB from 1 MiB on, written in turn; each round is told in the first block when it is on the disk. After a
# start, all rounds that were told of must be there. What was wrong once stays so: in the second block.
make_disk_initramfs srv/initrd <<'INIT'
pattern() { seq 20000 | sed "s/^/$1 /" 2>/dev/null | head -c 65536; }
put() { dd of=$disk bs=64k seek=$((16 + $1 % 8)) oflag=direct conv=fsync,notrunc 2>/dev/null; }
get() { dd if=$disk bs=64k skip=$((16 + $1 % 8)) count=1 iflag=direct 2>/dev/null | md5sum; }
say() { printf '%-512s' "$2" | dd of=$disk bs=512 seek=$1 oflag=direct conv=fsync,notrunc 2>/dev/null; }
hear() { dd if=$disk bs=512 skip=$1 count=1 iflag=direct 2>/dev/null; }
wrong() { echo "GUEST wrong: $1"; say 1 "WRONG $1"; }
case $(hear 1) in WRONG*) echo "GUEST $(hear 1)"; while :; do sleep 1; done ;; esac
round=$(hear 0 | sed -n 's/^ROUND \([0-9]*\) .*/\1/p')
round=${round:-0}
old=$((round > 7 ? round - 6 : 1))
while [ $old -le $round ]; do
	[ "$(pattern $old | md5sum)" = "$(get $old)" ] || wrong "round $old, of $round, after a start"
	old=$((old + 1))
done
echo "GUEST starts from round $round"
until ended; do
	round=$((round + 1))
	pattern $round >/tmp/pattern
	put $round </tmp/pattern || wrong "write of round $round"
	[ "$(md5sum </tmp/pattern)" = "$(get $round)" ] || wrong "round $round"
	say 0 "ROUND $round " || wrong "note of round $round"
	echo "GUEST round $round done"
	sleep 1 # the others are to have their turn
done
echo "GUEST complains: $(dmesg | grep -ciE 'I/O error|soft lockup')"
poweroff -f
INIT

call() {
	karuta-controller call 127.0.0.1 "$@" --ca "$certificates/ca.pem" --cert "$certificates/operator.pem" \
		--key "$certificates/operator.key"
}
serving() { pgrep -f '^karuta-controller serve --keeper'; }
keeping() { pgrep -f '^karuta-keeper'; }
field() { call status "$1" --json | jq -r ".result.$2"; }
runs() { [ "$(field "$1" state)" = running ]; }
console() { call console "$1"; }
rounds() { console "$1" | sed -n 's/.*GUEST round \([0-9]*\) done.*/\1/p; s/.*CHECK fio round \([0-9]*\).*/\1/p' | tail -n 1; }
begun() { [ "$1" != fio ] && further "$1" || console "$1" | grep -q 'CHECK fio begins'; }
further() { [ "$(rounds "$1")" -gt "${2:-0}" ]; }

karuta-controller serve --ca "$certificates/ca.pem" --cert "$certificates/host.pem" --key "$certificates/host.key" \
	--files srv --audit audit --state state 2>notes &
cleanup 'pkill -KILL karuta-'
check "it serves" wait_for 60 call list
declare -A rests # until when
names=(bare)
echo '{ "name": "bare", "memory": "64M", "kernel": "guest", "command_line": "count", "cards": [{ "kind": "null" }] }' >bare.json
for ((i = 1; i <= count; i++)); do
	names+=("disk$i")
	truncate -s 16M "srv/disk$i.vol"
	cat >"disk$i.json" <<END
{ "name": "disk$i", "memory": "96M", "cpus": 1, "kernel": "kernel", "initrd": "initrd", "restart": "always",
  "command_line": "console=ttyS0 loglevel=4 panic=-1",
  "cards": [{ "slot": 1, "name": "data", "kind": "volume", "store": "disk$i.vol", "key_fd": 5 }] }
END
done
if [ -n "$fio" ]; then
	names+=(fio)
	cp --sparse=always $images/root.vol srv/
	cp $images/initrd srv/initrd.fio
	cp $images/key key.fio
	truncate -s 96M srv/second.vol
	cat >fio.json <<'END'
{ "name": "fio", "memory": "768M", "cpus": 1, "kernel": "kernel", "initrd": "initrd.fio", "restart": "always",
  "command_line": "console=ttyS0 root=/dev/nvme0n1 rw quiet systemd.wants=karuta-checks.service karuta.cpus=1 karuta.rate=20 karuta.checks=fio_verify",
  "cards": [{ "slot": 1, "name": "root", "kind": "volume", "store": "root.vol", "key_fd": 6 },
            { "slot": 2, "name": "second", "kind": "volume", "store": "second.vol", "key_fd": 5 }] }
END
	rests[fio]=100000 # its own end comes once, by hand
fi
for name in "${names[@]}"; do
	keys=(keys=5:key)
	[ "$name" != bare ] || keys=()
	[ "$name" != fio ] || keys+=(keys=6:key.fio)
	check "launch $name" call launch "$name.json" "${keys[@]}"
done
for name in "${names[@]:1}"; do check "$name writes" wait_for 300 begun "$name"; done
descriptors() { find /proc/"$(serving)"/fd /proc/"$(keeping)"/fd | wc -l; }
processes() { pgrep -fc 'karuta-'; }
settled=$(descriptors) programs=$(processes)

# Cards and instances are started again five times a minute and not more, in a host whose time may be slow: none dies more often.
may_die() { [ "${rests[$1]:-0}" -le $SECONDS ] && rests[$1]=$((SECONDS + 25)); }
# Its process in $pid.
choose_victim() {
	local name=${names[RANDOM % ${#names[@]}]} what=$((RANDOM % 20))
	pid=
	case $what in
	0) call list >/dev/null && pid=$(keeping) ;; # with both of them dead at once, all ends
	[1-3]) pid=$(serving) ;;
	# Most get to do what the one before has left: a card that nobody starts again is lost to its guest after 8 s.
	[4-9]) call list >/dev/null && pid=$(serving) ;;
	1[0-5]) may_die "$name card" && pid=$(field "$name" 'cards[-1].pid') ;;
	*) may_die "$name" && rests["$name card"]=$((SECONDS + 25)) && pid=$(field "$name" pid) ;;
	esac
	[ -n "$pid" ] && [ "$pid" != 0 ] && [ "$pid" != null ]
}
declare -A died
for ((done = 0; done < kills && SECONDS < ${KARUTA_TEST_SECONDS:-1500}; )); do
	choose_victim || { sleep 0.2; continue; }
	who=$(tr '\0' ' ' <"/proc/$pid/cmdline" | grep -oE '^karuta-[a-z]+(-[a-z]+)?') 2>/dev/null || continue
	kill -KILL "$pid" || continue
	[ "$who" != karuta-keeper ] || { wait_for 30 keeping && sleep 1; } || break
	died[$who]=$((${died[$who]:-0} + 1))
	done=$((done + 1))
	sleep "0.$((RANDOM % 10))"
done
check "$kills were killed ($done)" test $done = "$kills"
echo "# killed: $(for who in "${!died[@]}"; do echo "$who ${died[$who]}"; done | tr '\n' ' ')in $SECONDS s"

check "it serves" wait_for 60 call list
for name in "${names[@]}"; do check "$name runs" wait_for 120 runs "$name"; done
for name in "${names[@]:1}"; do
	seen=$(rounds "$name")
	check "$name writes (round ${seen:-0})" wait_for 600 further "$name" "${seen:-0}"
	check "nothing was ever wrong there" eval "! console $name | grep -aiE -A 12 'wrong|CHECK not ok|verify: bad'"
done
no_more() { [ "$(processes)" -le "$programs" ] && [ "$(descriptors)" -le $((settled + 8)) ]; }
check "nothing is left of what died ($programs processes, $settled descriptors)" wait_for 30 no_more
for name in "${names[@]}"; do check "kill $name" call kill "$name"; check "forget $name" call forget "$name"; done
check "no program is left" wait_for 20 sh -c "! pgrep -f 'karuta-(hypervisor|card)'"
check "no cgroup is left" sh -c "! find /sys/fs/cgroup/karuta -name 'instance-*' | grep ."
check "the audit log holds" karuta-controller audit verify audit
check "the host is not in quarantine" karuta-controller verify --state state
[ $failures = 0 ] || { grep -E 'fio: .*card' notes; tail -n 100 notes; } | sed 's/^/# /'
finish
