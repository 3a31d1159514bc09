# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion for karuta(1).

_karuta_images() { karuta image list --json 2>/dev/null | sed -n 's/^    "name": "\(.*\)".*/\1/p'; }

# _karuta_names NOUN: of what the plane has.
_karuta_names() { karuta "$1" list --json 2>/dev/null | sed -n 's/^        "name": "\(.*\)".*/\1/p'; }

_karuta() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local verb="${COMP_WORDS[1]:-} ${COMP_WORDS[2]:-}" words=''
	COMPREPLY=()
	case $COMP_CWORD in
	1) words='host instance volume events token login image file --help --version' ;;
	2)
		case ${COMP_WORDS[1]} in
		host) words='add list show release remove' ;;
		instance) words='run list show console stop start reboot terminate' ;;
		volume) words='create attach detach resize delete list show' ;;
		token) words='create list delete' ;;
		events) words='--follow --since --json --plane --help' ;;
		login) words='--ca --plane --help' ;;
		image) words='build import list show delete' ;;
		file) words='create check resize clone export' ;;
		esac
		;;
	*)
		case $before in
		--suite) words='bookworm trixie' ;;
		--sector) words='512 4096' ;;
		--from-image) words=$(_karuta_images) ;;
		--host) words=$(_karuta_names host) ;;
		--volume) words=$(_karuta_names volume) ;;
		--restart) words='always on-failure never' ;;
		--role) words='reader operator admin' ;;
		--size | --include | --mirror | --key-fd | --cpus | --memory | --command-line | --label | --slot | --since | --days) return ;;
		--copy | --plane | --ca | --kernel | --initrd)
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
			return
			;;
		*)
			case $verb in
			'host add') words='--label --json --plane' ;;
			'host show') words="$(_karuta_names host) --evidence --json --plane" ;;
			'host release' | 'host remove') words="$(_karuta_names host) --json --plane" ;;
			'instance run') words='--cpus --memory --kernel --initrd --command-line --volume --host --label --restart --no-wait --json --plane' ;;
			'instance console') words="$(_karuta_names instance) --follow --json --plane" ;;
			'instance stop' | 'instance start' | 'instance terminate') words="$(_karuta_names instance) --no-wait --json --plane" ;;
			'instance show' | 'instance reboot') words="$(_karuta_names instance) --json --plane" ;;
			'volume create') words='--size --host --label --no-wait --json --plane' ;;
			'volume attach')
				words='--slot --trace --no-wait --json --plane'
				[ "$COMP_CWORD" = 3 ] && words+=" $(_karuta_names volume)"
				[ "$COMP_CWORD" = 4 ] && words+=" $(_karuta_names instance)"
				;;
			'volume detach') words="$(_karuta_names volume) --force --no-wait --json --plane" ;;
			'volume resize' | 'volume delete' | 'volume show') words="$(_karuta_names volume) --json --plane" ;;
			'token create') words='--role --days --json --plane' ;;
			'token delete') words="$(_karuta_names token) --json --plane" ;;
			'host list' | 'instance list' | 'volume list' | 'token list') words='--json --plane' ;;
			'events '*) words='--follow --since --json --plane' ;;
			'login '*) words='--ca --plane' ;;
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
