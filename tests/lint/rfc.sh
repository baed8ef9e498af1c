#!/bin/sh
# rfc.sh - is each claim of tests/unit/tcp_rfc.md backed by a test?
#
# Every test that the first table names exists and runs; every section below has
# a row with a test; every event has rows in the second table, which are those of
# tcp_state_test.c.
set -eu
cd "$(dirname "$0")/../.."

page=${RFC_PAGE:-tests/unit/tcp_rfc.md}
sections='
9293: 3.1 3.3.2 3.4 3.4.1 3.4.2 3.5 3.5.1 3.5.2 3.5.3 3.6 3.6.1 3.7 3.7.1 3.7.2
9293: 3.7.4 3.7.5 3.8.1 3.8.2 3.8.3 3.8.4 3.8.5 3.8.6 3.8.6.1 3.8.6.2 3.8.6.3
9293: 3.9.1 3.9.2 3.10.4 3.10.7.1 3.10.7.2 3.10.7.3 3.10.7.4 3.10.8
5961: 3.2 4.2 5.2 7
2018: 3 4 8
2883: 4
1337: 3
5482: 3
6298: 2 3 4 5
6582: 3.2
6675: 2 3 4 5 5.1
7323: 2.2 2.3 2.4 3.2 4.3 5.2 5.3 5.4 5.5
6528: 3
6191: 2
5681: 3.1 3.2 4.1 4.3'
events='SYN
SYN+ACK
ACK
bad ACK
FIN
RST
data in
data left of the window
data right of what is next
data beyond the window
old duplicate
URG
timeout'

bad=0
complain()
{
	echo "$page: $*"
	bad=1
}

tests=$(sed -n 's/^| [0-9][0-9]* | .* | \(`.*`\) |$/\1/p' "$page" |
	tr -d '`' | tr ' ' '\n' | sort -u)
for t in $tests; do
	grep -qs "^static void $t(void \*\*state)" tests/unit/*tcp*_test.c ||
		complain "there is no test $t"
	grep -qs "cmocka_unit_test($t)" tests/unit/*tcp*_test.c ||
		complain "the test $t does not run"
done

echo "$sections" | while IFS=: read -r rfc list; do
	for s in $list; do
		grep -q "^| $rfc | $s | .* | \`.*\` |\$" "$page" ||
			echo "RFC $rfc section $s has no test"
	done
done | while read -r line; do
	echo "$page: $line"
done | grep . && bad=1

# Second table: each event has rows, and each of them stands in the C file, which
# has no other; the test itself misses a cell
rows=$(sed -n 's/^\t{ "\([^"]*\)", .*/\1/p' tests/unit/tcp_state_test.c)
named=$(sed -n '/^| event |/,$p' "$page" | sed 1,2d |
	sed 's/^|[^|]*|//; s/[|;]/\n/g' | sed 's/^ *//; s/ *$//' | sort -u)
echo "$events" | while read -r e; do
	grep -q "^| $e | [^ ].* |\$" "$page" || echo "$page: no rows for \"$e\""
done | grep . && bad=1
{
	echo "$named"
	echo "$rows"
	echo "$rows"
} | grep . | sort | uniq -c | awk -v page="$page" '
	$1 != 3 { sub(/^ *[0-9]+ /, "")
		  print page ": \"" $0 "\" is not in both tables"; bad = 1 }
	END { exit bad }' || bad=1
exit $bad
