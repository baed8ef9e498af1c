#!/bin/sh
# man.sh - every variable and subcommand of msb-init is in its man page
#
# A variable is a text in the code that begins with MSB_: it must have an entry of
# its own, and an example, NAME=VALUE at the beginning of a line.
set -eu
page=${1:-man/msb-init.8}
bad=0

names=$(find init agent lib/proto include/proto -name '*.[ch]' -print0 |
	xargs -0 grep -hoE '"MSB_[A-Z0-9_]+' | tr -d '"' | LC_ALL=C sort -u)
[ -n "$names" ] || { echo "man.sh: no variables found"; exit 1; }
for n in $names; do
	grep -qE "^\.BR? (MSB_[A-Z0-9_]+ \", \" )*$n( |$)" "$page" || {
		echo "$page: no entry for $n"
		bad=1
	}
	grep -qE "^$n=[^ ]" "$page" || {
		echo "$page: no example of $n"
		bad=1
	}
done

verbs=$(sed -n 's/^\t{ "\([a-z][a-z-]*\)",.*/\1/p' init/main.c)
[ -n "$verbs" ] || { echo "man.sh: no subcommands found"; exit 1; }
for v in $verbs; do
	grep -qE "^\.B msb-init $v( |$)" "$page" || {
		echo "$page: subcommand $v is not in the synopsis"
		bad=1
	}
	grep -qE "^\.(SS|BR?) (The |\")?(msb-init )?$v" "$page" || {
		echo "$page: subcommand $v is not described"
		bad=1
	}
done
exit $bad
