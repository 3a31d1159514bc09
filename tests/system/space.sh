#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A stock kernel uses a volume that grows under it, while snapshots are made of it. The guest writes block 0, then block 1 with
# the same number, and so on: at any instant block 0 is at most one ahead, and so it has to be in each snapshot.
source tests/system/lib.sh
source tests/common/initramfs.sh
linux_guest space
# A file system that shares blocks.
modprobe -q btrfs
modprobe -q loop
mkdir shared
truncate -s 512M shared.img
{ mkfs.btrfs -q shared.img && mount -o loop shared.img shared; } >mkfs.log 2>&1 || { skip space "no btrfs: $(tail -n 1 mkfs.log)"; exit 0; }
cleanup umount "$scratch/shared"
head -c 64 /dev/urandom >key
karuta file create shared/data.vol --size 64M --key-fd 5 5<key >/dev/null
karuta file create plain.vol --size 8M --key-fd 5 5<key >/dev/null

make_disk_initramfs initrd <<'INIT'
put() { printf '%-4096s' "$2" | dd of=$disk bs=4k count=1 seek="$1" oflag=direct conv=notrunc 2>/dev/null || echo "GUEST write failed"; }
get() { dd if=$disk bs=4k count=1 skip="$1" iflag=direct 2>/dev/null | tr -d ' '; }
watch() {
	seen=0
	until ended; do
		sectors=$(cat /sys/block/nvme0n1/size)
		[ "$sectors" = "$seen" ] && { usleep 50000; continue; }
		seen=$sectors
		put $((seen / 8 - 1)) "end$seen"
		[ "$(get $((seen / 8 - 1)))" = "end$seen" ] && echo "GUEST sectors $seen"
	done
}
watch &
n=0
until ended; do
	n=$((n + 1))
	put 0 $n
	put 1 $n
	[ $((n % 20)) = 0 ] && echo "GUEST wrote $n"
done
wait
echo "GUEST complains: $(dmesg | grep -ciE 'nvme.*(timeout|abort|reset|fail|not ready|down)|I/O error|soft lockup|stall')"
dmesg | grep -iE 'nvme|I/O error' | tail -n 15
poweroff -f
INIT
start_linux space '{ "slot": 1, "name": "data", "kind": "volume", "store": "shared/data.vol", "key_fd": 5 }'
wrote() { grep -ac 'GUEST wrote' console; }
goes_on() {
	local seen
	seen=$(wrote)
	more() { [ "$(wrote)" -gt "$seen" ]; }
	wait_for 60 more
}

check "Linux comes up and writes" wait_for 240 heard wrote
check "it has the volume's size" heard "sectors $((64 << 11))"

# --- snapshots ---
number() { dd if="$1" bs=4k count=1 skip="$2" status=none | tr -d ' '; }
consistent() {
	local first second
	first=$(number "$1" 0) second=$(number "$1" 1)
	echo "$1: $first $second"
	[ "$first" = "$second" ] || [ "$first" = $((second + 1)) ]
}
taken=0 good=0
for i in 1 2 3 4 5 6; do
	karuta-controller snapshot space data shared/snap$i.vol >>snapshots 2>&1 || break
	taken=$((taken + 1))
	sleep 0.$((RANDOM % 10))
done
check "6 snapshots are made while it writes ($taken)" test $taken = 6
for i in 1 2 3 4 5 6; do
	karuta file export shared/snap$i.vol snap.raw --key-fd 5 5<key >/dev/null 2>&1 && consistent snap.raw && good=$((good + 1))
	rm -f snap.raw
done >consistent.log
check "each of them is of one instant ($good)" test $good = 6
check "they are not of the same one" test "$(sed 's/.*://' consistent.log | sort -u | wc -l)" -gt 1
sed 's/^/# /' consistent.log snapshots
check "the guest goes on" goes_on
refuse "a snapshot does not overwrite" 'File exists' karuta-controller snapshot space data shared/snap1.vol
refuse "another file system is refused, and what to do" 'cannot share blocks.*karuta file clone' karuta-controller snapshot space data snap.vol
check "of which nothing is left" sh -c '! ls snap.vol .karuta-*'
check "the guest goes on after what was refused" goes_on
refuse "a volume in use is not cloned behind its card's back" 'in use' karuta file clone shared/data.vol shared/clone.vol
check "a snapshot is cloned, sharing its blocks" sh -c "karuta file clone shared/snap1.vol shared/clone.vol | grep -q 'share their blocks'"

# --- another size ---
check "resize" karuta-controller resize space data 96M
check "the guest has it without a reboot, to the last block" wait_for 20 heard "sectors $((96 << 11))"
refuse "it does not shrink" 'cannot be made smaller' karuta-controller resize space data 64M
refuse "nor does its file, behind its back" 'in use' karuta file resize shared/data.vol 128M
kill_volume_card
check "resize after a card's death, once it is back" wait_for 20 karuta-controller resize space data 112M
check "the guest has it" wait_for 20 heard "sectors $((112 << 11))"
check "update" karuta-controller update space data
check "resize after an update" karuta-controller resize space data 128M
check "the guest has it" wait_for 20 heard "sectors $((128 << 11))"
# The card dies while it is asked, or just before: whatever the answer, asking again leads to the size.
kill_volume_card & karuta-controller resize space data 144M >/dev/null 2>&1
wait $!
check "resize while the card dies" wait_for 20 karuta-controller resize space data 144M
check "the guest has it" wait_for 20 heard "sectors $((144 << 11))"
check "the guest goes on" goes_on
karuta-controller attach space kind=volume slot=5 name=fixed store=plain.vol size=4M key_fd=5 5<key >/dev/null
check "a size in a specification is mentioned" sh -c "karuta-controller resize space fixed 8M | grep -q 'change its size in the specification too'"
truncate -s 4M dev.vol
loop=$(losetup -f --show dev.vol) && cleanup losetup -d "$loop"
karuta-controller attach space kind=volume slot=4 name=dev store="$loop" key_fd=5 5<key >/dev/null
refuse "a device has the size that it has" 'its device has only 4194304 bytes' karuta-controller resize space dev 8M
truncate -s 8M dev.vol
losetup -c "$loop"
check "one that has grown" karuta-controller resize space dev 8M
karuta-controller attach space kind=null slot=6 name=end >/dev/null
check "the guest ends its work" wait_for 60 heard complains
refuse "nothing failed" '^0$' sh -c "grep -acE 'GUEST write failed' console; exit 1"
check "no error, timeout or reset in the guest's log" heard 'complains: 0'
wait $controller
check "power-off ends the instance with 0" test $? = 0
check "the file has the size" test "$(stat -c %s shared/data.vol)" = $((144 << 20))
check "the data is whole" sh -c "karuta file export shared/data.vol raw --key-fd 5 5<key 2>/dev/null && test \"\$(dd if=raw bs=4k count=1 skip=$((144 * 256 - 1)) status=none | tr -d ' ')\" = end$((144 << 11))"
[ $failures = 0 ] || sed 's/^/# /' console notes snapshots | tail -n 200
finish
