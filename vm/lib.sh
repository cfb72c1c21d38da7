# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034 # used by those who source it
#
# What the scripts of the virtual host share: cache, stages, progress, the tree.
# Sourced; needs bash.

vm=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$vm")
cache=${NVMEVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nvme-vfio-pci}
mirror=${NVMEVM_MIRROR:-http://deb.debian.org/debian}

child=
ticker=
in_stage=

say()
{
	echo "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
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
	local rc=$?

	end_step
	[ "$rc" = 0 ] || [ -z "$in_stage" ] || say "error: step '$in_stage' failed"
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

# tick LOG: every 15 s the time spent and the last line of LOG.
tick()
{
	local log=$1 start=$SECONDS never last

	exec {never}<> <(:)
	while ! read -r -t 15 -u "$never"; do
		last=$(tail -c 2000 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-90)
		printf '      %d:%02d  %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$last" >&2
	done
}

# logged LOG COMMAND...: run it with output in LOG and a sign of life; show the end of LOG on failure.
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
	[ "$rc" != 0 ] || return 0
	tail -n 25 "$log" >&2
	say "(all of it: $log)"
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
	exec {lock}> "$cache/$name.lock"
	if ! flock -n "$lock"; then
		say "waiting for another set-up to finish its step '$name'"
		flock "$lock"
	fi
	if [ ! -d "$dir" ]; then
		say "$text"
		rm -rf --one-file-system "$dir.tmp"
		mkdir -p "$dir.tmp"
		in_stage=$name
		"$func" "$dir.tmp" "${@:5}"
		in_stage=
		mv -T "$dir.tmp" "$dir"
	fi
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
			LC_ALL=C.UTF-8 http_proxy="${http_proxy:-}" "$@"
	' sh "$1" "$2" "${kernel_source:-}" "${@:3}"
}

# unpack_source DIR PACKAGE LOG: the kernel source of a linux-source package, the tree's or Debian's archive's
unpack_source()
{
	local dir=$1 package=$2 log=$3 archive=$tree/usr/src/$2.tar.xz

	if [ ! -e "$archive" ]; then
		mkdir "$dir/deb"
		logged "$log" in_tree "$tree" "$dir/deb" sh -ec "cd /mnt
			apt-get -q -o APT::Sandbox::User=root download $package
			dpkg-deb -x $package*.deb ." || return
		archive=$dir/deb/usr/src/$package.tar.xz
	fi
	logged "$log" tar -xf "$archive" -C "$dir" --strip-components=1 || return
	rm -rf "$dir/deb"
}

trap ended EXIT
trap interrupted INT TERM HUP
