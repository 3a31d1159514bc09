# SPDX-License-Identifier: Apache-2.0
# Sourced: a small initramfs around Debian's static busybox.

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
