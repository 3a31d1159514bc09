#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# karuta(1), natively: images imported and built, volumes made from them, and what is left behind when
# that is cut short.
source tests/system/lib.sh
cd "$scratch" || exit 1
export KARUTA_HOME=$scratch/home
images=$KARUTA_HOME/images
head -c 64 /dev/urandom >key
head -c 64 /dev/urandom >other
head -c 63 /dev/urandom >short

# shellcheck disable=SC2012
names() { ls -A "$@" | tr '\n' ' '; }
is_empty() { [ -z "$(ls -A "$1" 2>/dev/null)" ]; }
facts() { karuta image show "$1" --json | jq -r "$2"; }
in_image() { debugfs -R "cat $2" "$images/$1/root.img" 2>/dev/null; }

# --- the command line ---
check "--help tells all commands" sh -c 'karuta --help | grep -q "karuta file create"'
for verb in "image build" "image import" "image list" "image show" "image delete" "file create" "file check" "file resize" "file clone" "file export"; do
	# shellcheck disable=SC2086
	check "$verb --help" sh -c "karuta $verb --help | grep -q 'Usage: karuta $verb'"
done
check "--version" sh -c 'karuta --version | grep -q "^karuta [0-9]"'
check "a wrong command line ends with 2" exits 2 karuta image build web --suite etch
refuse "an unknown command is named" "no command 'image paint'" karuta image paint
refuse "an unknown option is named" "no option --colour" karuta image list --colour
refuse "an image that does not exist: what to do" "karuta image list" karuta image show nothing
refuse "an image's name stays in its folder" "a name has" karuta image delete ../home

# --- import ---
mkdir -p tree/boot tree/etc
echo 'ID=test' >tree/etc/os-release
head -c 300000 /dev/urandom >tree/boot/vmlinuz-5.10-test
head -c 200000 /dev/urandom >tree/boot/vmlinuz-6.1-test
head -c 100000 /dev/urandom >tree/boot/initrd.img-6.1-test
echo "this is a kernel's neighbour" >tree/boot/config-6.1-test
truncate -s 64M whole.img
mke2fs -q -F -t ext4 -d tree whole.img
qemu-img convert -O qcow2 whole.img whole.qcow2
truncate -s 70M parted.img
printf '\200\0\0\0\203\0\0\0\0\010\0\0\0\0\002\0' | dd of=parted.img bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of=parted.img bs=1 seek=510 conv=notrunc status=none
dd if=whole.img of=parted.img bs=1M seek=1 conv=notrunc,sparse status=none

check "import: a raw disk" karuta image import whole whole.img
check "its newest kernel was taken out" cmp "$images/whole/kernel" tree/boot/vmlinuz-6.1-test
check "and the initrd of this kernel" cmp "$images/whole/initrd" tree/boot/initrd.img-6.1-test
check "the disk is the same" cmp "$images/whole/root.img" whole.img
check "its checksum is in image.json" test "$(facts whole '.sha256["root.img"]')" = "$(sha256sum <whole.img | cut -d' ' -f1)"
check "its root device is known" test "$(facts whole .root)" = /dev/nvme0n1
check "import: a qcow2 disk" karuta image import packed whole.qcow2
check "gives the same disk" cmp "$images/packed/root.img" whole.img
check "import: a partitioned disk" karuta image import parted parted.img
check "its root device is known" test "$(facts parted '.root + " " + (.sector | tostring)')" = "/dev/nvme0n1p1 512"
check "its kernel was taken out" cmp "$images/parted/kernel" tree/boot/vmlinuz-6.1-test
refuse "a name that is taken" "exists already" karuta image import whole whole.img
qemu-img create -q -f qcow2 -b "$scratch/whole.img" -F raw child.qcow2
refuse "a qcow2 file that refers to another file" "backing file" karuta image import child child.qcow2
head -c 100 whole.qcow2 >cut.qcow2
refuse "a qcow2 file that is cut off" "too short" karuta image import cut cut.qcow2
head -c 1M /dev/urandom >noise.img
refuse "a disk without a file system" "no root file system" karuta image import noise noise.img
rm -r tree/boot
truncate -s 16M bare.img
mke2fs -q -F -t ext4 -d tree bare.img
refuse "a system without a kernel" "no kernel" karuta image import bare bare.img
refuse "a file that is not there" "No such file" karuta image import none none.img
check "refused disks leave nothing" test "$(names "$images")" = "packed parted whole "
check "list shows all images" test "$(karuta image list --json | jq -r '.[].name' | tr '\n' ' ')" = "packed parted whole "
check "delete removes one" sh -c 'karuta image delete packed && ! karuta image show packed'

# --- volumes ---
check "create: from an image" karuta file create disk.vol --from-image whole --size 128M --key-fd 5 5<key
check "the file is private" test "$(stat -c %a disk.vol)" = 600
check "it is sparse" test "$(($(stat -c %b disk.vol) * 512))" -lt $((16 << 20))
check "the right key is known" karuta file check disk.vol --key-fd 5 5<key
refuse "another key is told" "wrong key" karuta file check disk.vol --key-fd 5 5<other
check "export: the volume, decrypted" karuta file export disk.vol clear.img --key-fd 5 5<key
check "begins with the image" cmp -n $((64 << 20)) clear.img whole.img
check "and ends with zeros" cmp -i $((64 << 20)):0 -n $((64 << 20)) clear.img /dev/zero
check "no plain text is on the disk" sh -c "grep -q 'a kernel.s neighbour' clear.img && ! grep -q 'a kernel.s neighbour' disk.vol"
refuse "export does not overwrite" "File exists" karuta file export disk.vol clear.img --key-fd 5 5<key
refuse "create does not overwrite" "not overwritten" karuta file create disk.vol --size 1G --key-fd 5 5<key
refuse "a volume that is smaller than its image" "at least 64 MiB" karuta file create small.vol --from-image whole --size 32M --key-fd 5 5<key
refuse "a key that is too short" "too short" karuta file create bad.vol --size 1G --key-fd 5 5<short
refuse "a descriptor that is not open" "open descriptor" karuta file create bad.vol --size 1G --key-fd 77
check "without a size: 2" exits 2 karuta file create bad.vol --key-fd 5 5<key
check "an empty volume" karuta file create empty.vol --size 1G --key-fd 5 5<key
check "takes no room" test "$(stat -c %b empty.vol)" -le 8
check "refused volumes leave nothing" test "$(names ./*.vol)" = "./disk.vol ./empty.vol "
(ulimit -f 4096 && trap '' XFSZ && karuta file create full.vol --from-image whole --size 128M --key-fd 5 5<key) >full.log 2>&1
check "no room: said, and nothing is left" sh -c 'grep -q "File too large" full.log && ! ls full.vol .karuta-*'

# --- builds that do not end ---
check "delete the rest" sh -c 'karuta image delete whole && karuta image delete parted'
mirror_is_there() { timeout 60 apt-get download --print-uris base-files; }
if ! mirror_is_there >/dev/null 2>&1; then
	skip "image build" "no Debian mirror answers"
	finish
	exit
fi
builder() { pgrep -f "mmdebstrap .*$images"; }
karuta image build broken --suite bookworm >build.log 2>&1 &
build=$!
check "a build is under way" wait_for 30 builder
kill -TERM $build
check "an interrupted build ends with 1" exits 1 wait $build
check "and leaves nothing" is_empty "$images"
check "and nobody" eval '! builder'
karuta image build broken --suite bookworm >build.log 2>&1 &
build=$!
wait_for 30 builder
kill -KILL $build
{ wait $build; } 2>/dev/null
for pid in $(builder); do kill -KILL "$pid"; done
wait_for 10 eval '! builder'
refuse "a package that does not exist is named" "no-such-package" karuta image build broken --suite bookworm --include no-such-package
check "that leaves nothing, nor does a build that was killed before" is_empty "$images"
refuse "a file to copy that does not exist" "nowhere" karuta image build broken --suite bookworm --copy nowhere:/x
check "leaves nothing" is_empty "$images"

# --- a whole one: another release than, most likely, this machine's ---
echo hello >greeting
check "build: a Debian" karuta image build deb --suite trixie --size 1500M --include less --copy greeting:/lib/karuta/greeting
check "it is what was asked for" sh -c "debugfs -R 'cat /usr/lib/os-release' $images/deb/root.img 2>/dev/null | grep -q trixie"
check "with the package" test -n "$(in_image deb /usr/bin/less | head -c 4)"
check "with the file, below a link" test "$(in_image deb /usr/lib/karuta/greeting)" = hello
check "its root account is locked" test "$(in_image deb /etc/shadow | sed -n 's/^root:\([^:]*\):.*/\1/p')" = '*'
check "nothing of this machine's network is in it" test -z "$(in_image deb /etc/resolv.conf)"
check "the kernel is the package's own" sh -c "debugfs -R 'dump /boot/$(facts deb .kernel) k' $images/deb/root.img 2>/dev/null; cmp k $images/deb/kernel"
check "the initrd is this kernel's" sh -c "debugfs -R 'dump /boot/$(facts deb .initrd) i' $images/deb/root.img 2>/dev/null; cmp i $images/deb/initrd"
check "the file system is sound" e2fsck -fn "$images/deb/root.img"
check "its UUID is in its fstab" sh -c "debugfs -R 'cat /etc/fstab' $images/deb/root.img 2>/dev/null | grep -q $(facts deb .uuid)"
finish
