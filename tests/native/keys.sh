#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where the keys of a volume card and of a local-store card are, natively: in their own locked memory and nowhere else.
# system/local.sh is the same with a controller and a guest.
source tests/system/lib.sh
cd "$scratch" || exit 1
[ "$(id -u)" = 0 ] || { skip keys "only root can look into other processes"; exit 0; }
head -c 64 /dev/urandom >key

# search NAME ARGUMENT...: a card of its own, and who has its keys.
search() {
	local card files status=0
	"karuta-card-$1" --listen "$1.sock" --size 8M "${@:2}" 5<key >"$1.log" 2>&1 &
	card=$!
	cleanup "kill -9 $card"
	check "$1 card serves" wait_for 20 grep -q ready "$1.log"
	mapfile -t files < <(find "$scratch" /run /dev/shm -xdev -type f ! -name key 2>/dev/null)
	karuta-key-search $card "${files[@]}" >found || status=$?
	[ $status != 77 ] || { skip "keys of the $1 card" "$(cat found)"; return; }
	check "$1: both its keys are in its memory" grep -q 'key 1' found
	check "$1: there they are locked" sh -c '! grep ^self found | grep -v " lo "'
	check "$1: and left out of dumps" sh -c '! grep ^self found | grep -v " dd "'
	check "$1: nobody else has them" sh -c '! grep -E "^(process|file)" found'
	sed 's/^/# /' found
	[ "$1" = local ] || check "a search that finds: the key's file" sh -c "karuta-key-search $card key | grep -q 'file key'"
	kill $card
	wait $card
}
search volume --store file:volume.vol --key-fd 5
search local --store file:local.img
finish
