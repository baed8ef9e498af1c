#!/bin/sh
# table.sh FLAG... - the table of PID 1 must not compile when a cell is missing
#
# It does as it is; not without a cell, not with one twice, and not with a state
# or an event more than it has cells for.
set -eu
CC=${CC:-cc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

compiles()
{
	$CC "$@" -fsyntax-only "$tmp/init/pid1.c" 2>"$tmp/said"
}

# fresh: the sources as they are
fresh()
{
	rm -rf "$tmp/init"
	mkdir "$tmp/init"
	cp init/pid1.c init/pid1.h "$tmp/init"
}

# refused WHAT FILE SED FLAG...: with that edit it does not compile
refused()
{
	what=$1 file=$2 edit=$3
	shift 3
	fresh
	sed "$edit" "$tmp/init/$file" >"$tmp/new"
	if cmp -s "$tmp/new" "$tmp/init/$file"; then
		echo "init/$file: cannot be edited to have $what"
		bad=1
		return
	fi
	mv "$tmp/new" "$tmp/init/$file"
	if compiles "$@"; then
		echo "init/pid1.c: compiles with $what"
		bad=1
	fi
}

fresh
# The copies are found first
set -- "-I$tmp" "$@"
compiles "$@" || { cat "$tmp/said"; exit 1; }
refused 'a cell missing' pid1.c '/^\tX(NET, TIMEOUT,/d' "$@"
refused 'a row missing' pid1.c '/^\tX(RUN, /d' "$@"
refused 'a cell twice' pid1.c '/^\tX(NET, TIMEOUT,/s/TIMEOUT/READY/' "$@"
refused 'another state' pid1.h 's/^\tPID1_OFF,/&PID1_LIMBO,/' "$@"
refused 'another event' pid1.h 's/^\tPID1_EV_SIGNAL,/&PID1_EV_WHIM,/' "$@"
exit $bad
