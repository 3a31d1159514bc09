# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Makes what the lab needs, once: the emulator's tree and the emulated host's root. Each result is a
# directory named after the hash of its inputs, made aside and renamed when it is whole.
#
#   qemu-KEY/   root/ (QEMU and its libraries)   qemu.img (the same as a file system)
#   host-KEY/   root.img (partition 1: ext4)     vmlinuz   vmlinux

readonly EMULATOR_SUITE=trixie
readonly ROOT_DISK_ID=4b415255 # the disk signature, by which the kernel finds its root

progress() { printf 'karuta-lab: [%3d s] %s\n' "$SECONDS" "$*" >&2; }

host_suite() {
	local name
	name=${KARUTA_LAB_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")}
	case $name in
	bookworm | trixie) echo "$name" ;;
	*) die "the lab runs programs built on Debian 12 or 13; this is '$name'" ;;
	esac
}

# packages FILE SUITE: the list, comma-separated.
packages() {
	sed 's/#.*//' "$lab/$1.packages" | tr -s ' ' '\n' |
		sed -n "s/^$2://; /:/d; /./p" | paste -sd,
}

# The directory of each artefact. The key covers everything that decides its content.
qemu_dir() { echo "$cache/qemu-$(key "$EMULATOR_SUITE" "$lab/qemu.packages" "$lab/image.sh")"; }
host_dir() {
	local suite
	suite=$(host_suite)
	echo "$cache/host-$(key "$suite" "$lab/host.packages" "$lab/image.sh" "$lab/init")"
}
key() {
	local suite=$1
	shift
	{ echo "$suite" && cat "$@"; } | sha256sum | cut -c1-16
}

# The archive that this machine itself uses, whatever the format of its source lists.
mirror() {
	local uri
	uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk '$2 ~ /^(bookworm|trixie|stable|oldstable)$/ && $3 == "main" { print $1; exit }')
	[ -n "$uri" ] || die "no Debian 12 or 13 archive (main) among this machine's apt sources"
	echo "$uri"
}

need() {
	local missing=()
	command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
	command -v mke2fs >/dev/null || missing+=(e2fsprogs)
	[ ${#missing[@]} = 0 ] || die "packages are missing; run: sudo apt-get install ${missing[*]}"
	[ "$(id -u)" = 0 ] || die "the lab is made by root, once; run: sudo env KARUTA_CACHE=${cache%/lab} $0 build"
}

# unpack LIST SUITE DIR: the packages and what they depend on, without running their scripts. The
# kernel is 6.12 on every host: of the backports in bookworm, of trixie itself there.
unpack() {
	local uri release=$2-backports log=$3.log
	[ "$1 $2" != "host trixie" ] || release=$2
	uri=$(mirror)
	mmdebstrap --mode=root --variant=extract --format=directory \
		--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include="$(packages "$1" "$2")" \
		--aptopt="APT::Default-Release \"$release\"" \
		"$2" "$3" "deb $uri $2 main" "deb $uri $2-backports main" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "cannot unpack the packages of $1.packages"
	}
	rm -rf "$3"/usr/share/{doc,man,locale,info,lintian} "$3"/var/{lib/apt,lib/dpkg,cache}/*
}

# tree_tool DIR NAME [PROGRAM]: sets `tool` to the command that runs a program of an unpacked tree
# through that tree's own loader, and `root` to DIR.
tree_tool() {
	root=$1
	tool=("$root/usr/lib64/ld-linux-x86-64.so.2" --argv0 "$2"
		--library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/${3:-$2}")
}

# pack DIR IMAGE SIZE OFFSET
pack() {
	mke2fs -Fq -t ext4 -O '^has_journal' -m 0 \
		-E "root_owner=0:0,lazy_itable_init=1,nodiscard,offset=$4" -d "$1" "$2" "$3" >/dev/null
}

# The kernel's own image, so that the emulated processor need not unpack it (Linux boot protocol:
# setup_sects, payload_offset, payload_length).
extract_vmlinux() {
	local sects offset length root tool
	tree_tool "$1" zstd
	sects=$(od -An -tu1 -j $((0x1f1)) -N1 "$2")
	offset=$(od -An -tu4 -j $((0x248)) -N4 "$2")
	length=$(od -An -tu4 -j $((0x24c)) -N4 "$2")
	# Behind the stream stands its unpacked size, 4 bytes that are not zstd's.
	offset=$((offset + (sects + 1) * 512))
	head -c $((offset + length - 4)) "$2" | tail -c +$((offset + 1)) |
		"${tool[@]}" -dc >"$3" || die "cannot unpack the kernel"
}

# What maintainer scripts would have done, as far as a test host needs it.
furnish() {
	local root=$1 tool
	install -m 755 "$lab/init" "$root/init"
	cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
	cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
	sed -i 's/:\*:/:x:/' "$root/etc/passwd"
	echo 'hosts: files' >"$root/etc/nsswitch.conf"
	printf '127.0.0.1 localhost lab\n::1 localhost\n' >"$root/etc/hosts"
	ln -sf mawk "$root/usr/bin/awk"
	ln -sf dash "$root/usr/bin/sh"
	ln -sf /proc/self/mounts "$root/etc/mtab"
	mkdir -p "$root"/{proc,sys,dev,run,tmp} "$root"/opt/{karuta,qemu}
	# KVM is wanted at every start: packed modules cost the emulated processor half a second.
	find "$root/usr/lib/modules" -regex '.*/\(kvm\|kvm-amd\|irqbypass\)\.ko\.xz' -exec xz -d {} +
	tree_tool "$root" depmod kmod
	"${tool[@]}" -b "$root" -C /dev/null "$(ls "$root/usr/lib/modules")"
}

write_partition_table() {
	local sectors=$(($(stat -c %s "$1") / 512 - 2048)) table
	# signature, 2 zeros, then: inactive, CHS unused, type 0x83, first sector 2048, count
	table="$(le32 $((16#$ROOT_DISK_ID)))\0\0\0\0\0\0\x83\0\0\0$(le32 2048)$(le32 "$sectors")"
	printf "$table" | dd of="$1" bs=1 seek=440 conv=notrunc status=none
	printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
}
le32() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24)); }

make_qemu() {
	progress "emulator: downloading and unpacking QEMU (some 70 MB)"
	unpack qemu "$EMULATOR_SUITE" "$1/root"
	pack "$1/root" "$1/qemu.img" 512M 0
	progress "emulator: done"
}

make_host() {
	progress "emulated host: downloading and unpacking $(host_suite) (some 110 MB)"
	unpack host "$(host_suite)" "$1/root"
	progress "emulated host: making its disk"
	mv "$1"/root/boot/vmlinuz-* "$1/vmlinuz"
	extract_vmlinux "$1/root" "$1/vmlinuz" "$1/vmlinux"
	furnish "$1/root"
	pack "$1/root" "$1/root.img" 8G 1048576
	write_partition_table "$1/root.img"
	rm -rf --one-file-system "$1/root"
	progress "emulated host: done"
}

# build_one NAME DIR
build_one() {
	[ -d "$2" ] && return
	mkdir -p "$cache/tmp.$1"
	"make_$1" "$cache/tmp.$1"
	mv -T "$cache/tmp.$1" "$2"
}

# What a killed build left, and what no run used for a month.
sweep() {
	rm -rf --one-file-system "$cache"/tmp.*
	find "$cache" -mindepth 1 -maxdepth 1 -name '*-*' -mtime +30 -exec rm -rf --one-file-system {} +
}

build_all() (
	need
	exec 9>"$cache/lock"
	flock -n 9 || { progress "waiting for another build" && flock 9; }
	sweep
	build_one qemu "$1" &
	build_one host "$2"
	wait $!
)

build() {
	local qemu host
	qemu=$(qemu_dir)
	host=$(host_dir)
	mkdir -p "$cache"
	if [ ! -d "$qemu" ] || [ ! -d "$host" ]; then
		build_all "$qemu" "$host"
	fi
	touch "$qemu" "$host" 2>/dev/null || true # in use; root's artefacts may serve others
}
