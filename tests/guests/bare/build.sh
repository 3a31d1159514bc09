#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh COMPILER OUTPUT BIN SOURCE...: the test guest; a copy goes to BIN, which the lab takes along.
# It is no program of this system: none of the build's own flags fit.
set -e
compiler=$1 output=$2 bin=$3
shift 3
sources=$(dirname "$0")
# shellcheck disable=SC2086 # the compiler may be "ccache cc"
$compiler -O1 -Wall -Wno-unused-command-line-argument -no-pie -Wextra -Werror -std=gnu17 -ffreestanding -nostdlib -static -fno-pic -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-Wl,-T,"$sources/guest.ld" -Wl,--build-id=none -Wl,-z,norelro,-z,noexecstack,--no-warn-rwx-segments -Wl,-z,max-page-size=4096 -o "$output" "$@"
mkdir -p "$bin"
cp "$output" "$bin/"
