#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Others beside the card, on the same files: qemu-storage-daemon's vhost-user-blk with and without LUKS, its thread polling on core 1 as the
# card does, its driver (bench_vhost) on core 0 as the card's. build/bench/peers.json
source tests/bench/lib.sh
command -v qemu-storage-daemon >/dev/null || skip "needs qemu-storage-daemon (Debian: qemu-system-common)"
vhost=build/tests/bench/bench_vhost
work=$(mktemp -d) disk=${BENCH_DIR:-build/bench}/peers memory=/dev/shm/karuta-peers
trap 'rm -rf "$work" "$disk".* "$memory".*' EXIT
four="randwrite:4:1 randwrite:4:32 randread:4:1 randread:4:32"
secret=(--object secret,id=key,data=secret)

# peer NAME BLOCKDEV...: the last is the one that is exported, as "disk"
peer() {
	local name=$1 pattern patterns=() server
	for pattern in $four; do patterns+=(-p "$pattern"); done
	shift
	taskset -c 1 qemu-storage-daemon "${secret[@]}" "$@" --object iothread,id=thread,poll-max-ns=1000000 \
		--export vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path="$work/socket",writable=on,iothread=thread &
	server=$!
	for ((i = 0; i < 100; i++)); do [ -S "$work/socket" ] && break; sleep 0.05; done
	timeout 300 $vhost -n "$name" -t "$seconds" "${patterns[@]}" "$work/socket" ${size%M} >>"$out.lines" || { echo "not ok - $name"; exit 1; }
	kill $server
	wait $server 2>/dev/null
	rm -f "$work/socket"
}

# place NAME FILE DIRECT
place() {
	local how="driver=file,aio=io_uring,cache.direct=$3" direct=()
	[ "$3" = off ] || direct=(--direct)
	peer "$1, QEMU" --blockdev "$how,filename=$2.img,node-name=disk"
	peer "$1, QEMU, LUKS" --blockdev "$how,filename=$2.luks,node-name=file" --blockdev driver=luks,node-name=disk,file=file,key-secret=key
	measure "$1, card, bare" "$four" $bare --poll --store "file:$2.img" "${direct[@]}"
	measure "$1, card, encrypted" "$four" $card --poll --store "file:$2.img" "${direct[@]}" --key-fd 6
}

start peers
for file in "$disk" "$memory"; do
	fill "$file.img" || exit 1
	qemu-img create -q -f luks "${secret[@]}" -o key-secret=key,iter-time=10,preallocation=full "$file.luks" $size || exit 1
done
for ((round = 0; round < rounds; round++)); do
	place "page cache" "$disk" off
	[ "$(stat -f -c %T /dev/shm)" != tmpfs ] || place "tmpfs, O_DIRECT" "$memory" on
done
finish null '
	(("page cache", "tmpfs, O_DIRECT") as $place | ("randread 4K", "randwrite 4K") as $pattern | (1, 32) as $depth |
		at_least("\($place), \($pattern), depth \($depth), IOPS"; run("\($place), QEMU"; $pattern; $depth).iops;
			run("\($place), card, bare"; $pattern; $depth).iops),
		at_least("\($place), encrypted, \($pattern), depth \($depth), IOPS"; run("\($place), QEMU, LUKS"; $pattern; $depth).iops;
			run("\($place), card, encrypted"; $pattern; $depth).iops))'
