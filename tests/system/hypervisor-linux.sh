#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A stock kernel on the hypervisor, its userland one shell script: two processors, hotplug as Linux does it, a card's death, reboot
# and power-off.
source tests/system/lib.sh
source tests/common/initramfs.sh
linux_guest hypervisor-linux

make_initramfs initrd <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
device=/sys/bus/pci/devices/0000:00:05.0
if [ -e $device ]; then
	echo "GUEST booted again"
	poweroff -f
fi
echo "GUEST up, cpus $(nproc), packages $(grep "physical id" /proc/cpuinfo | sort -u | wc -l), clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
seen=
while :; do
	if [ -e $device ] && [ -z "$seen" ]; then
		seen=1
		echo "GUEST sees $(cat $device/vendor)"
	elif [ ! -e $device ] && [ -n "$seen" ]; then
		seen=
		echo "GUEST lost it"
	fi
	[ -e /sys/bus/pci/devices/0000:00:06.0 ] && break
	usleep 20000
done
echo "GUEST reboots"
reboot -f
INIT
cat >linux.json <<END
{ "name": "linux", "memory": "256M", "cpus": 2, "kernel": "$kernel", "initrd": "initrd",
  "command_line": "console=ttyS0 quiet panic=-1", "cards": [] }
END
karuta-controller run linux.json >console 2>notes &
controller=$!
cleanup "kill -9 $controller"

check "Linux comes up" wait_for 120 heard up
check "with two processors in one package and the paravirtual clock" \
	grep -aq 'GUEST up, cpus 2, packages 1, clock kvm-clock' console
for ((i = 1; i <= 3; i++)); do
	check "a card is attached ($i)" karuta-controller attach linux kind=null slot=5 name=five
	check "Linux sees it" wait_for 10 heard sees $i
	check "a card is detached ($i)" karuta-controller detach linux five
	check "Linux has let go of it" wait_for 10 heard 'lost it' $i
done
karuta-controller attach linux kind=null slot=5 name=five >/dev/null
wait_for 10 heard sees 4
kill -9 "$(pgrep -P $controller -f karuta-card-null)"
check "a card that died goes on" wait_for 10 grep -q 'goes on after' notes
kill_for_good $controller karuta-card-null notes
check "Linux lets go of one that is not started again" wait_for 20 heard 'lost it' 4
karuta-controller detach linux five --force >/dev/null
check "another one takes its place" wait_for 10 karuta-controller attach linux kind=null slot=5 name=five
wait_for 10 heard sees 5
karuta-controller attach linux kind=null slot=6 name=six >/dev/null
check "Linux reboots, and finds what is in the slots" wait_for 120 heard 'booted again'
wait $controller
check "power-off ends the instance with 0" test $? = 0
[ $failures = 0 ] || sed 's/^/# /' console notes | tail -n 60
finish
