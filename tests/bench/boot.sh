#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Guest up to init: karuta's hypervisor beside QEMU's microvm, in one run of the lab, the same kernel, vCPUs, memory and initrd;
# and the resident memory of hypervisor plus one card, the guest's not counted.
set -eu
source tests/common/initramfs.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_initramfs "$work/initrd" <<'INIT'
#!/bin/sh
echo BENCH-INIT-REACHED
mount -t proc proc /proc 2>/dev/null
case $(cat /proc/cmdline) in
*bench=stay*) sleep 600 ;;
*bench=off*) poweroff -f ;;
esac
reboot -f # microvm ends at a reset
INIT
cp "$(karuta-lab path kernel)" "$work/kernel"
mkdir -p build/bench
karuta-lab run --qemu --file "$work/kernel:bench/kernel" --file "$work/initrd:bench/initrd" \
	--get /opt/karuta/bench/boot.json:build/bench/boot.json -- bash tests/bench/in-lab-boot.sh
