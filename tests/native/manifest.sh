#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The shipped programs and their manifest: a byte changed anywhere in any of them, and the host starts nothing, keeps the
# evidence and says so, until a person ends it. And karuta-manifest(1), which makes manifests.
source tests/system/lib.sh
build=$(dirname "$(command -v karuta-manifest)")
cd "$scratch" || exit 1
flips=${KARUTA_TEST_FLIPS:-6}
host=$scratch/host good=$scratch/good
key=$build/development.key
mkdir good host
programs=(karuta karuta-card-local karuta-card-null karuta-card-volume karuta-controller karuta-fill karuta-hypervisor karuta-keeper karuta-manifest)
for program in "${programs[@]}" karuta.manifest; do cp "$build/$program" good/; done
cp good/* host/

says() { grep -q -- "$1" out; }
# What the host makes of itself. The controller that looks is the host's own.
verify() { "$host/karuta-controller" verify --state state >out 2>&1; }
fresh() { rm -rf state && cp good/* host/; }
role() {
	case $1 in
	*-card-*) echo card ;;
	karuta-keeper) echo controller ;;
	karuta-controller | karuta-hypervisor) echo "${1#karuta-}" ;;
	*) echo tool ;;
	esac
}
# make RELEASE KEY [OPTION]: a manifest of the host's programs.
make_manifest() {
	local program list=()
	for program in "${programs[@]}"; do list+=("$(role "$program"):host/$program"); done
	karuta-manifest make --output host/karuta.manifest --release "$1" --key "$2" "${@:3}" "${list[@]}"
}
# flip FILE OFFSET: another byte in its place, never the same.
flip() {
	local old
	old=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((old ^ (1 << RANDOM % 8))))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# caught FILE OFFSET: a start is refused, and the evidence is that file as it was.
caught() {
	local copy=$scratch/copy
	fresh
	cp "good/$1" copy && flip copy "$2" && rm "host/$1" && cp --preserve=mode "$copy" "host/$1" && chmod 755 "host/$1"
	! verify && says 'quarantine: ' && says "$1" && cmp -s copy state/evidence/1/file &&
		grep -q "^what $1\$" state/evidence/1/reason && grep -q "^$1 .* mismatch" state/events
}
# The ends, and places in between.
offsets() {
	local size i
	size=$(stat -c %s "good/$1")
	echo 0 $((size - 1))
	for ((i = 0; i < flips; i++)); do echo $(((RANDOM << 15 | RANDOM) % size)); done
}
all_caught() {
	local offset
	for offset in $(offsets "$1"); do
		caught "$1" "$offset" || { echo "$1, byte $offset"; cat out; return 1; }
	done
}

# --- what is intact ---
check "intact programs are those of the release" verify
check "which is a development one, and unattested, and says so" says 'release 1 (development), unattested'
check "all are in the event log" test "$(grep -c ' intact ' state/events)" = $((${#programs[@]} + 1))
cp state/events events
check "measured again, nothing is logged again" eval 'verify && cmp events state/events'
check "karuta-manifest verifies the same" karuta-manifest verify --key "$key" host/karuta.manifest
karuta-manifest show host/karuta.manifest >out
check "and shows it: development" says '^release 1, development: signed with a key that a build made for itself'

if [ -f "$build/../build.ninja" ]; then
	check "what is installed is verified where it is" eval 'DESTDIR=$scratch/root meson install --quiet --no-rebuild -C "$build/.." &&
		"$(find root -name karuta-controller -type f -perm -1)" verify --state installed'
fi

# --- what is not ---
for program in "${programs[@]}"; do
	# A controller that has been changed may do anything at all; another one looks at it.
	[ "$program" = karuta-controller ] || check "a byte of $program changed: quarantine" all_caught "$program"
	fresh
	flip "host/$program" $((RANDOM % 10000 + 100))
	refuse "karuta-manifest names a changed $program" "host/$program: is not" karuta-manifest verify --key "$key" host/karuta.manifest
done
check "a byte of the manifest changed: quarantine" all_caught karuta.manifest
fresh
printf x >>host/karuta-controller
check "a controller that was changed does not start anything: it measures itself" eval '! verify && says "quarantine: karuta-controller is not"'
fresh
rm host/karuta-card-null
check "a program is missing: nothing starts" eval '! verify && says "program karuta-card-null: No such file"'
fresh
rm host/karuta.manifest
check "the manifest is missing: nothing starts" eval '! verify && says "karuta.manifest: No such file"'
fresh
truncate -s -1 host/karuta.manifest
check "a manifest that is cut" eval '! verify && says "quarantine: karuta.manifest: it does not end with"'
fresh
head -c 70000 /dev/zero >>host/karuta.manifest
check "a manifest that is too long" eval '! verify && says "quarantine: karuta.manifest: longer than"'
check "is kept as evidence nevertheless" cmp host/karuta.manifest state/evidence/1/file

fresh
truncate -s 257M host/karuta-card-null
check "a program that is bigger than any" eval '! verify && says "quarantine: karuta-card-null is not" && grep -q "^file unknown" state/evidence/1/reason'
rm host/karuta-card-null

# --- quarantine ---
fresh
verify
flip host/karuta-card-null 5000
verify
cp good/karuta-card-null host/
check "a quarantine does not end because the file is back" eval '! verify && says "nothing starts until karuta-controller release"'
host/karuta-controller evidence --state state >out
check "the evidence names the file and its digests" eval 'says "^quarantine since .*karuta-card-null" && says "what karuta-card-null" &&
	says "file $(sha384sum <state/evidence/1/file | cut -d" " -f1)\$" && says "events $(sha384sum <state/evidence/1/events | cut -d" " -f1)\$"'
chmod u+w state/evidence/1/file
flip state/evidence/1/file 77
host/karuta-controller evidence --state state >out
check "evidence that was changed later is told" says 'file .* CHANGED SINCE'
cp state/quarantine mark
for text in '' '1' '1\n' '1\n\n' '1\n\0since'; do
	printf %b "$text" >state/quarantine
	check "a mark that was damaged is one: '$text'" eval '! verify && says "nothing starts until karuta-controller release"'
done
mv mark state/quarantine
refuse "it ends with a reason only" usage: host/karuta-controller release --state state
check "it ends" host/karuta-controller release --state state "put back from the package"
check "things start again" verify
check "the end is in the log" grep -q '^quarantine .* released' state/events
host/karuta-controller evidence --state state >out
check "and who ended it, and why, in the evidence" eval 'says "released: who user $(id -u)" && says "released: why put back from the package"'
refuse "there is none to end" "there is no quarantine" host/karuta-controller release --state state again
flip host/karuta-card-null 5000
check "the same again begins another" eval '! verify && test -s state/evidence/2/file && test "$(grep -c mismatch state/events)" = 2'

# A disk without room for anything but names.
fresh
mkdir small && mount -t tmpfs -o size=64k small small 2>/dev/null && cleanup "umount $scratch/small"
if mountpoint -q small; then
	verify_small() { host/karuta-controller verify --state small/state >out 2>&1; }
	check "intact on a small disk" verify_small
	head -c 64k /dev/zero >small/full 2>/dev/null
	flip host/karuta-card-null 5000
	check "the disk is full: quarantine" eval '! verify_small && says "quarantine: karuta-card-null"'
	cp good/karuta-card-null host/
	check "it is one, though its reason is lost" eval '! verify_small && says "nothing starts until karuta-controller release"'
	rm small/full
	check "with room again a person ends it" eval 'host/karuta-controller release --state small/state room && verify_small'
else
	skip "quarantine on a full disk" "nothing can be mounted here"
fi

# --- what the host remembers ---
for file in release events; do
	for part in 0 40 99 100; do
		fresh
		verify
		offset=$((($(stat -c %s state/$file) - 1) * part / 100))
		flip state/$file "$offset"
		cp state/$file changed
		check "byte $offset of the state's $file changed: quarantine" eval '! verify && says "quarantine: " && cmp changed state/evidence/1/file'
	done
done
fresh
verify
flip state/release 16
flip state/events 30
cp state/release state/events .
check "both changed: quarantine, and both are kept" eval '! verify && says "quarantine: " && test -e state/quarantine &&
	cmp events state/evidence/1/file && cmp release state/evidence/2/file'
check "nothing starts meanwhile" eval '! verify && says "nothing starts until"'
check "a person ends it" eval 'host/karuta-controller release --state state seen && verify'
fresh
verify
truncate -s 257M state/events
check "a log bigger than any: quarantine" eval '! verify && test -e state/quarantine && grep -q "^file unknown" state/evidence/1/reason'
fresh
verify
rm state/events && mkfifo state/events
check "a log that is not a file: quarantine" eval '! timeout 10 host/karuta-controller verify --state state >out 2>&1 && test -e state/quarantine'
fresh
chmod 777 host
mkdir -m 777 open
refuse "a state that others may write is not used" "others may write there" host/karuta-controller verify --state open

# --- releases ---
fresh
check "a newer release" eval 'make_manifest 7 "$key" --development && verify && says "release 7"'
make_manifest 6 "$key" --development
check "an older one is refused" eval '! verify && says "release 6 is older than 7, which this host has run already"'
check "which is no quarantine, but logged" eval 'test ! -e state/quarantine && grep -q "^karuta.manifest .* refused" state/events'
make_manifest 7 "$key" --development
check "the newer one is still there" verify
make_manifest 8 "$key"
check "not marked as a development manifest: this controller does not take it" eval '! verify && says "a release manifest, which this controller does not take"'
check "keys are made: Ed25519 and ECDSA P-384" eval 'karuta-manifest key other.key && karuta-manifest key --p384 p384.key && test "$(stat -c %a other.key)" = 600'
refuse "a key is never overwritten" "File exists" karuta-manifest key other.key
make_manifest 9 other.key --development
check "signed with another key: quarantine" eval '! verify && says "quarantine: karuta.manifest: signed with key"'
refuse "karuta-manifest: signed with another key" "signed with key" karuta-manifest verify --key "$key" host/karuta.manifest
check "and by that it verifies" karuta-manifest verify --key other.key host/karuta.manifest
make_manifest 9 p384.key --development
check "ECDSA P-384 too" karuta-manifest verify --key p384.key host/karuta.manifest
openssl pkey -in p384.key -pubout -out p384.pub
check "with the public key alone" karuta-manifest verify --key p384.pub host/karuta.manifest
karuta-manifest make --output list --release 3 card:good/karuta-card-null
refuse "what is not signed is not verified" "does not end with a key and a signature" karuta-manifest verify --key "$key" list good
check "list and signature can be made apart" eval 'karuta-manifest sign --key other.key list && karuta-manifest verify --key other.key list good'
refuse "what is signed is not signed again" "not a list to be signed" karuta-manifest sign --key other.key list
refuse "a file twice" "comes twice" karuta-manifest make --output list --release 3 card:good/karuta-card-null card:host/karuta-card-null
refuse "a file without a role" "no role" karuta-manifest make --output list --release 3 good/karuta-card-null
finish
