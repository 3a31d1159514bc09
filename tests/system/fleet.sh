#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A plane, a host, and a stock kernel with volumes, all of them through `karuta`: the guest sees a disk come by its serial number and
# go again; then plane, controller, hypervisor and cards are killed at random while it writes and compares and a volume is detached
# and attached: nothing that it was told to be on its disk is lost, and the volume is where it is last said to be.
#
# KARUTA_TEST_KILLS (6) kills; with KARUTA_TEST_FIO=1 fio --verify too.
source tests/system/lib.sh
source tests/common/initramfs.sh
kills=${KARUTA_TEST_KILLS:-6} fio=${KARUTA_TEST_FIO:-}
linux_guest fleet jq
ip link set lo up
mkdir srv etc
mkdir -m 700 plane
cp "$kernel" srv/kernel

# Eight places of 64 KiB from 1 MiB on, written in turn; each round is told in the first block when it is on the disk. After a start,
# all rounds that were told of must be there. What was wrong once stays so: in the second block.
make_disk_initramfs srv/initrd <<'INIT'
pattern() { seq 20000 | sed "s/^/$1 /" 2>/dev/null | head -c 65536; }
put() { dd of=$disk bs=64k seek=$((16 + $1 % 8)) oflag=direct conv=fsync,notrunc 2>/dev/null; }
get() { dd if=$disk bs=64k skip=$((16 + $1 % 8)) count=1 iflag=direct 2>/dev/null | md5sum; }
say() { printf '%-512s' "$2" | dd of=$disk bs=512 seek=$1 oflag=direct conv=fsync,notrunc 2>/dev/null; }
hear() { dd if=$disk bs=512 skip=$1 count=1 iflag=direct 2>/dev/null; }
wrong() { echo "GUEST wrong: $1"; say 1 "WRONG $1"; }
check_fio() {
	fio --filename=$disk --direct=1 --ioengine=psync --thread --name=v --rw=randwrite --bs=4k --offset=4m --size=2m --fsync=32 \
		--verify=crc32c --do_verify=1 --verify_fatal=1 >/tmp/fio 2>&1 || wrong "fio --verify: $(head -n 4 /tmp/fio | tr '\n' ';')"
	echo "GUEST fio verified"
}
serials() { cat /sys/class/nvme/nvme*/serial 2>/dev/null | tr -d ' ' | sort | tr '\n' ' '; }
# Which of the two comes first is not said; data has 16 MiB.
find_disk() {
	for at in /sys/block/nvme*; do [ "$(cat $at/size)" != 32768 ] || disk=/dev/${at##*/}; done
	[ "$(cat /sys/block/${disk##*/}/size)" = 32768 ]
}
until find_disk; do sleep 0.1; done
case $(hear 1) in WRONG*) echo "GUEST $(hear 1)"; while :; do sleep 1; done ;; esac
round=$(hear 0 | sed -n 's/^ROUND \([0-9]*\) .*/\1/p')
round=${round:-0}
old=$((round > 7 ? round - 6 : 1))
while [ $old -le $round ]; do
	[ "$(pattern $old | md5sum)" = "$(get $old)" ] || wrong "round $old, of $round, after a start"
	old=$((old + 1))
done
echo "GUEST starts from round $round"
while :; do
	now=$(serials)
	[ "$now" = "$seen" ] || echo "GUEST sees: $now"
	seen=$now
	round=$((round + 1))
	pattern $round >/tmp/pattern
	put $round </tmp/pattern || wrong "write of round $round"
	[ "$(md5sum </tmp/pattern)" = "$(get $round)" ] || wrong "round $round"
	say 0 "ROUND $round " || wrong "note of round $round"
	echo "GUEST round $round done"
	[ ! -x /usr/bin/fio ] || check_fio
	usleep 200000 # the others are to have their turn
done
INIT
# A second archive behind the first: the kernel unpacks both.
add_fio() {
	mkdir -p more/usr/bin
	cp "$(command -v fio)" more/usr/bin/
	# As ldd(1) does, which the lab's host does not have.
	for file in $(LD_TRACE_LOADED_OBJECTS=1 fio | grep -o '/[^ ]*'); do
		mkdir -p "more$(dirname "$file")"
		cp -L "$file" "more$file"
	done
	(cd more && find . | cpio --quiet -o -H newc) | gzip -1 >>srv/initrd
	rm -r more
}
memory=96M
[ -z "$fio" ] || { add_fio; memory=512M; }

# ---- plane and host ----
start_plane() {
	karuta-plane --folder plane --allow-unattested --release /opt/karuta/bin/karuta.manifest 2>>plane.notes &
}
export KARUTA_PLANE=$scratch/plane.json
state_of() { karuta "$1" show "$2" --json 2>/dev/null | jq -r .status.state; }
is() { [ "$(state_of "$1" "$2")" = "$3" ]; }
console() { karuta instance console web; }
rounds() { console | sed -n 's/.*GUEST round \([0-9]*\) done.*/\1/p' | tail -n 1; }
further() { [ "$(rounds)" -gt "${1:-0}" ]; }
verified() { console | grep -aq 'GUEST fio verified'; }
sees() { console | grep -a 'GUEST sees' | tail -n 1 | grep -q "$1"; }
misses() { ! sees "$1"; }

start_plane
cleanup 'pkill -KILL karuta-'
check "the plane serves" wait_for 30 eval 'karuta login https://127.0.0.1:4750 --ca plane/ca.pem <plane/admin.token'
check "a host is added" eval 'karuta host add h1 127.0.0.1 >token'
check "it is enrolled" karuta-controller enrol --token - --folder etc <token
karuta-controller serve --ca etc/ca.pem --cert etc/host.pem --key etc/host.key --files srv --audit audit --state state 2>notes &
check "the plane reaches it" wait_for 60 is host h1 unattested

# ---- an instance and its volumes ----
check "volume create" karuta volume create data --size 16M --wait
check "instance run" karuta instance run web --kernel kernel --initrd initrd --memory $memory --restart always --volume data \
	--command-line "console=ttyS0 loglevel=4 panic=-1" --wait
check "the guest writes" wait_for 300 further 0
serial=vol$(karuta volume show data --json | jq -r '.metadata.uid[:17]')
check "it has its volume, by its serial number" wait_for 20 sees "$serial"
check "another volume" karuta volume create more --size 4M --wait
serial=vol$(karuta volume show more --json | jq -r '.metadata.uid[:17]')
check "volume attach, with its trace" eval 'karuta volume attach more web --trace >trace && grep -q "ms in all" trace'
sed 's/^/# /' trace
check "the guest sees it come" wait_for 30 sees "$serial"
check "volume detach" karuta volume detach more --wait
check "the guest sees it go" wait_for 30 misses "$serial"
check "and again" karuta volume attach more web --wait

echo "# the guest has been given its disks after $SECONDS s"

[ -z "$fio" ] || check "its fio verifies" wait_for 120 verified

# ---- kills ----
serving() { pgrep -f '^karuta-controller serve --keeper'; }
declare -A rests died
# Instances and cards are started again five times a minute and not more.
may_die() { [ "${rests[$1]:-0}" -le $SECONDS ] && rests[$1]=$((SECONDS + 25)); }
# Its process in $pid.
choose_victim() {
	pid=
	case $((RANDOM % 8)) in
	0 | 1) pid=$(pgrep -f '^karuta-plane') ;;
	# Most get to do what the one before has left: a card that nobody starts again is lost to its guest after 8 s.
	2 | 3) pid=$(serving) && { [ $((RANDOM % 4)) = 0 ] || [ "$(ps -o etimes= -p "$pid")" -ge 3 ]; } || pid= ;;
	4 | 5) may_die hypervisor && pid=$(pgrep -f '^karuta-hypervisor') ;;
	*) may_die card && pid=$(pgrep -f '^karuta-card-volume' | shuf -n 1) ;;
	esac
	pid=${pid%%$'\n'*}
	[ -n "$pid" ]
}
# The other volume comes and goes. What was not acknowledged is asked for again with the next turn.
wanted=attached orders=0
turn() {
	case $wanted in
	attached) karuta volume detach more --no-wait >/dev/null 2>&1 && wanted=available ;;
	*) karuta volume attach more web --no-wait >/dev/null 2>&1 && wanted=attached ;;
	esac && orders=$((orders + 1))
}
for ((done = 0; done < kills && SECONDS < ${KARUTA_TEST_SECONDS:-1200}; )); do
	[ $((RANDOM % 4)) != 0 ] || turn
	choose_victim || { sleep 0.1; continue; }
	who=$(tr '\0' ' ' <"/proc/$pid/cmdline" | grep -oE '^karuta-[a-z]+') 2>/dev/null || continue
	kill -KILL "$pid" || continue
	[ "$who" != karuta-plane ] || start_plane
	died[$who]=$((${died[$who]:-0} + 1))
	done=$((done + 1))
	sleep "0.$((RANDOM % 10))"
done
check "$kills were killed ($done)" test $done = "$kills"
echo "# killed: $(for who in "${!died[@]}"; do echo "$who ${died[$who]}"; done | tr '\n' ' ')in $SECONDS s; $orders times attached or detached"

check "the plane serves again" wait_for 60 karuta host list
# Not detached: an attach that no plane has seen answered may come for three minutes, and the volume is nobody else's until then.
check "what it is told last is acknowledged" wait_for 60 karuta volume attach more web --no-wait
check "the instance runs" wait_for 120 is instance web running
seen=$(rounds)
check "it writes (round ${seen:-0})" wait_for 300 further "${seen:-0}"
echo "# it writes again after $SECONDS s"
[ -z "$fio" ] || check "fio verified" wait_for 120 verified
check "nothing was ever wrong there" eval "! console | grep -aiE -A 12 'wrong'"
check "data is attached" wait_for 60 is volume data attached
check "more is attached" wait_for 120 is volume more attached
check "the guest sees it" wait_for 60 sees "$serial"
console >console

# ---- the end ----
# The guest does not listen to the button.
check "instance stop" karuta instance stop web --kill --grace 0 --wait
check "instance terminate" karuta instance terminate web --wait
check "the volumes stay" eval 'is volume data available && is volume more available && [ "$(ls srv/*.vol | wc -l)" = 2 ]'
for volume in data more; do check "volume delete $volume" karuta volume delete $volume --now; done
none() { [ "$(karuta volume list --json | jq '.items | length')" = 0 ] && ! ls srv/*.vol; }
check "no volume is left, and no file" wait_for 30 none
check "no program is left" wait_for 20 sh -c "! pgrep -f 'karuta-(hypervisor|card)'"
check "the audit log holds" karuta audit verify h1
[ $failures = 0 ] || { tail -n 40 plane.notes; grep -E 'card .*(failed|lost)' notes; tail -n 60 notes; tail -n 20 console; } 2>&1 | sed 's/^/# /'
finish
