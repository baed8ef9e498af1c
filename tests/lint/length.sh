#!/bin/sh
# length.sh FILE... - refuse files over 800 lines and C functions over 80
#
# A function begins with a brace in the first column, which a table does not.
set -eu

awk '
function file_ends() {
	if (lines > 800) {
		print name ": " lines " lines, the limit is 800: split it by what it does"
		bad = 1
	}
}
FNR == 1 { file_ends(); name = FILENAME; start = 0 }
{ lines = FNR }
FILENAME !~ /\.[ch]$/ { next }
/^[A-Za-z_].*\(/ && !/;[ \t]*$/ {
	f = $0
	sub(/\(.*/, "", f)
	sub(/.*[ \t*]/, "", f)
}
/^\{/ { start = FNR }
/^\}/ {
	if (start && FNR - start - 1 > 80) {
		print name ":" start ": " f "() has " FNR - start - 1 \
			" lines, the limit is 80"
		bad = 1
	}
	start = 0
}
END { file_ends(); exit bad }' "$@"
