# SPDX-License-Identifier: Apache-2.0
# bash completion for karuta-controller(8)

_karuta_controller_instances() {
	local folder=${XDG_RUNTIME_DIR:-/run}/karuta socket
	[ "$(id -u)" = 0 ] && folder=/run/karuta
	for socket in "$folder"/*.sock; do
		[ -S "$socket" ] && basename "$socket" .sock
	done
}

_karuta_controller() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local commands='run serve enrol call status attach detach update resize snapshot console stop kill reset pause resume audit verify quote evidence release --help --version'
	local options='--socket --help' words=

	case $previous in
	--token-file | --folder | --socket | --console | --state | --audit | --ca | --cert | --key | --crl | --files)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--token | --timeout | --name | --nonce | --from | --listen | --id) return ;;
	--tpm)
		COMPREPLY=(device:/dev/tpmrm0)
		return
		;;
	esac
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
		return
	fi
	case ${COMP_WORDS[1]} in
	run) options+=' --name --console --state --tpm --audit' ;;
	verify) options='--tpm --state --help' ;;
	quote) options='--tpm --nonce --state --help' ;;
	evidence | release) options='--state --help' ;;
	audit) options='--tpm --json --from --help' ;;
	serve) options='--listen --ca --cert --key --crl --files --audit --state --tpm --help' ;;
	enrol) options='--token --token-file --listen --folder --timeout --help' ;;
	call) options='--ca --cert --key --timeout --id --json --follow --help' ;;
	status) options+=' --json' ;;
	detach) options+=' --force --timeout' ;;
	stop) options+=' --timeout' ;;
	update) options+=' --hypervisor' ;;
	esac
	if [[ $word == -* ]]; then
		words=$options
	elif [ "${COMP_WORDS[1]}" = run ]; then
		mapfile -t COMPREPLY < <(compgen -f -X '!*.json' -- "$word"; compgen -d -- "$word")
		return
	elif [[ ${COMP_WORDS[1]} == @(verify|quote|evidence|release) ]]; then
		words=
	elif [ "${COMP_WORDS[1]}" = call ] && [ "$COMP_CWORD" = 3 ]; then
		words='list status host evidence events console audit release wrapping launch start forget attach detach update update-host resize make-volume copy-volume delete-volume images write-image finish-image delete-image snapshot stop kill reset pause resume'
	elif [ "${COMP_WORDS[1]}" = call ] && [ "$COMP_CWORD" -gt 3 ]; then
		mapfile -t COMPREPLY < <(compgen -W 'instance= card= file= spec= since= from= image= part= offset= data= digests= keys= force=true hypervisor=true timeout= size=' -- "$word"; compgen -f -- "$word")
		return
	elif [[ ${COMP_WORDS[1]} == @(call|serve|enrol) ]]; then
		return
	elif [ "$COMP_CWORD" = 2 ] && [ "${COMP_WORDS[1]}" = audit ]; then
		words='verify show'
	elif [ "${COMP_WORDS[1]}" = audit ]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
	elif [ "$COMP_CWORD" = 2 ]; then
		words=$(_karuta_controller_instances)
	elif [ "${COMP_WORDS[1]}" = attach ]; then
		compopt -o nospace 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -W 'kind=volume kind=local kind=null slot= name= store= size= key_fd= sector= iops= bandwidth=' -- "$word"
			compgen -f -X '!*.json' -- "$word")
		return
	elif [[ ${COMP_WORDS[1]} == @(update|snapshot) && $COMP_CWORD == 4 ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	elif [[ ${COMP_WORDS[1]} == resize && $COMP_CWORD == 4 ]]; then
		return
	elif [[ ${COMP_WORDS[1]} == @(detach|update|resize|snapshot) ]] && command -v jq >/dev/null; then
		words=$(karuta-controller status "${COMP_WORDS[2]}" --json 2>/dev/null | jq -r '.cards[].name')
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _karuta_controller karuta-controller
