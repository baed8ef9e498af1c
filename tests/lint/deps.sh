#!/bin/sh
# deps.sh - refuse an #include that breaks the one-way order in tests/lint/deps
#
# Names of headers are whole paths, so that the layer can be seen.
set -eu
cd "$(dirname "$0")/../.."

dirs=
for d in include lib agent init gateway; do
	[ ! -d "$d" ] || dirs="$dirs $d"
done
[ -n "$dirs" ] || exit 0

# shellcheck disable=SC2086 # a list of words
{ grep -rHo --include='*.[ch]' '^#include "[^"]*"' $dirs || :; } |
awk '
function layer(path,	l, best) {
	sub(/^(include|lib)\//, "", path)
	for (l in may)
		if (index(path, l "/") == 1 && length(l) > length(best))
			best = l
	return best
}
FNR == NR { split($0, a, ": *"); may[a[1]] = " " a[2] " "; next }
{
	split($0, a, /:#include "|"/)
	if (a[2] == "seccomp_list.h")	# generated
		next
	from = layer(a[1]); to = layer(a[2])
	if (to == "") {
		print a[1] ": \"" a[2] "\": name it by its path from the top" \
			" (or from include/)"
		bad = 1
	} else if (from != to && !index(may[from], " " to " ")) {
		print a[1] ": " from " may not include " a[2] \
			" (tests/lint/deps)"
		bad = 1
	}
}
END { exit bad }' tests/lint/deps -
