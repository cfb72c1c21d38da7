# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # used by those who source it
#
# What the scripts of the virtual host share: cache, stages, progress, the tree.
# Sourced; needs bash. What concerns the tree wants its directory in $tree.

vm=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$vm")
cache=${NVMEVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nvme-vfio-pci}
# A mirror has what the archive has: what is made of it does not depend on the mirror
archive=http://deb.debian.org/debian
mirror=${NVMEVM_MIRROR:-$archive}

child=
ticker=
in_stage=
failed_log=

say()
{
	echo "$*" >&2
}

die()
{
	say "error: ${in_stage:+step \"$in_stage\": }$*"
	in_stage=
	exit 1
}

# full DIR: whether its file system has neither a block nor an inode left, or next to none
full()
{
	df --output=avail,itotal,iavail "$1" 2>/dev/null | awk 'NR == 2 { exit !($1 < 1024 || $2 > 0 && $3 < 10) }'
}

# mirror_reason TEXT: the same of what apt or dpkg print
mirror_reason()
{
	local line why url names again="run it again: it goes on from here" try

	try="check the network${http_proxy:+ and http_proxy=$http_proxy}, or set NVMEVM_MIRROR; $again"
	line=$(grep -m 1 -E '^E: (Failed to fetch|The repository|GPG error|Release file|.* is not signed)' <<< "$1" || true)
	why=$(grep -m 1 -A 1 -E '^Err:[0-9]+ ' <<< "$1" | sed 1d || true)
	url=$(sed -nE "s/.*'((https?|file):[^']+)'.*/\1/p; t; s/.*\<((https?|file):[^ ]+).*/\1/p" <<< "$line")
	url=${url:-$mirror}
	case "$line $why" in
	*'is not valid yet'*|*expired*)
		echo "$url: its dates do not fit this machine's clock: correct the clock, or set NVMEVM_MIRROR" ;;
	*'GPG error'*|*'not signed'*)
		echo "$url has no valid signature: upgrade debian-archive-keyring, or set NVMEVM_MIRROR to a mirror of Debian" ;;
	*'Hash Sum mismatch'*|*'unexpected size'*)
		echo "$url is damaged, or the mirror is changing: wait or set NVMEVM_MIRROR; $again" ;;
	*[Rr]esolv*)
		echo "$url cannot be fetched: the name $(sed -E "s/.*resolv[a-z]* '([^']*)'.*/\1/" <<< "$line $why") is not known; $try" ;;
	*'onnection failed'*|*'ould not connect'*|*'nable to connect'*|*'timed out'*|*refused*|*unreachable*)
		echo "$url cannot be fetched: no answer; $try" ;;
	*' 404 '*|*'does not have a Release file'*|*'File not found'*)
		echo "$url: the mirror lacks it, or is changing: wait or set NVMEVM_MIRROR; $again" ;;
	*'Failed to fetch'*)
		echo "$url cannot be fetched:${line##*"$url"}; $try" | tr -s ' ' ;;
	*)
		names=$(sed -nE "s/^E: (Unable to locate package|Package|Can.t find a source .* of) '?([^':\" ]+).*/\2/p" <<< "$1" | sort -u | paste -sd ' ')
		[ -z "$names" ] || echo "$mirror has no package $names: correct the list that names it (vm/packages*), or set NVMEVM_MIRROR" ;;
	esac
}

# reason LOG: why a command failed and what to do about it, if its log or the cache shows that
reason()
{
	local text

	text=$(tail -n 400 "${1:-/dev/null}" | tr '\r' '\n')
	if [ ! -w "$cache" ]; then
		echo "the cache $cache is read-only: set NVMEVM_CACHE to another directory"
	elif grep -q 'No space left on device' <<< "$text" || full "$cache"; then
		echo "no space or no inodes left for the cache $cache: free some, or set NVMEVM_CACHE; run it again: it goes on from here"
	else
		mirror_reason "$text"
	fi
}

# End what a step started, so that an interrupted set-up leaves nothing running.
end_step()
{
	[ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
	ticker=
	[ -n "$child" ] || return 0
	kill -TERM -- "-$child" 2>/dev/null || true
	wait "$child" 2>/dev/null || true
	child=
}

ended()
{
	local rc=$? why

	end_step
	rm -f "$cache"/*.path.$$
	[ "$rc" != 0 ] && [ -n "$in_stage" ] || return 0
	why=$(reason "$failed_log")
	[ -n "$why" ] || [ -z "$failed_log" ] || tail -n 25 "$failed_log" >&2
	say "error: step \"$in_stage\": ${why:-failed}${failed_log:+ (log: $failed_log)}"
}

interrupted()
{
	in_stage=
	end_step
	say "interrupted; what was finished is kept, run it again to go on"
	exit 130
}

# announce TITLE: say it once the step takes longer than 2 s.
announce()
{
	local never

	exec {never}<> <(:)
	read -r -t 2 -u "$never" || say "$1"
}

# tick LOG: every 15 s the time spent and the last line of LOG. A set-up that was killed ends what it started.
tick()
{
	local log=$1 start=$SECONDS never last n=0

	exec {never}<> <(:)
	while ! read -r -t 5 -u "$never"; do
		kill -0 $$ 2> /dev/null || { kill -TERM -- "-$child"; exit; }
		((++n % 3 == 0)) || continue
		last=$(tail -c 2000 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-90)
		printf '      %d:%02d  %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$last" >&2
	done
}

# logged LOG COMMAND...: run it with output in LOG and a sign of life. LOG says why, if the step fails.
logged()
{
	local log=$1 rc=0
	shift

	: > "$log"
	set -m
	"$@" > "$log" 2>&1 < /dev/null &
	child=$!
	set +m
	tick "$log" &
	ticker=$!
	wait "$child" || rc=$?
	child=
	end_step
	failed_log=
	[ "$rc" = 0 ] || failed_log=$log
	return "$rc"
}

# key TEXT...: hash of the arguments; files given as @PATH count with their content.
key()
{
	local a
	for a in "$@"; do
		case $a in
		@*) cat "${a#@}" ;;
		*) printf '%s\n' "$a" ;;
		esac
	done | sha256sum | cut -c 1-12
}

# stage NAME DIR TEXT FUNCTION [ARGUMENT...]: make DIR by FUNCTION DIR.tmp ARGUMENT... unless it is there. One at a time for each NAME.
stage()
{
	local name=$1 dir=$2 text=$3 func=$4 lock

	[ ! -d "$dir" ] || return 0
	in_stage=$name
	exec {lock}> "$cache/$name.lock"
	if ! flock -n "$lock"; then
		say "waiting for another set-up to finish its step '$name'"
		flock "$lock"
	fi
	if [ ! -d "$dir" ]; then
		say "$text"
		rm -rf --one-file-system "$dir.tmp"
		mkdir -p "$dir.tmp"
		"$func" "$dir.tmp" "${@:5}"
		mv -T "$dir.tmp" "$dir"
	fi
	in_stage=
	exec {lock}>&-
}

# check_config FRAGMENT CONFIG: every line of a fragment has made it into the kernel's configuration.
check_config()
{
	local line

	while read -r line; do
		case $line in
		CONFIG_*=n)
			! grep -q "^${line%=n}=" "$2" || die "the kernel configuration keeps ${line%=n}"
			;;
		CONFIG_*)
			grep -qxF "$line" "$2" || die "the kernel configuration drops $line"
			;;
		esac
	done < "$1"
}

# in_tree TREE DIR COMMAND...: run it as root inside TREE with DIR on /mnt, and the directory
# $kernel_source, if that is set, on /srv.
in_tree()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare -m sh -ec '
		tree=$1 dir=$2 source=$3
		shift 3
		for d in proc sys dev; do mount --rbind "/$d" "$tree/$d"; done
		mount --bind "$dir" "$tree/mnt"
		[ -z "$source" ] || mount --bind -o ro "$source" "$tree/srv"
		mount --bind "$(readlink -f /etc/resolv.conf)" "$tree/etc/resolv.conf"
		exec chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
			LC_ALL=C.UTF-8 http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" no_proxy="${no_proxy:-}" "$@"
	' sh "$1" "$2" "${kernel_source:-}" "${@:3}"
}

# with_archive DIR LOG KIND SUITE...: DIR/apt, with which apt in the tree, DIR on /mnt and APT_CONFIG=/mnt/apt/conf, knows
# these suites and nothing else; KIND is deb or deb-src. A suite that the mirror does not have is left out.
with_archive()
{
	local dir=$1 log=$2 kind=$3 suite list

	mkdir -p "$dir/apt/lists/partial" "$dir/apt/suites"
	cp "$vm/archive.conf" "$dir/apt/conf"
	for suite in "${@:4}"; do
		list=$dir/apt/suites/$suite.list
		echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$list"
		logged "$log" in_tree "$tree" "$dir" env APT_CONFIG=/mnt/apt/conf apt-get -q update && continue
		grep -A 1 '^Err:' "$log" | grep -qE '^ +(404 |File not found)' || return
		rm "$list"
	done
}

# fetch_source DIR LOG PACKAGE SUITE...: the files of a source package. A mirror may lack what its index lists: of all
# versions the newest that can be had.
fetch_source()
{
	with_archive "$1" "$2" deb-src "${@:4}" || return
	# shellcheck disable=SC2016 # expanded in the tree
	logged "$2" in_tree "$tree" "$1" env APT_CONFIG=/mnt/apt/conf sh -ec '
		cd /mnt
		for version in $(apt-cache showsrc --only-source "$1" | sed -n "s/^Version: //p" | sort -ruV); do
			apt-get -q source --download-only "$1=$version" > apt/log 2>&1 && exit
			cat apt/log
			grep -q " 404 " apt/log || exit
			rm -f "$1"_*
		done
		echo "E: Package $1 has no version that can be had" >&2
		exit 1' sh "$3" || return
	rm -rf "$1/apt"
}

# unpack_source DIR PACKAGE LOG: the kernel source of a linux-source package, the tree's or Debian's archive's
unpack_source()
{
	local dir=$1 package=$2 log=$3 file=$tree/usr/src/$2.tar.xz

	if [ ! -e "$file" ]; then
		mkdir "$dir/deb"
		with_archive "$dir/deb" "$log" deb trixie trixie-backports || return
		logged "$log" in_tree "$tree" "$dir/deb" env APT_CONFIG=/mnt/apt/conf sh -ec "cd /mnt
			apt-get -q download $package
			dpkg-deb -x $package*.deb ." || return
		file=$dir/deb/usr/src/$package.tar.xz
	fi
	logged "$log" tar -xf "$file" -C "$dir" --strip-components=1 || return
	rm -rf "$dir/deb"
}

trap ended EXIT
trap interrupted INT TERM HUP
