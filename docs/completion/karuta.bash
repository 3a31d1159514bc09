# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion for karuta(1).

_karuta_images() { karuta image list --json 2>/dev/null | sed -n 's/^    "name": "\(.*\)".*/\1/p'; }

_karuta() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local verb="${COMP_WORDS[1]:-} ${COMP_WORDS[2]:-}" words=''
	COMPREPLY=()
	case $COMP_CWORD in
	1) words='image file --help --version' ;;
	2)
		case ${COMP_WORDS[1]} in
		image) words='build import list show delete' ;;
		file) words='create check resize clone export' ;;
		esac
		;;
	*)
		case $before in
		--suite) words='bookworm trixie' ;;
		--sector) words='512 4096' ;;
		--from-image) words=$(_karuta_images) ;;
		--size | --include | --mirror | --key-fd) return ;;
		--copy)
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
			return
			;;
		*)
			case $verb in
			'image build') words='--suite --include --copy --size --mirror' ;;
			'image list') words='--json' ;;
			'image show') words="$(_karuta_images) --json" ;;
			'image delete') words=$(_karuta_images) ;;
			'file create') words='--size --key-fd --from-image --sector' ;;
			'file check' | 'file export') words='--key-fd' ;;
			esac
			words+=' --help'
			;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	case "$verb $word" in
	'image import '[!-]* | 'file '*' '[!-]*) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$word") ;;
	esac
}
complete -o filenames -F _karuta karuta
