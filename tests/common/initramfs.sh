# SPDX-License-Identifier: Apache-2.0
# Sourced: small initramfses around Debian's static busybox.

# make_initramfs FILE: an initramfs whose /init is standard input.
make_initramfs() {
	local file=$1 root applet
	root=$(mktemp -d)
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,mnt}
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in $("$root/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
	done
	cat >"$root/init"
	chmod 755 "$root/init"
	# A console before the kernel mounts devtmpfs: init's output goes there.
	mknod "$root/dev/console" c 5 1
	(cd "$root" && find . | cpio --quiet -o -H newc) | gzip -1 >"$file"
	rm -rf "$root"
}

# make_disk_initramfs FILE: the same for a guest with a disk: waits for it, then does what standard input says. That may use
#	$disk	the disk
#	slot N	whether there is a card in slot N
#	ended	whether there is one in slot 6, by which the host says that it is enough
make_disk_initramfs() {
	{
		cat <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
disk=/dev/nvme0n1
n=0
until [ -b $disk ] || [ $n = 100 ]; do sleep 0.1; n=$((n + 1)); done
[ -b $disk ] || { echo "GUEST has no disk"; poweroff -f; }
slot() { [ -e /sys/bus/pci/devices/0000:00:0$1.0 ]; }
ended() { slot 6; }
INIT
		cat
	} | make_initramfs "$1"
}
