#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Local disks under a stock kernel, in a file, on a whole disk, and on one that cannot discard: they begin empty, forget all when
# they are stopped, keep it when their card dies; and who else has the keys of a local disk and of a volume.
source tests/system/lib.sh
source tests/common/initramfs.sh
linux_guest local jq

# What somebody left behind is on all of them.
disks=(file)
head -c 16M /dev/urandom >file.img
head -c 16M /dev/urandom >disk.img
cp disk.img noise
modprobe -q loop
loop=$(losetup -f --show disk.img 2>/dev/null) && disks+=(disk) && cleanup losetup -d "$loop"
# A disk in memory without discard: what is to read as zeros has to be written.
null=/sys/kernel/config/nullb/karuta
modprobe -q null_blk nr_devices=0 && { mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config; }
if mkdir $null 2>/dev/null; then
	cleanup "echo 0 >$null/power; rmdir $null"
	echo 1 >$null/memory_backed && echo 16 >$null/size && echo 0 >$null/discard && echo 1 >$null/power
	plain=/dev/karuta # older kernels number it
	[ -b $plain ] || plain=/dev/nullb$(cat $null/index)
	dd if=noise of="$plain" bs=1M oflag=direct status=none && disks+=(plain)
fi
declare -A store=([file]=file.img [disk]=$loop [plain]=$plain)
truncate -s 16M data.vol
head -c 64 /dev/urandom >key

make_initramfs initrd <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
get() { dd if=/dev/$1 bs=4k count=1 skip=$2 iflag=direct 2>/dev/null | tr -d ' '; }
put() { printf '%-4096s' "a pattern" | dd of=/dev/$1 bs=4k count=1 seek=$2 oflag=direct conv=notrunc 2>/dev/null; }
ended() { [ -e /sys/bus/pci/devices/0000:00:06.0 ]; }
holds() { [ "$(get $1 0)$(get $1 $2)" = "apatternapattern" ]; }
meet() {
	name=$(tr -d ' ' </sys/class/nvme/$1/serial)
	last=$(($(cat /sys/block/${1}n1/size) / 8 - 1))
	left=$(dd if=/dev/${1}n1 bs=1M iflag=direct 2>/dev/null | tr -d '\0' | wc -c)
	put ${1}n1 0
	put ${1}n1 $last
	holds ${1}n1 $last && echo "GUEST $name of $((last + 1)) blocks, $left bytes left behind"
}
echo "GUEST up"
until ended; do
	for path in /sys/class/nvme/nvme*; do
		c=${path##*/}
		[ -b /dev/${c}n1 ] || continue
		met=/tmp/met.$(stat -c %i $path/serial) # another number for another disk of the same name
		if [ -e $met ]; then
			holds ${c}n1 $(($(cat /sys/block/${c}n1/size) / 8 - 1)) && echo "GUEST holds $(tr -d ' ' <$path/serial)"
		else
			touch $met
			meet $c
		fi
	done
	usleep 100000
done
echo "GUEST complains: $(dmesg | grep -ciE 'nvme.*(timeout|abort|reset|fail|not ready)|I/O error')"
poweroff -f
INIT
slot=0 cards=
for disk in "${disks[@]}"; do
	slot=$((slot + 1))
	cards+="{ \"slot\": $slot, \"name\": \"$disk\", \"kind\": \"local\", \"store\": \"${store[$disk]}\" }, "
done
cards+='{ "slot": 5, "name": "vol", "kind": "volume", "store": "data.vol", "key_fd": 5 }'
# Whoever could dump core here would.
mkdir cores
pattern=$(cat /proc/sys/kernel/core_pattern)
cleanup "echo '$pattern' >/proc/sys/kernel/core_pattern"
echo "$scratch/cores/core.%p" >/proc/sys/kernel/core_pattern
ulimit -c unlimited
start_linux local "$cards"
again() {
	local seen
	seen=$(grep -ac "GUEST holds $1" console)
	more() { [ "$(grep -ac "GUEST holds $1" console)" -ge $((seen + 2)) ]; }
	wait_for 60 more
}
pid_of() { karuta-controller status local --json | jq ".cards[] | select(.name == \"$1\").pid"; }

check "Linux comes up" wait_for 240 heard up
for disk in "${disks[@]}"; do
	check "$disk: begins empty, in all its size" wait_for 60 heard "$disk of 4096 blocks, 0 bytes left behind"
done
wait_for 60 heard 'vol of'

# --- the keys ---
first_block() { head -c 4096 "${store[$1]}" | md5sum; }
printf '%-4096s' "a pattern" | md5sum >pattern
for disk in "${disks[@]}"; do first_block "$disk"; done >blocks
check "the same block is other cipher text on each disk" test "$(sort -u blocks | wc -l)" = ${#disks[@]}
check "and never plain text" sh -c '! grep -qFf pattern blocks'

# search NAME [ALLOWED]: ALLOWED is a pattern of what else may have the key.
search() {
	local files
	mapfile -t files < <(find "$scratch" /tmp /run /var /dev/shm -xdev -type f ! -path "$scratch/key" 2>/dev/null)
	karuta-key-search "$(pid_of "$1")" "${files[@]}" ${loop:+"$loop"} ${plain:+"$plain"} >found.all
	case $? in
	77) skip "keys of $1" "$(cat found.all)" && return ;;
	0) ;;
	*) not_ok "the search for keys of $1" && return ;;
	esac
	grep -vE "^process [0-9]+ ${2:-nobody} " found.all >found
	check "$1: both its keys are in its memory" grep -q 'key 1' found
	check "there they are locked" sh -c '! grep ^self found | grep -v " lo "'
	check "and left out of dumps" sh -c '! grep ^self found | grep -v " dd "'
	check "nobody else has them${2:+, but for $2}" sh -c '! grep -E "^(process|file)" found'
	sed 's/^/# /' found.all
}
search "${disks[0]}"
# The controller gives a volume's key to the next process.
search vol karuta-controll
check "a search that finds: the key's file" sh -c "karuta-key-search $(pid_of vol) key | grep -q 'file key'"
# Not a child of this shell, which would clean up here if the signal came before it is another program.
sh -c 'kill -ABRT $$'
check "others dump core" wait_for 5 sh -c 'ls cores | grep -q .'
rm -f cores/*

# --- death, and the end ---
kill -ABRT "$(pid_of "${disks[0]}")"
check "a card that dies dumps none" sh -c 'sleep 1; ! ls cores | grep -q .'
check "the next process has the same data" again "${disks[0]}"
for disk in "${disks[@]}"; do
	check "$disk: stop" karuta-controller detach local "$disk"
	check "$disk: start" karuta-controller attach local kind=local name="$disk" store="${store[$disk]}"
	check "$disk: it is empty" wait_for 60 heard "$disk of 4096 blocks, 0 bytes left behind" 2
done
karuta-controller attach local kind=null slot=6 name=end >/dev/null
check "the guest ends its work" wait_for 60 heard complains
check "no error, timeout or reset in the guest's log" heard 'complains: 0'
wait $controller
check "power-off ends the instance with 0" test $? = 0
[ $failures = 0 ] || sed 's/^/# /' console notes | tail -n 200
finish
