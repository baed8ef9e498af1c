#!/bin/sh
# tidy.sh FILE FLAG... - run clang-tidy on one file, unless it passed before
#
# Before means: the same text of file and headers, comments included, the same
# checks and the same clang-tidy.
set -eu
cd "$(dirname "$0")/../.."

file=$1
shift
cache=${O:-build}/lint/tidy
# The path analyser takes most of the time.  Tests run under sanitizers, which
# see what it guesses.
checks=
case $file in
tests/*) checks='--checks=-clang-analyzer-*' ;;
esac
key=$({
	clang-tidy --version
	echo "$checks"
	cat tests/lint/.clang-tidy
	${CC:-cc} "$@" -E -C "$file"
} 2>/dev/null | sha256sum | cut -c 1-40)
[ ! -e "$cache/$key" ] || exit 0

mkdir -p "$cache"
out=$cache/out.$$
# shellcheck disable=SC2086 # one word or none
if clang-tidy --quiet --config-file=tests/lint/.clang-tidy $checks \
	--warnings-as-errors='*' "$file" -- "$@" >"$out" 2>&1; then
	: >"$cache/$key"
	rm -f "$out"
else
	# The path that led there is long: clang-tidy run by hand shows it
	grep -E '(error|warning): ' "$out" || cat "$out"
	rm -f "$out"
	exit 1
fi
