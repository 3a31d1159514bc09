#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install-manifest.sh BINDIR LIBEXECDIR KEY TOOL make OPTION... ROLE:PATH...
# The development manifest of the files that were installed, in the place of those that were built.
set -eu
prefix=$MESON_INSTALL_DESTDIR_PREFIX
bin=$prefix/$1 libexec=$prefix/$2/karuta key=$3
shift 3
mkdir -p "$libexec"
for word in "$@"; do
	shift
	case $word in
	controller:* | hypervisor:* | card:* | tool:*) word=${word%%:*}:$bin/${word##*/} ;;
	esac
	set -- "$@" "$word"
done
exec "$@" --key "$key" --output "$libexec/karuta.manifest"
