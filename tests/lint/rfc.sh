#!/bin/sh
# rfc.sh - is each claim of tests/unit/tcp_rfc.md backed by a test?
#
# Every test that the first table names exists and runs; every section below has
# a row with a test; every state has a row in the second table, and every segment
# named there stands in one of the matrices.
set -eu
cd "$(dirname "$0")/../.."

page=${RFC_PAGE:-tests/unit/tcp_rfc.md}
sections='
9293: 3.1 3.3.2 3.4 3.4.1 3.4.2 3.5 3.5.1 3.5.2 3.5.3 3.6 3.6.1 3.7 3.7.1 3.7.2
9293: 3.7.4 3.7.5 3.8.1 3.8.2 3.8.3 3.8.4 3.8.5 3.8.6 3.8.6.1 3.8.6.2 3.8.6.3
9293: 3.9.1 3.9.2 3.10.4 3.10.7.1 3.10.7.2 3.10.7.3 3.10.7.4 3.10.8
5961: 3.2 4.2 5.2 7
6298: 2 3 4 5
6582: 3.2
6675: 2 3 4 5 5.1
7323: 2.2 2.3 2.4 3.2 4.3 5.2 5.3 5.5
6528: 3
6191: 2
5681: 3.1 3.2 4.1 4.3'
states='CLOSED DIALLING SYN-SENT SYN-RECEIVED ESTABLISHED FIN-WAIT-1 FIN-WAIT-2
CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT'

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

for s in $states; do
	row=$(grep "^| $s |" "$page") || complain "state $s has no row"
	test "$(printf %s "$row" | tr -cd '|' | wc -c)" -eq 10 ||
		complain "state $s: 8 kinds of segment are wanted"
done
# Segments: all cells but the first of the second table
names=$(sed -n '/^| state |/,$p' "$page" | sed 1,2d |
	sed 's/^|[^|]*|//; s/[|;]/\n/g' | sed 's/^ *//; s/ *$//' | sort -u)
while read -r name; do
	test -n "$name" || continue
	grep -qsF "{ \"$name\"," tests/unit/tcp_*_test.c ||
		complain "there is no segment \"$name\""
done <<EOF
$names
EOF
exit $bad
