#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# karuta file resize and clone, natively: what they make, what they refuse, and what is left when they are cut short.
source tests/system/lib.sh
cd "$scratch" || exit 1
head -c 64 /dev/urandom >key
head -c 64 /dev/urandom >other

kib_used() { echo $(($(stat -c %b "$1") / 2)); }
# Two blocks at each end of a sparse volume, as a card would have written them.
write_ends() {
	head -c 8192 /dev/urandom | dd of="$1" bs=4096 conv=notrunc status=none
	head -c 8192 /dev/urandom | dd of="$1" bs=4096 seek=$(($2 / 4096 - 2)) conv=notrunc status=none
}
# A card that serves it, for as long as the test wants.
serve() {
	karuta-card-volume --listen serve.sock --store "file:$1" --key-fd 5 5<key >serve.log 2>&1 &
	card=$!
	cleanup "kill -9 $card"
	wait_for 20 grep -q ready serve.log
}

karuta file create a.vol --size 64M --key-fd 5 5<key >/dev/null
write_ends a.vol $((64 << 20))
cp --sparse=always a.vol as-it-was

# --- resize ---
check "resize: larger" karuta file resize a.vol 96M
check "it is as long as that" test "$(stat -c %s a.vol)" = $((96 << 20))
check "what was there is there" cmp -n $((64 << 20)) a.vol as-it-was
check "the rest is empty" cmp -i $((64 << 20)):0 -n $((32 << 20)) a.vol /dev/zero
check "the same size is no error" karuta file resize a.vol 96M
refuse "smaller is refused, and why" "cannot be made smaller: what lies behind the new end would be lost" karuta file resize a.vol 64M
check "a size that is none: 2" exits 2 karuta file resize a.vol large
check "0: 2" exits 2 karuta file resize a.vol 0
check "too much: 2" exits 2 karuta file resize a.vol 17T
refuse "a device has the size that it has" "is not a file" karuta file resize /dev/null 1M
refuse "no such file" "No such file" karuta file resize none.vol 1M
check "nothing was changed by what was refused" test "$(stat -c %s a.vol)" = $((96 << 20))

# --- clone ---
check "clone" karuta file clone a.vol b.vol
check "it is the same" cmp a.vol b.vol
check "private" test "$(stat -c %a b.vol)" = 600
check "and as sparse" test "$(kib_used b.vol)" -le $(($(kib_used a.vol) + 64))
check "the key is the same" sh -c 'karuta file export b.vol b.raw --key-fd 5 5<key && karuta file export a.vol a.raw --key-fd 5 5<key && cmp a.raw b.raw'
write_ends b.vol $((96 << 20))
check "it leads a life of its own" cmp -n $((64 << 20)) a.vol as-it-was
refuse "clone does not overwrite" "File exists" karuta file clone a.vol as-it-was
refuse "no such file" "No such file" karuta file clone none.vol c.vol
refuse "no such folder" "No such file" karuta file clone a.vol nowhere/c.vol
refuse "a device is not copied" "is not a file" karuta file clone /dev/null c.vol
karuta file create empty.vol --size 1T --key-fd 5 5<key >/dev/null
check "an empty volume of 1 TiB takes no time and no room" sh -c 'timeout 10 karuta file clone empty.vol large.vol && test "$(stat -c "%s %b" large.vol)" = "1099511627776 0"'
mkdir shm && mount -t tmpfs shm shm 2>/dev/null && cleanup "umount $scratch/shm"
if mountpoint -q shm; then
	check "clone: to another file system" karuta file clone a.vol shm/c.vol
	check "it is the same" cmp a.vol shm/c.vol
else
	skip "clone to another file system" "nothing can be mounted here"
fi

# --- in use ---
check "a card serves it" serve a.vol
refuse "resize of a volume in use: who can" "karuta-controller resize" karuta file resize a.vol 128M
refuse "clone of a volume in use" "in use" karuta file clone a.vol d.vol
kill $card
wait $card
check "afterwards it can be had" wait_for 10 karuta file clone a.vol d.vol

# --- cut short ---
head -c 512M /dev/urandom >big.vol
karuta file clone big.vol cut.vol >cut.log 2>&1 &
copy=$!
until grep -q . cut.log || ! kill -0 $copy 2>/dev/null; do sleep 0.01; done
kill -TERM $copy
if wait $copy; then
	skip "an interrupted clone" "this disk is too fast"
else
	check "an interrupted clone leaves nothing" sh -c '! ls cut.vol .karuta-*'
fi
(ulimit -f 4096 && trap '' XFSZ && karuta file clone big.vol full.vol) >full.log 2>&1
check "no room: said, and nothing is left" sh -c 'grep -q "File too large" full.log && ! ls full.vol .karuta-*'
finish
