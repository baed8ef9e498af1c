#!/bin/sh
# calls.sh FILE... - refuse calls that style forbids, outside comments and text
#
# strcpy strcat sprintf strncpy gets: no bound, or a bound that is not one
# strtok: hidden state.  atoi: no error.  alloca: no bound on the stack.
# getaddrinfo: blocks, and reads files of its own choosing.
set -eu

awk '
FNR == 1 { comment = 0 }
{
	line = $0
	gsub(/\\./, "", line)
	gsub(/"[^"]*"/, "\"\"", line)
	out = ""
	while (line != "") {
		if (comment) {
			i = index(line, "*/")
			if (!i)
				break
			line = substr(line, i + 2)
			comment = 0
			continue
		}
		i = index(line, "/*")
		j = index(line, "//")
		if (j && (!i || j < i)) {
			out = out substr(line, 1, j - 1)
			break
		}
		if (!i) {
			out = out line
			break
		}
		out = out substr(line, 1, i - 1) " "
		line = substr(line, i + 2)
		comment = 1
	}
	n = split(out, w, /[^A-Za-z0-9_(]+/)
	for (i = 1; i <= n; i++) {
		m = split(w[i], c, "(")
		for (j = 1; j < m; j++)
			if (c[j] ~ /^(strcpy|strcat|sprintf|strncpy|strtok|atoi|alloca|getaddrinfo|gets|vsprintf)$/) {
				print FILENAME ":" FNR ": " c[j] "() is forbidden"
				bad = 1
			}
	}
}
END { exit bad }' "$@"
