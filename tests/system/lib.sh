# SPDX-License-Identifier: Apache-2.0
# Sourced by every system test, and by those of tests/native. A test is a script that prints one line a behaviour:
#   ok - name | not ok - name | skip - name: why
# A system test runs as root on a host with KVM, in /opt/karuta, with karuta's programs in PATH, and ends 0 if all is well.

failures=0
scratch=$(mktemp -d /tmp/karuta-test.XXXXXX)
trap 'cleanup_all' EXIT

# Commands to run at the end, last registered first.
cleanups=()
cleanup() { cleanups+=("$*"); }
cleanup_all() {
	local i
	for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
		eval "${cleanups[i]}" >/dev/null 2>&1
	done
	rm -rf "$scratch"
}

ok() { echo "ok - $1"; }
not_ok() {
	echo "not ok - $1"
	failures=$((failures + 1))
}
skip() { echo "skip - $1: $2"; }

# check NAME COMMAND...: ok if the command succeeds; its output is shown if not.
check() {
	local name=$1
	shift
	if "$@" >"$scratch/check.out" 2>&1; then
		ok "$name"
	else
		not_ok "$name"
		sed 's/^/#   /' "$scratch/check.out" | tail -n 30
	fi
}

# refuse NAME PATTERN COMMAND...: ok if the command fails and says PATTERN.
refuse() {
	local name=$1 pattern=$2
	shift 2
	if "$@" >"$scratch/check.out" 2>&1; then
		not_ok "$name (succeeded)"
	elif grep -q -- "$pattern" "$scratch/check.out"; then
		ok "$name"
	else
		not_ok "$name (without saying '$pattern')"
		sed 's/^/#   /' "$scratch/check.out" | tail -n 30
	fi
}

# exits STATUS COMMAND...: whether it ends with that.
exits() {
	local wanted=$1 status=0
	shift
	"$@" || status=$?
	[ "$status" = "$wanted" ]
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# kill_for_good CONTROLLER CARD NOTES: a card's program, each time it is started, until it is not any more. CARD: as in its
# command line.
kill_for_good() {
	local end=$((SECONDS + 60)) last=0 card
	until grep -q 'died too often' "$3"; do
		[ $SECONDS -lt $end ] || return 1
		card=$(pgrep -P "$1" -f "$2")
		[ -z "$card" ] || [ "$card" = "$last" ] || { kill -9 "$card" && last=$card; }
		sleep 0.1
	done
}

# ---- a stock kernel whose userland is one script: tests/common/initramfs.sh ----

# linux_guest TEST [PROGRAM...]: into the scratch folder, or the end of a test that misses its kernel or a program.
linux_guest() {
	local test=$1 program
	kernel=${KARUTA_TEST_KERNEL:-/opt/karuta/images/kernel}
	[ -e "$kernel" ] || { skip "$test" "no kernel at $kernel"; exit 0; }
	shift
	for program in busybox cpio "$@"; do
		command -v "$program" >/dev/null || { skip "$test" "no $program"; exit 0; }
	done
	cd "$scratch" || exit 1
}

# start_linux NAME CARDS: in the background, from `initrd`, with `key` as descriptor 5. What it says is in `console` and `notes`;
# `controller` is its process.
start_linux() {
	cat >"$1.json" <<END
{ "name": "$1", "memory": "256M", "cpus": 2, "kernel": "$kernel", "initrd": "initrd",
  "command_line": "console=ttyS0 loglevel=6 panic=-1", "cards": [$2] }
END
	karuta-controller run "$1.json" >console 2>notes 5<key &
	controller=$!
	cleanup "kill -9 $controller"
}

# heard TEXT [TIMES]: whether the guest has said that.
heard() { [ "$(grep -ac "GUEST $1" console)" -ge "${2:-1}" ]; }
kill_volume_card() { kill -9 "$(pgrep -P $controller -f karuta-card-volume)"; }

# At the end of every test script.
finish() { [ "$failures" = 0 ]; }
