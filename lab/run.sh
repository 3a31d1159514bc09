# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# karuta-lab run: lays out what the command shall find, runs it, brings its output and status back.

run() {
	parse_run "$@"
	choose_mode
	if [ "$mode" = emulated ] || [ -n "$with_qemu" ]; then
		build
	fi
	make_run_directory
	stage
	supervise
	fetch
	exit "$status"
}

parse_run() {
	cpus=2 memory=4096 timeout=1500 with_qemu='' files=() gets=() disks=()
	while [ $# -gt 0 ]; do
		case $1 in
		--qemu) with_qemu=1 ;;
		--cpus | --memory | --timeout | --file | --get | --disk)
			[ $# -ge 2 ] || die "$1 wants a value"
			set_option "$1" "$2"
			shift
			;;
		--) shift && break ;;
		-*) die "run has no option $1; see karuta-lab --help" ;;
		*) break ;;
		esac
		shift
	done
	[ $# -gt 0 ] || die "run what? see karuta-lab --help"
	command=("$@")
}

set_option() {
	case $1 in
	--file)
		[[ $2 == *:* ]] || die "$1 wants SRC:DST, not '$2'"
		files+=("$2")
		;;
	--get)
		[[ $2 == /*:* ]] || die "$1 wants /PATH:DST, not '$2'"
		gets+=("$2")
		;;
	--disk)
		[ -r "$2" ] || die "$1: cannot read $2"
		disks+=("$(realpath "$2")")
		;;
	*)
		[[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || die "$1 wants a number, not '$2'"
		printf -v "${1#--}" %s "$2"
		;;
	esac
}

# The probe takes a second where KVM is bad, so its answer is kept until the next boot.
choose_mode() {
	local kept
	mode=${KARUTA_LAB:-}
	if [ -z "$mode" ]; then
		kept=$cache/probe-$(cat /proc/sys/kernel/random/boot_id)
		if [ ! -s "$kept" ]; then
			mkdir -p "$cache"
			probe >"$kept.$$" || [ $? = 1 ] || die "the probe failed"
			mv "$kept.$$" "$kept"
		fi
		mode=emulated
		[[ $(<"$kept") == good* ]] && mode=direct
	fi
	[[ $mode =~ ^(direct|emulated)$ ]] || die "KARUTA_LAB is 'direct' or 'emulated', not '$mode'"
	if [ "$mode" = direct ] && [ "$(id -u)" != 0 ]; then
		die "KVM is good here, but the command needs root: use sudo, or KARUTA_LAB=emulated"
	fi
}

# The directory is locked as long as anything of this run lives; what a killed run left is removed.
make_run_directory() {
	local old
	mkdir -p "$cache/run"
	find "$cache/run" -mindepth 1 -maxdepth 1 -mmin +1 | while read -r old; do
		flock -n "$old" rm -rf --one-file-system "$old" || true
	done
	run=$(mktemp -d "$cache/run/XXXXXXXX")
	exec 8<"$run"
	flock 8
	trap 'stop 143' TERM HUP
	trap 'stop 130' INT
	trap 'rm -rf --one-file-system "$run"' EXIT
	touch "$run/result" "$run/console" "$run/messages" "$run/get.tar"
}

stop() {
	[ -z "${child:-}" ] || { kill "$child" && wait "$child"; } 2>/dev/null || true
	exit "$1"
}

# An emulated host gets a copy of everything anyway, so links will do here.
copy() {
	if [ "$mode" = emulated ] && cp -aH --link "$1" "$2" 2>/dev/null; then
		return
	fi
	cp -aH --reflink=auto --sparse=always "$1" "$2" || die "cannot copy $1"
}

stage() {
	local file
	stage=$run/karuta
	mkdir -p "$stage"/{bin,.lab/tmp,.lab/opt}
	chmod 1777 "$stage/.lab/tmp"
	for file in "$bin"/*; do
		if [ -f "$file" ] && [ -x "$file" ]; then
			copy "$file" "$stage/bin/"
		fi
	done
	copy "$bin/karuta.manifest" "$stage/bin/karuta.manifest"
	# Tests list programs of their own with it.
	[ ! -e "$bin/development.key" ] || copy "$bin/development.key" "$stage/bin/development.key"
	copy "$source_root/tests" "$stage/tests"
	copy "$lab" "$stage/lab"
	if [ -n "$with_qemu" ]; then
		cp "$lab/qemu-in-lab" "$stage/bin/qemu-system-x86_64"
	fi
	stage_files
	cp "$lab/job" "$stage/.lab/job"
	printf '%q ' "${command[@]}" >"$stage/.lab/command"
	printf '%s\n' "${gets[@]%%:*}" | sed '/^$/d' >"$stage/.lab/get"
	printf '%s\n' "${!disks[@]}" | sed '/^$/d' >"$stage/.lab/disks"
}

stage_files() {
	local item dst
	for item in "${files[@]}"; do
		dst=${item##*:}
		dst=${dst#/opt/karuta/}
		[[ $dst != /* && /$dst/ != */../* && -n $dst ]] || die "--file: ${item##*:} is not below /opt/karuta"
		mkdir -p "$(dirname "$stage/$dst")"
		rm -rf "${stage:?}/$dst"
		copy "${item%:*}" "$stage/$dst"
	done
}

# Starts the host, waits for its end, and finds out what the end was.
supervise() {
	local code=0 result
	exec 5> >(trap '' INT TERM && exec cat)
	output=$!
	"run_$mode" &
	child=$!
	exec 5>&-
	wait "$child" || code=$?
	wait "$output" || true
	result=$(<"$run/result")
	if [[ $result =~ ^exit\ ([0-9]+)$ ]]; then
		status=${BASH_REMATCH[1]}
	elif [ $code = 124 ] || [ $code = 137 ]; then
		explain "killed after $timeout seconds (--timeout)"
		exit 124
	else
		explain "the $mode host ended before the command did"
		exit 125
	fi
}

explain() {
	echo "karuta-lab: $1" >&2
	if [ -s "$run/messages" ]; then
		tail -n 20 "$run/messages" >&2
	fi
	if [ -s "$run/console" ]; then
		echo "karuta-lab: the last of its kernel log:" >&2
		tr -d '\r' <"$run/console" | tail -n 40 >&2
	fi
}

# Nothing outlives this program, however it ends.
bounded() { exec setpriv --pdeathsig TERM timeout --foreground -k 5 "$timeout" setpriv --pdeathsig KILL "$@"; }

run_emulated() {
	local host size args i
	host=$(host_dir)
	size=$(($(du -sm "$stage" | cut -f1) * 5 / 4 + 8192))
	pack "$stage" "$run/run.img" "${size}M" 0
	args=(
		-machine pc -accel tcg,thread=multi -cpu max,la57=off -smp "$cpus" -m "$memory"
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$host/vmlinux" -append "$(kernel_command_line)"
		-serial "file:$run/console"
		-device virtio-serial-pci
	)
	args+=($(port 1 output /dev/fd/5) $(port 2 result "$run/result") $(port 3 get "$run/get.tar"))
	disk root "$host/root.img" snapshot=on
	disk run "$run/run.img" cache=unsafe
	[ -z "$with_qemu" ] || disk qemu "$(qemu_dir)/qemu.img" readonly=on
	for i in "${!disks[@]}"; do
		disk "disk$i" "${disks[$i]}" cache=writeback
	done
	tree_tool "$(qemu_dir)/root" qemu-system-x86_64
	cd "$run"
	export TMPDIR=$run
	bounded "${tool[@]}" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "${args[@]}" \
		</dev/null >"$run/messages" 2>&1
}

# Without what costs an emulated processor time and tells a test nothing.
kernel_command_line() {
	echo "root=PARTUUID=$ROOT_DISK_ID-01 rootwait rw init=/init console=ttyS0 quiet panic=-1" \
		"mitigations=off nokaslr tsc=reliable no_timer_check cryptomgr.notests"
}

port() { echo "-chardev file,id=$2,path=$3 -device virtserialport,nr=$1,chardev=$2"; }

disk() {
	args+=(-drive "if=none,format=raw,id=$1,file=${2//,/,,},$3" -device "nvme,serial=$1,drive=$1")
}

run_direct() {
	bounded unshare --mount --pid --net --ipc --uts --fork --kill-child --mount-proc \
		bash "$lab/direct" "$stage" "${with_qemu:+$(qemu_dir)/root}" "${disks[@]}" \
		>&5 2>&1 3>"$run/result" 4>"$run/get.tar" 5>&-
}

# A path that the command did not make is a warning; its own status counts for more.
fetch() {
	local item path
	[ ${#gets[@]} -gt 0 ] || return 0
	mkdir "$run/get"
	tar -C "$run/get" -xf "$run/get.tar" --no-same-owner 2>"$run/messages" || true
	for item in "${gets[@]}"; do
		path=$run/get/${item%%:*}
		if [ -e "$path" ]; then
			cp -rT --sparse=always "$path" "${item#*:}" || die "cannot write ${item#*:}"
		else
			echo "karuta-lab: --get: the host has no ${item%%:*}" >&2
		fi
	done
}
