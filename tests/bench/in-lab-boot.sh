#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs in the lab; tests/bench/boot.sh starts it. Writes bench/boot.json.
set -u
rounds=${ROUNDS:-3}
cpus=1 memory=512
cd /opt/karuta/bench || exit 1
line="console=ttyS0 quiet reboot=t panic=-1"

now_us() { echo "${EPOCHREALTIME/./}"; }

# until_init COMMAND...: microseconds until the guest's init says so.
until_init() {
	local start text
	start=$(now_us)
	while IFS= read -r text; do
		case $text in *BENCH-INIT-REACHED*) echo $(($(now_us) - start)) && break ;; esac
	done < <("$@" 2>/dev/null </dev/null)
	wait
}

karuta_boot() { karuta-controller run karuta.json; }
microvm_boot() {
	qemu-system-x86_64 -M microvm,pic=off,pit=off,rtc=off,isa-serial=on,accel=kvm -cpu host -m $memory -smp $cpus \
		-nodefaults -no-user-config -nographic -serial stdio -no-reboot -kernel kernel -initrd initrd -append "$line"
}

# resident_kib PID: without the pages of guest memory.
resident_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = /memfd:guest/ } /^Rss:/ && !guest { sum += $2 } END { print sum }' "/proc/$1/smaps"
}

median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

cat >karuta.json <<END
{ "name": "bench", "memory": "${memory}M", "cpus": $cpus, "kernel": "kernel", "initrd": "initrd", "command_line": "$line bench=off", "cards": [] }
END
ours=() theirs=()
for ((round = 0; round < rounds; round++)); do
	ours+=("$(until_init karuta_boot)")
	theirs+=("$(until_init microvm_boot)")
done

truncate -s 64M vol
head -c 64 /dev/urandom >/dev/shm/key
cat >stay.json <<END
{ "name": "stay", "memory": "${memory}M", "cpus": $cpus, "kernel": "kernel", "initrd": "initrd", "command_line": "$line bench=stay",
  "cards": [ { "slot": 1, "name": "disk", "kind": "volume", "store": "vol", "key_fd": 5 } ] }
END
karuta-controller run stay.json 5</dev/shm/key >stay.log 2>&1 &
for ((i = 0; i < 600; i++)); do
	grep -q BENCH-INIT-REACHED stay.log && break
	sleep 0.1
done
hypervisor=$(resident_kib "$(pgrep -x karuta-hypervis)")
card=$(resident_kib "$(pgrep -f karuta-card-volume)")
karuta-controller kill stay >/dev/null 2>&1
wait

ours_ms=$(($(median "${ours[@]}") / 1000)) theirs_ms=$(($(median "${theirs[@]}") / 1000))
printf '%-34s %10s\n' "guest up to init, karuta" "$ours_ms ms" "guest up to init, QEMU microvm" "$theirs_ms ms" \
	"resident, hypervisor" "$hypervisor KiB" "resident, volume card" "$card KiB"
cat >boot.json <<END
{ "cpus": $cpus, "memory_mib": $memory, "rounds": $rounds, "karuta_ms": $ours_ms, "microvm_ms": $theirs_ms,
  "karuta_us": [$(IFS=,; echo "${ours[*]}")], "microvm_us": [$(IFS=,; echo "${theirs[*]}")],
  "hypervisor_resident_kib": $hypervisor, "card_resident_kib": $card }
END
[ "$ours_ms" -le "$theirs_ms" ] || { echo "missed: boot is slower than QEMU's microvm"; exit 1; }
[ $((hypervisor + card)) -le 10240 ] || { echo "missed: more than 10 MiB resident"; exit 1; }
