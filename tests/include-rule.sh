#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Shows that the build enforces the include rule between folders: for each folder, an include of one that it may not use
# does not compile, and one that it may use does. Also: no include climbs out of its folder by "..", and only
# hypervisor/ (and the lab's probe) know KVM.
cd "$(dirname "$0")/.." || exit 1
build=$PWD/build
status=0

fail() {
	echo "$1"
	status=1
}

# compiles TARGET-SOURCE HEADER: with the very command line that the build uses for that source.
compiles() {
	local command
	command=$(jq -r --arg file "$1" '.[] | select(.file | endswith("/" + $file)) | .command' "$build/compile_commands.json" | head -n 1)
	[ -n "$command" ] || { fail "no compile command for $1"; return 0; }
	echo "#include \"$2\"" >"$build/include-rule.c"
	(cd "$build" && eval "${command%% -MD *} -fsyntax-only -Wno-error -x c $build/include-rule.c") >/dev/null 2>&1
}

while read -r source header expectation; do
	if compiles "$source" "$header"; then seen=allowed; else seen=forbidden; fi
	[ "$seen" = "$expectation" ] || fail "$source: include of $header is $seen, should be $expectation"
done <<'RULES'
lib/mem/mem.c base/base.h allowed
lib/mem/mem.c os/fd.h forbidden
lib/wire/status.c os/fd.h forbidden
lib/wire/status.c base/base.h allowed
lib/pci/config.c os/fd.h forbidden
lib/pci/config.c mem/mem.h forbidden
lib/nvme/controller.c store/store.h forbidden
lib/nvme/controller.c vfu/vfu_server.h forbidden
lib/nvme/controller.c os/fd.h forbidden
lib/nvme/controller.c mem/mem.h allowed
lib/trust/manifest.c base/base.h allowed
lib/trust/manifest.c os/fd.h forbidden
lib/vfu/server.c card/card.h forbidden
lib/vfu/server.c mem/mem.h allowed
lib/store/file.c nvme/nvme.h forbidden
lib/store/file.c os/fd.h allowed
lib/call/tls.c os/loop.h allowed
lib/call/tls.c trust/digest.h allowed
lib/call/tls.c mem/mem.h forbidden
lib/call/tls.c card/card.h forbidden
lib/trust/manifest.c call/tls.h forbidden
cards/null/null.c call/tls.h forbidden
lib/enrol/psk.c os/fd.h forbidden
lib/enrol/psk.c wire/enrol.h allowed
plane/ca.c nvme/nvme.h forbidden
plane/enrol.c enrol/psk.h allowed
hypervisor/main.c card/card.h forbidden
hypervisor/main.c nvme/nvme.h forbidden
hypervisor/main.c store/store.h forbidden
hypervisor/main.c vfu/vfu_client.h allowed
controller/main.c nvme/nvme.h forbidden
controller/main.c mem/mem.h forbidden
controller/main.c vfu/vfu_client.h forbidden
controller/main.c wire/command.h allowed
controller/main.c trust/manifest.h allowed
controller/main.c store/crypt.h forbidden
hypervisor/main.c trust/manifest.h forbidden
fill/main.c store/crypt.h allowed
fill/main.c call/tls.h forbidden
fill/main.c card/card.h forbidden
manifest/main.c trust/manifest.h allowed
manifest/main.c wire/command.h forbidden
cli/main.c card/card.h forbidden
cards/null/null.c card/card.h allowed
cards/null/null.c nvme/nvme.h forbidden
plane/core/instance.c base/base.h allowed
plane/core/instance.c os/clock.h forbidden
plane/core/instance.c wire/control.h forbidden
RULES

grep -rnE '#include "\.\.' --include='*.[ch]' lib cards hypervisor controller fill manifest cli && fail 'an include climbs out of its folder by ".."'
grep -rlE 'linux/kvm\.h' --include='*.[ch]' lib cards controller fill manifest cli && fail "only hypervisor/ may know KVM"
grep -rniE 'nvme|volume|virtio' --include='*.[ch]' hypervisor && fail "hypervisor/ names a kind of card"
exit $status
