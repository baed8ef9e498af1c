#!/bin/sh
# seccomp.sh - list the system calls that the packet process may make
#
# Prints one X(name) for each word after "#syscalls" in the comments of the
# sources that run in the packet process: everything under gateway/ and lib/ but
# the monitor and what runs before the packet process exists.  isolate.c includes
# the list; a name that libseccomp does not know fails the build there.
set -eu
cd "$(dirname "$0")/.."
echo "/* Made by gateway/seccomp.sh from the #syscalls comments */"
find gateway lib -name '*.c' \
	! -path 'gateway/monitor/*' ! -path gateway/main.c \
	! -path gateway/host.c ! -path 'gateway/conf*.c' -print |
LC_ALL=C sort | xargs grep -h '#syscalls' |
sed -e 's/.*#syscalls//' -e 's/\*\/.*//' | tr -s ' \t' '\n\n' |
LC_ALL=C sort -u | while read -r name; do
	case $name in
	'') ;;
	*[!a-z0-9_]*) echo "seccomp.sh: bad system call name: $name" >&2
		exit 1 ;;
	*) echo "X($name)" ;;
	esac
done
