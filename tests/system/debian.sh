#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A stock Debian guest: systemd from the encrypted volume, nvme-cli, fio --verify, reboot, power-off, and what is on the disk after.
# tests/run puts the image's files into images/: root.vol, kernel, initrd, key.
source tests/system/lib.sh
images=/opt/karuta/images
[ -e $images/root.vol ] || { skip debian "no image in $images"; exit 0; }
rounds=${KARUTA_TEST_ROUNDS:-1} cpus=${KARUTA_TEST_CPUS:-2}
cd "$scratch" || exit 1
truncate -s 96M second.vol
cp $images/key /dev/shm/key
cleanup rm -f /dev/shm/key

specification() { # NAME CHECKS
	cat <<END
{ "name": "$1", "memory": "768M", "cpus": $cpus, "kernel": "$images/kernel", "initrd": "$images/initrd",
  "command_line": "console=ttyS0 root=/dev/nvme0n1 rw quiet systemd.wants=karuta-checks.service karuta.cpus=$cpus karuta.checks=$2",
  "cards": [
    { "slot": 1, "name": "root", "kind": "volume", "store": "$images/root.vol", "key_fd": 5 },
    { "slot": 2, "name": "second", "kind": "volume", "store": "$scratch/second.vol", "key_fd": 6 } ] }
END
}

specification debian reboots,systemd_is_up,nvme_cli,nvme_features,nvme_refusals,fio_verify,file_system >debian.json
timeout $((300 + 20 * rounds)) karuta-controller run debian.json 5</dev/shm/key 6</dev/shm/key >console 2>notes &
runner=$!
wait_for 10 pgrep -P $runner
controller=$(pgrep -P $runner)

# While the guest's fio writes and verifies, its disk's card is killed and updated again and again. It may die five times a minute.
noted() { [ "$(grep -c "card second.*$1" notes)" -ge "$2" ]; }
killed=0 updated=0
wait_for 240 grep -q 'CHECK fio begins' console
while [ $killed -lt "$rounds" ] && kill -0 $controller 2>/dev/null; do
	next=$((SECONDS + 13)) back=$(($(grep -c 'card second.*goes on after' notes) + 1))
	kill -9 "$(pgrep -P $controller -f 'karuta-card-volume.*second')" && killed=$((killed + 1))
	wait_for 30 noted 'goes on after' $back || break
	sleep 1.$((RANDOM % 10))
	karuta-controller update debian second >>updates 2>&1 && updated=$((updated + 1))
	while [ $SECONDS -lt $next ]; do sleep 0.3; done
done
karuta-controller attach debian kind=null slot=6 name=end >/dev/null
wait $runner
status=$?

# What the guest said of itself.
tr -d '\r' <console | sed -n 's/^.*CHECK \(ok\|not ok\|#\)/\1/p' | tee results
failures=$((failures + $(grep -c '^not ok' results)))
check "the card was killed $rounds times under it ($killed)" test $killed = "$rounds"
check "and updated $rounds times ($updated)" test $updated = "$rounds"
echo "# $(grep -c 'CHECK fio round' console) rounds of fio; host, ms: $(sed -n 's/.*goes on after \(.*\) ms.*/\1/p' notes | sort -n | tr '\n' ' ')"
check "the guest ended its checks" grep -q 'CHECK done' console
check "the guest rebooted once and came back" grep -q 'CHECK boot 2' console
check "the guest's power-off ends the instance with 0" test $status = 0
[ $failures = 0 ] || { sed 's/^/# notes: /' notes; tail -n 40 console | sed 's/^/# console: /'; }

# What is on the disk.
pattern=$(yes 'karuta plain text pattern 0123456789' | head -c 64)
check "no plain block in the volume's file" sh -c "! grep -qaF 'plain text pattern' second.vol"
check "the volume's file is not empty" test "$(du -k second.vol | cut -f1)" -gt 12000
modprobe -q loop
modprobe -q dm-crypt
check "cryptsetup opens the volume" cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --sector-size 4096 \
	--key-file /dev/shm/key second.vol karuta-second
cleanup cryptsetup close karuta-second
mkdir mnt
check "its file system mounts" mount -o ro /dev/mapper/karuta-second mnt
cleanup umount "$scratch/mnt"
check "the files are what the guest wrote" grep -q "sum $(cat mnt/pattern mnt/random | sha256sum | cut -d' ' -f1)" console
check "the pattern is there, decrypted" grep -q "$pattern" mnt/pattern
finish
