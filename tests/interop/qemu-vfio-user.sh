#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Another hypervisor uses the volume card as it is: QEMU (11.1, vfio-user-pci) runs a stock Debian
# kernel whose only disk is a stand-alone card.
#
#   boot 1  memory shared with the card: writes patterns, flushes, reads them back; the card is killed
#   boot 2  a new card, another start of the guest: the same data is there
#   boot 3  memory not shared, so every transfer is a message: reads those, and writes more
#
# Between them: nothing of the patterns stands in the clear in the file on the host's disk.
# Exit status: 0 pass, 1 fail, 77 skip.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
bin=${KARUTA_BIN:-$here/../../build/bin}
. "$here/../common/initramfs.sh"

skip() { echo "$*" && exit 77; }
fail() {
	echo "FAIL: $*"
	tail -n 30 "$work/console" "$work/qemu.log" "$work/card.log" 2>/dev/null || true
	exit 1
}

[ -x "$bin/karuta-card-volume" ] || skip "karuta-card-volume is not built"
for tool in busybox cpio; do
	command -v $tool >/dev/null || skip "$tool is missing"
done
[ "$(id -u)" = 0 ] || skip "the initramfs needs root (device nodes)"
"$bin/karuta-lab" build || skip "the lab's QEMU cannot be had"
kernel=$("$bin/karuta-lab" path kernel)

work=$(mktemp -d)
card=
trap 'kill_card; rm -rf "$work"' EXIT

# Text whose every line tells its place, so that a misplaced block shows. Guest and host each make it.
readonly MIB=4 FAR=900
pattern_code="pattern() { seq 400000 | sed \"s/^/\$1 /\" | head -c $((MIB << 20)); }"
eval "$pattern_code"
checksum() { { pattern "$1" || true; } 2>/dev/null | sha256sum | cut -d' ' -f1; }

# Prints what it sees as lines "RESULT NAME VALUE".
guest_init() {
	printf '#!/bin/sh\n%s\nMIB=%d FAR=%d\n' "$pattern_code" $MIB $FAR
	cat <<'INIT'
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
disk=/dev/nvme0n1
write() {
	pattern "$1" 2>/dev/null >/tmp/pattern
	dd if=/tmp/pattern of=$disk bs=1M seek="$2" oflag=direct conv=fsync 2>/dev/null || echo "RESULT write failed"
}
read_back() {
	echo "RESULT $1 $(dd if=$disk bs=1M skip="$2" count=$MIB iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1)"
}
n=0
until [ -b $disk ] || [ $n = 100 ]; do
	sleep 0.1
	n=$((n + 1))
done
echo "RESULT sectors $(cat /sys/block/nvme0n1/size)"
read -r stage </proc/cmdline
stage=${stage##*stage=}
[ "$stage" != 1 ] || { write first 0 && write second $FAR; }
[ "$stage" != 3 ] || write third 64
read_back first 0
read_back second $FAR
[ "$stage" != 3 ] || read_back third 64
echo "RESULT unwritten $(dd if=$disk bs=1M skip=512 count=1 2>/dev/null | tr -d '\0' | wc -c)"
poweroff -f
INIT
}

start_card() {
	local n=0
	socket=$work/card-$1.sock
	"$bin/karuta-card-volume" --listen "$socket" --store "file:$work/volume" --size 1G --key-fd 3 \
		3<"$work/key" >>"$work/card.log" 2>&1 &
	card=$!
	until [ -S "$socket" ]; do
		n=$((n + 1))
		kill -0 $card && [ $n -lt 100 ] || fail "the card does not listen"
		sleep 0.1
	done
}

kill_card() {
	[ -n "$card" ] || return 0
	kill -9 $card 2>/dev/null || true
	wait $card 2>/dev/null || true
	card=
}

# boot STAGE MEMORY: "memfd,share=on" is passed to the card; "ram" has no descriptor to pass.
boot() {
	local device='{"driver":"vfio-user-pci","socket":{"type":"unix","path":"'$socket'"}}'
	timeout 240 "$bin/karuta-lab" qemu -- -accel tcg -cpu max -smp 2 -m 512 \
		-machine q35,memory-backend=mem -object "memory-backend-$2,id=mem,size=512M" \
		-nodefaults -no-user-config -display none -no-reboot -serial "file:$work/console" \
		-kernel "$kernel" -initrd "$work/initramfs" -device "$device" \
		-append "console=ttyS0 quiet panic=-1 stage=$1" </dev/null >"$work/qemu.log" 2>&1 ||
		fail "boot $1: QEMU ended with status $?"
	kill -0 $card || fail "boot $1: the card ended"
}

# expect STAGE WORD VALUE
expect() {
	local got
	got=$(tr -d '\r' <"$work/console" | sed -n "s/^RESULT $2 //p")
	[ "$got" = "$3" ] || fail "boot $1: $2 is '$got', not '$3'"
	echo "boot $1: $2: $3"
}

# expect_all STAGE PATTERN...: what the guest saw.
expect_all() {
	local stage=$1 word
	shift
	expect "$stage" sectors $((1 << 21))
	for word; do
		expect "$stage" "$word" "$(checksum "$word")"
	done
	expect "$stage" unwritten 0
}

holds_pattern() { tr -d '\0' | grep -aE '(first|second|third) [0-9]{5}' >/dev/null; }

expect_ciphertext() {
	local kib
	kib=$(du -k "$work/volume" | cut -f1)
	[ "$kib" -ge $((2 * MIB << 10)) ] || fail "the file holds only $kib KiB"
	{ pattern first || true; } 2>/dev/null | holds_pattern || fail "the search for patterns finds none in a pattern"
	! holds_pattern <"$work/volume" || fail "a pattern stands in the clear in the file"
	echo "the file holds $kib KiB and no pattern"
}

head -c 64 /dev/urandom >"$work/key"
guest_init | make_initramfs "$work/initramfs"

start_card 1
boot 1 memfd,share=on
expect_all 1 first second
kill_card
expect_ciphertext

start_card 2
boot 2 memfd,share=on
expect_all 2 first second
kill_card

start_card 3
boot 3 ram
expect_all 3 first second third
kill_card
expect_ciphertext
