# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion for karuta(1).

_karuta_images() { karuta image list --json 2>/dev/null | sed -n 's/^    "name": "\(.*\)".*/\1/p'; }

# _karuta_names NOUN [OPTION]: of what the plane has.
_karuta_names() { karuta "$1" list "${@:2}" --json 2>/dev/null | sed -n 's/^        "name": "\(.*\)".*/\1/p'; }

_karuta() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local verb="${COMP_WORDS[1]:-} ${COMP_WORDS[2]:-}" words=''
	COMPREPLY=()
	case $COMP_CWORD in
	1) words='init host instance volume snapshot key events audit top token certificate login image file --help --version' ;;
	2)
		case ${COMP_WORDS[1]} in
		host) words='add list show release update remove' ;;
		instance) words='run list show console stop start reboot terminate' ;;
		volume) words='create attach detach resize delete restore list show' ;;
		snapshot) words='create list show delete' ;;
		key) words='list rotate delete' ;;
		audit) words='verify' ;;
		token | certificate) words='create list delete' ;;
		events) words='--follow --since --json --plane --help' ;;
		init) words='--name --listen --plane-name --host-port --plane --programs --root --no-kvm --help' ;;
		top) words='--interval --rounds --json --plane --help' ;;
		login) words='--ca --certificate --key --plane --help' ;;
		image) words='build import push list show delete' ;;
		file) words='create check resize clone export' ;;
		esac
		;;
	*)
		case $before in
		--suite) words='bookworm trixie' ;;
		--sector) words='512 4096' ;;
		--from-image) words=$(_karuta_images) ;;
		--host) words=$(_karuta_names host) ;;
		--image) words=$(_karuta_names image --pushed) ;;
		--snapshot) words=$(_karuta_names snapshot) ;;
		--volume | --clone) words=$(_karuta_names volume) ;;
		--restart) words='always on-failure never' ;;
		--role) words='reader operator admin' ;;
		--size | --include | --mirror | --key-fd | --cpus | --memory | --whole-cores | --root | --grace | --command-line | --label | --host-label | --slot | --since | --known | --interval | --rounds | --days | --as | --name | --listen | --plane-name | --host-port) return ;;
		--copy | --plane | --programs | --root | --ca | --certificate | --key | --request | --kernel | --initrd)
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
			return
			;;
		*)
			case $verb in
			'host add') words='--label --json --plane' ;;
			'host show') words="$(_karuta_names host) --evidence --json --plane" ;;
			'host update') words="$(_karuta_names host) --controller --json --plane" ;;
			'host release' | 'host remove') words="$(_karuta_names host) --json --plane" ;;
			'instance run') words='--image --memory --cpus --whole-cores --root --volume --kernel --initrd --command-line --host --host-label --label --restart --wait --no-wait --json --plane' ;;
			'instance console') words="$(_karuta_names instance) --follow --json --plane" ;;
			'instance stop') words="$(_karuta_names instance) --kill --grace --wait --no-wait --json --plane" ;;
			'instance start') words="$(_karuta_names instance) --wait --no-wait --json --plane" ;;
			'instance terminate') words="$(_karuta_names instance) --volumes --wait --no-wait --json --plane" ;;
			'instance show' | 'instance reboot') words="$(_karuta_names instance) --json --plane" ;;
			'volume create') words='--size --image --snapshot --clone --host --label --wait --no-wait --json --plane' ;;
			'volume attach')
				words='--slot --trace --wait --no-wait --json --plane'
				[ "$COMP_CWORD" = 3 ] && words+=" $(_karuta_names volume)"
				[ "$COMP_CWORD" = 4 ] && words+=" $(_karuta_names instance)"
				;;
			'volume detach') words="$(_karuta_names volume) --force --wait --no-wait --json --plane" ;;
			'volume delete') words="$(_karuta_names volume) --now --json --plane" ;;
			'volume resize' | 'volume restore' | 'volume show') words="$(_karuta_names volume) --json --plane" ;;
			'snapshot create')
				words='--label --wait --no-wait --json --plane'
				[ "$COMP_CWORD" = 4 ] && words+=" $(_karuta_names volume)"
				;;
			'snapshot show' | 'snapshot delete') words="$(_karuta_names snapshot) --json --plane" ;;
			'key delete') words="$(_karuta_names key) --json --plane" ;;
			'key rotate') words='--plane' ;;
			'audit verify') words="$(_karuta_names host) --known --json --plane" ;;
			'token create') words='--role --days --json --plane' ;;
			'certificate create') words='--request --role --days --json --plane' ;;
			'token delete' | 'certificate delete') words="$(karuta "${COMP_WORDS[1]}" list --json 2>/dev/null | sed -n 's/^      "id": "\(.*\)".*/\1/p') --json --plane" ;;
			'host list' | 'instance list' | 'volume list' | 'snapshot list' | 'key list' | 'token list' | 'certificate list') words='--json --plane' ;;
			'events '*) words='--follow --since --json --plane' ;;
			'init '*) words='--name --listen --plane-name --host-port --plane --programs --root --no-kvm' ;;
			'top '*) words='--interval --rounds --json --plane' ;;
			'login '*) words='--ca --plane' ;;
			'image build') words='--suite --include --copy --size --mirror' ;;
			'image push') words="$(_karuta_images) --as --command-line --label --json --plane" ;;
			'image list') words='--pushed --json --plane' ;;
			'image show' | 'image delete') words="$(_karuta_images) --pushed --json --plane" ;;
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
