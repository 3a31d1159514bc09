#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two cards: what one that floods at its limit costs the other, each driver and each card on a core of its own where there are four;
# with fewer they share, and nothing is compared. And what a card costs that has nothing to do. build/bench/neighbours.json
source tests/bench/lib.sh
limit=20000
flooder="0,1" own=false
[ "$(nproc)" -lt 4 ] || { flooder="2,3" own=true; }

victim() { measure "$1" "write:128:32 randread:4:1" $card --poll --store ram: --size $size --key-fd 6; }

start neighbours
for ((round = 0; round < rounds; round++)); do
	victim "alone"
	$client -n "flooder, $limit a second" -t 600 -c $flooder -p randread:4:32 $card --store ram: --size $size --iops $limit >/dev/null &
	victim "beside a flooder"
	kill $!
	wait $! 2>/dev/null
	measure "flooder, $limit a second" "randread:4:32" -c $flooder $card --store ram: --size $size --iops $limit:1
done
idle=$($client -t 10 -p idle:0:1 $card --store ram: --size $size | jq .cpu_us)
finish null '
	at_most("processor time of an idle card in 10 s, us"; 10000; '"$idle"'),
	at_most("flooder, commands a second"; '"$limit"' * 1.01; run("flooder, '"$limit"' a second"; "randread 4K"; 32).iops),
	('$own' | select(.) | at_most("beside a flooder, read, depth 1, 99.9 %, ns"; times(run("alone"; "randread 4K"; 1).p999_ns; 1.2);
		run("beside a flooder"; "randread 4K"; 1).p999_ns))'
