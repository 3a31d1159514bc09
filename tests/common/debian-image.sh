# SPDX-License-Identifier: Apache-2.0
# Sourced: the Debian image of tests/system/debian.sh, built once and cached by what goes into it.

# debian_image DIRECTORY: puts root.vol, kernel, initrd and key there. karuta is in PATH.
debian_image() {
	local directory=$1 inputs=tests/guests/debian name image
	name=test-$(cat $inputs/* tests/common/debian-image.sh | sha256sum | cut -c1-12)
	export KARUTA_HOME=${KARUTA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/karuta}/test-images
	image=$KARUTA_HOME/images/$name
	if [ ! -e "$image/image.json" ]; then
		rm -rf "$KARUTA_HOME"/images/test-*
		karuta image build "$name" --suite bookworm --include nvme-cli,fio --size 1G \
			--copy $inputs/karuta-checks:/usr/local/sbin/karuta-checks \
			--copy $inputs/karuta-checks.service:/etc/systemd/system/karuta-checks.service || return
	fi
	mkdir -p "$directory"
	rm -f "$directory"/*
	cp "$image/kernel" "$image/initrd" "$directory/"
	head -c 64 /dev/urandom >"$directory/key"
	karuta file create "$directory/root.vol" --from-image "$name" --key-fd 5 5<"$directory/key"
}
