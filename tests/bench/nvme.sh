#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the card itself makes of a core: blocks in memory, no guest, driver and card polling. build/bench/nvme.json
source tests/bench/lib.sh
# The first writes every block: memory that was never touched, and blocks that were never written, cost something else.
five="write:128:32 randwrite:4:1 randwrite:4:32 randread:4:1 randread:4:32"

start nvme
for ((round = 0; round < rounds; round++)); do
	ciphers+=$(cipher)$'\n'
	measure "RAM" "$five flush:0:32" $card --poll --store ram: --size $size
	measure "RAM, encrypted" "$five" $card --poll --store ram: --size $size --key-fd 6
	measure "RAM, rung by message" "write:128:32 randread:4:1 randread:4:32" $card --store ram: --size $size
done
finish "$(printf %s "$ciphers" | median)" '
	at_least("RAM, read, depth 1, IOPS"; 800000; run("RAM"; "randread 4K"; 1).iops),
	at_least("RAM, read, depth 32, IOPS"; 1500000; run("RAM"; "randread 4K"; 32).iops),
	at_most("RAM, read, depth 1, 99.9 %, ns"; 15000; run("RAM"; "randread 4K"; 1).p999_ns),
	at_least("RAM, flush, depth 32, IOPS"; 4000000; run("RAM"; "flush"; 32).iops),
	at_least("RAM, encrypted, read, depth 1, IOPS"; 560000; run("RAM, encrypted"; "randread 4K"; 1).iops),
	at_least("RAM, encrypted, read, depth 32, IOPS"; 850000; run("RAM, encrypted"; "randread 4K"; 32).iops),
	at_most("encryption of 4 KiB, depth 32, ns"; times($cipher; 1.2);
		(1e9 / run("RAM, encrypted"; "randread 4K"; 32).iops - 1e9 / run("RAM"; "randread 4K"; 32).iops | floor))'
