#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The program of a hypervisor is replaced while its guest runs: a guest without an operating system, and a stock kernel that
# writes to a volume and reads it back. Programs that cannot go on with the guest change nothing.
source tests/system/lib.sh
source tests/common/initramfs.sh
rounds=${KARUTA_TEST_UPDATES:-5}
linux_guest upgrade
bin=$(dirname "$(command -v karuta-controller)")
guest=$(command -v karuta-test-guest) || { skip upgrade "no karuta-test-guest beside the programs"; exit 0; }

# ---- a guest that counts ----

cat >count.json <<END
{ "name": "count", "memory": "16M", "cpus": 2, "kernel": "$guest", "command_line": "count",
  "cards": [ { "slot": 1, "name": "one", "kind": "null" } ] }
END
karuta-controller run count.json >count.console 2>count.notes &
counter=$!
cleanup "kill -9 $counter"
update() { karuta-controller update "$@" >>updates 2>&1; }
counts() { wc -l <count.console; }
further() { [ "$(counts)" -gt "$seen" ]; }
goes_on() {
	seen=$(counts)
	wait_for 10 further
}
hypervisor_of() { pgrep -P "$1" -f '^karuta-hypervisor'; }

check "a guest counts" wait_for 20 grep -q 'count 3' count.console
before=$(hypervisor_of $counter)
check "its hypervisor is updated" update count --hypervisor
check "it is another process, and the only one" sh -c "[ '$(hypervisor_of $counter)' != '$before' ] && [ '$(hypervisor_of $counter | wc -l)' = 1 ]"
check "it counts on" goes_on
check "a guest that is paused is handed over as well" sh -c "karuta-controller pause count && karuta-controller update count --hypervisor"
seen=$(counts)
sleep 0.3
check "and stays paused" test "$(counts)" = "$seen"
karuta-controller resume count >/dev/null
check "it counts on" goes_on

# ---- programs that cannot go on with it ----

# program NAME EXECUTABLE: in a folder with a manifest of its own.
program() {
	mkdir "$1"
	cp "$2" "$1/karuta-hypervisor"
	karuta-manifest make --development --release 1 --key "$bin/development.key" --output "$1/karuta.manifest" \
		"hypervisor:$1/karuta-hypervisor" >/dev/null
}
if [ -e "$bin/development.key" ]; then
	program dead /bin/false
	program idle "$bin/karuta-test-idler"
	program alien "$bin/karuta-test-hypervisor-alien"
	program mute "$bin/karuta-test-hypervisor-mute"
	program newer "$bin/karuta-test-hypervisor-newer"
	before=$(hypervisor_of $counter)
	refuse "one that ends" 'not updated: ended with exit code 1' karuta-controller update count --hypervisor dead/karuta-hypervisor
	refuse "one that never gets ready" 'did not get ready in time' karuta-controller update count --hypervisor idle/karuta-hypervisor
	refuse "one whose state is of another version" 'another version' karuta-controller update count --hypervisor alien/karuta-hypervisor
	refuse "one that falls silent with all of it in its hands" 'not updated: .*timed out' \
		karuta-controller update count --hypervisor mute/karuta-hypervisor
	check "the first one goes on" sh -c "[ '$(hypervisor_of $counter)' = '$before' ]"
	check "and the guest with it" goes_on
	check "one that is a version newer takes over" update count --hypervisor newer/karuta-hypervisor
	check "and the installed one takes over from it" update count --hypervisor
	check "the guest goes on" goes_on
else
	skip "programs that cannot take over" "no development key"
fi
check "nothing was lost or counted twice" sh -c "grep -ao 'count [0-9]*' count.console | awk '\$2 != NR - 1 { exit 1 }'"
karuta-controller kill count >/dev/null

# ---- a stock kernel and its disk ----

truncate -s 64M data.vol
head -c 64 /dev/urandom >key
make_disk_initramfs initrd <<'INIT'
pattern() { seq 100000 | sed "s/^/$1 /" 2>/dev/null | head -c 262144; }
now() { read -r up rest </proc/uptime; echo "${up%.*}${up#*.}"; }
watch_clock() {
	last=$(now)
	until ended; do
		this=$(now)
		[ $this -ge $last ] || echo "GUEST clock goes back from $last to $this"
		[ $((this - last)) -lt 300 ] || echo "GUEST slow from $last to $this"
		last=$this
		usleep 20000
	done
}
booted=$(dmesg | wc -l)
round=0
watch_clock &
until ended; do
	round=$((round + 1))
	pattern $round >/tmp/pattern 2>/dev/null
	want=$(md5sum </tmp/pattern)
	at=$((round % 96 * 4))
	dd if=/tmp/pattern of=$disk bs=64k seek=$at oflag=direct conv=fsync,notrunc 2>/dev/null || echo "GUEST write failed"
	got=$(dd if=$disk bs=64k skip=$at count=4 iflag=direct 2>/tmp/why | md5sum)
	[ "$want" = "$got" ] || echo "GUEST wrong data in round $round: $(cat /tmp/why)"
	echo "GUEST round $round at $(now) done"
done
wait
# What an emulated host makes a guest say while it boots is nothing that an update has done.
echo "GUEST complains: $(dmesg | tail -n +$((booted + 1)) | grep -ciE 'nvme.*(timeout|abort|reset|fail|polled|down)|I/O error|soft lockup|stall|unstable|clock.*jump')"
dmesg | grep -iE 'nvme|I/O error|lockup|stall|unstable' | tail -n 15
echo "GUEST interrupts: $(grep -c nvme /proc/interrupts) cpus: $(nproc)"
poweroff -f
INIT
start_linux upgrade '{ "slot": 1, "name": "data", "kind": "volume", "store": "data.vol", "key_fd": 5 }'
# A line may be in the file in part.
rounds_done() { grep -a 'GUEST round .* done' console; }
verified() { rounds_done | wc -l; }
more() { [ "$(verified)" -gt "$seen" ]; }
# How much further the host's clock is than the guest's, in hundredths of a second, when it has just ended a round.
ahead() {
	seen=$(verified)
	wait_for 60 more
	echo $(($(date +%s%2N) - $(rounds_done | tail -n 1 | sed 's/.* at \([0-9]*\) done.*/\1/')))
}

check "Linux comes up and verifies" wait_for 120 heard round
updated=0 cards=0
first=$(ahead)
for ((i = 1; i <= rounds; i++)); do
	update upgrade --hypervisor && updated=$((updated + 1))
	update upgrade data && cards=$((cards + 1))
	seen=$(verified)
	wait_for 30 more || break
	sleep 0.$((RANDOM % 10))
done
drift=$(($(ahead) - first))
check "the guest's clock is where it would be (${drift}0 ms)" test $drift -gt -100 -a $drift -lt 100
check "the hypervisor was updated $rounds times ($updated)" test $updated = "$rounds"
check "and the card ($cards)" test $cards = "$rounds"
# The guest lets the card wait, and the card is started again by the one program or the other.
kill_volume_card
karuta-controller update upgrade --hypervisor >late 2>&1
check "a card that dies as the hypervisor is updated goes on" wait_for 30 grep -q 'card data .* goes on after' notes
seen=$(verified)
check "the guest goes on" wait_for 60 more
check "a card can be updated after it" update upgrade data
check "a card is attached after it, and the guest ends its work" karuta-controller attach upgrade kind=null slot=6 name=end
check "the guest ends its work" wait_for 60 heard complains
refuse "nothing was written or read wrong, and the clock went on evenly" '^0$' \
	sh -c "grep -acE 'GUEST (wrong|write failed|clock)' console; exit 1"
check "no error, timeout or lost interrupt in the guest's log" heard 'complains: 0'
wait $controller
check "power-off ends the instance with 0" test $? = 0
grep -aE 'GUEST (wrong|write failed|clock|slow)' console | sed 's/^/# /'
echo "# $(verified) rounds verified; with a card that had died: $(cat late)"
echo "# guest stood still, ms: $(sed -n 's/.*instance .* goes on after \(.*\) ms.*/\1/p' count.notes notes | sort -n | tr '\n' ' ')"
[ $failures = 0 ] || sed 's/^/# /' console notes updates count.notes | tail -n 200
finish
