#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A stock Debian guest: systemd from the encrypted volume, nvme-cli, fio --verify, reboot, power-off, and what is on the disk after.
# tests/run puts the image's files into images/: root.vol, kernel, initrd, key.
source tests/system/lib.sh
images=/opt/karuta/images
[ -e $images/root.vol ] || { skip debian "no image in $images"; exit 0; }
cd "$scratch" || exit 1
truncate -s 96M second.vol
cp $images/key /dev/shm/key
cleanup rm -f /dev/shm/key

specification() { # NAME CHECKS
	cat <<END
{ "name": "$1", "memory": "768M", "cpus": 2, "kernel": "$images/kernel", "initrd": "$images/initrd",
  "command_line": "console=ttyS0 root=/dev/nvme0n1 rw quiet systemd.wants=karuta-checks.service karuta.cpus=2 karuta.checks=$2",
  "cards": [
    { "slot": 1, "name": "root", "kind": "volume", "store": "$images/root.vol", "key_fd": 5 },
    { "slot": 2, "name": "second", "kind": "volume", "store": "$scratch/second.vol", "key_fd": 6 } ] }
END
}

specification debian reboots,systemd_is_up,nvme_cli,nvme_features,nvme_refusals,fio_verify,file_system >debian.json
timeout 300 karuta-controller run debian.json 5</dev/shm/key 6</dev/shm/key >console 2>notes
status=$?

# What the guest said of itself.
tr -d '\r' <console | sed -n 's/^.*CHECK \(ok\|not ok\|#\)/\1/p' | tee results
failures=$((failures + $(grep -c '^not ok' results)))
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
