#!/bin/sh
# man.sh - every variable, subcommand and option of msb-init is in its man page
#
# A variable is a text in the code that begins with MSB_: it must have an entry of
# its own, and an example, NAME=VALUE at the beginning of a line.  A subcommand is
# a row of the table in init/main.c: it must be in the synopsis, have a section, an
# exit status and an example.  An option is a row of a table for getopt_long(): it
# must have an entry in the section of options of its subcommand.
set -eu
page=${1:-man/msb-init.8}
bad=0

miss()
{
	echo "$page: $*"
	bad=1
}

# section TITLE...: what stands under the headings that match
section()
{
	awk -v title="$1" '
		/^\.S[SH] / { on = $0 ~ title; next }
		on' "$page"
}

names=$(find init agent lib/proto include/proto -name '*.[ch]' -print0 |
	xargs -0 grep -hoE '"MSB_[A-Z0-9_]+' | tr -d '"' | LC_ALL=C sort -u)
[ -n "$names" ] || { echo "man.sh: no variables found"; exit 1; }
for n in $names; do
	grep -qE "^\.BR? (MSB_[A-Z0-9_]+ \", \" )*$n( |$)" "$page" ||
		miss "no entry for $n"
	grep -qE "^$n=[^ ]" "$page" || miss "no example of $n"
done

verbs=$(sed -n 's/^\t{ "\([a-z][a-z-]*\)",.*/\1/p' init/main.c)
[ -n "$verbs" ] || { echo "man.sh: no subcommands found"; exit 1; }
for v in $verbs; do
	grep -qE "^\.B msb-init $v( |$)" "$page" ||
		miss "subcommand $v is not in the synopsis"
	grep -qE "^\.SS (The )?$v$" "$page" ||
		miss "subcommand $v is not described"
	section '^.SH EXIT STATUS' | grep -qE "^\.B $v$" ||
		miss "no exit status of subcommand $v"
	grep -qE "^(\\$ )?msb-init $v( |$)" "$page" ||
		miss "no example of subcommand $v"
done

# Of the program itself: rows of the same table
for o in $(sed -n 's/^\t{ "--\([a-z-]*\)",.*/\1/p' init/main.c); do
	section '^.SS Options of all' | tr -d '\\' |
		grep -qE "^\.B --$o( |$)" || miss "no entry for --$o"
done

found=
for f in $(grep -lE '^[[:space:]]+\{ "[a-z0-9-]+", (no|required)_arg' \
	init/*.c agent/*.c); do
	verb=$(basename "$f" .c)
	[ "$verb" != conf ] || verb=agent	# its options, and those of net
	[ "$verb" != ca_main ] || verb=ca
	for o in $(sed -nE 's/^\t\t\{ "([a-z0-9-]+)", (no|required)_arg.*/\1/p' \
		"$f"); do
		found=1
		[ "$o" != help ] || continue
		section "^.SS Options of $verb" | tr -d '\\' |
			grep -qE "^\.BI? --$o( |$)" ||
			miss "no entry for --$o of $verb ($f)"
	done
done
[ -n "$found" ] || { echo "man.sh: no options found"; exit 1; }
exit $bad
