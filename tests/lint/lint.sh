#!/bin/sh
# lint.sh FLAG... - all checks of the text; FLAGs are the compiler's
#
# Environment: O (build), CC (cc), PYTHON (python3).  Every check runs, and each
# that fails is named at the end.
set -eu
cd "$(dirname "$0")/../.."

case ${1-} in
-h | --help)
	echo "usage: lint.sh FLAG..., or make lint"
	exit 0
	;;
esac

O=${O:-build}
CC=${CC:-cc}
PYTHON=${PYTHON:-python3}
export O CC
jobs=$(nproc)
lists=$O/lint/lists
mkdir -p "$lists" "$O/lint/cppcheck"

# Files that exist, committed or not: what is new is wrong most often
dirs=
for d in include lib agent init gateway rootfs tests tools .ci; do
	[ ! -d "$d" ] || dirs="$dirs $d"
done
# shellcheck disable=SC2086 # a list of words
find $dirs -type f ! -path '*/corpus/*' ! -path '*/__pycache__/*' |
	LC_ALL=C sort >"$lists/all"
grep -E '\.c$' "$lists/all" >"$lists/c" || :
grep -E '\.[ch]$' "$lists/all" >"$lists/ch" || :
grep -E '^(include|agent|init|gateway)/.*\.h$' "$lists/all" >"$lists/h" || :
grep -E '^(lib|agent|init|gateway)/.*\.c$' "$lists/all" >"$lists/product" || :
grep -E '\.py$' "$lists/all" >"$lists/py" || :
xargs -r grep -lE '^#!/bin/(ba)?sh' <"$lists/all" >"$lists/sh" || :
find $dirs -maxdepth 1 -name '*.sh' >>"$lists/sh"
sort -u -o "$lists/sh" "$lists/sh"

failed=
check()
{
	name=$1
	shift
	if ! "$@"; then
		failed="$failed $name"
	fi
}

# each LIST COMMAND...: with the names of the list as last arguments
each()
{
	list=$lists/$1
	shift
	xargs -r "$@" <"$list"
}

headers()
{
	# shellcheck disable=SC2016 # for the inner shell
	each h -P "$jobs" -n 8 sh -c '
		bad=0
		for h in "$@"; do
			echo "#include \"$h\"" |
				$CC $FLAGS -Werror -fsyntax-only -x c - || {
				echo "$h: does not compile alone"
				bad=1
			}
		done
		exit $bad' sh
}

tidy()
{
	each c -P "$jobs" -I '{}' sh tests/lint/tidy.sh '{}' "$@"
}

cpp()
{
	includes=
	for f in "$@"; do
		case $f in
		-I* | -D*) includes="$includes $f" ;;
		esac
	done
	# shellcheck disable=SC2086 # a list of words
	cppcheck --std=c11 --language=c --quiet --inline-suppr -j "$jobs" \
		--enable=warning,style,performance,portability \
		--suppressions-list="$lists/suppressions" \
		--error-exitcode=1 --cppcheck-build-dir="$O/lint/cppcheck" \
		--template='{file}:{line}: {message} [cppcheck {id}]' \
		$includes --file-list="$lists/product"
}

python()
{
	each py "$PYTHON" -c '
import sys
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as f:
        compile(f.read(), name, "exec")'
}

shells()
{
	while read -r f; do
		case $(head -n 1 "$f") in
		*bash*) bash -n "$f" || return 1 ;;
		*) sh -n "$f" || return 1 ;;
		esac
	done <"$lists/sh"
}

FLAGS=$*
export FLAGS
grep -v '^#' tests/lint/cppcheck.txt | grep . >"$lists/suppressions"
check deps sh tests/lint/deps.sh
check calls each ch sh tests/lint/calls.sh
check length each all sh tests/lint/length.sh
check rfc sh tests/lint/rfc.sh
check man sh tests/lint/man.sh
check table sh tests/lint/table.sh "$@"
check fuzz sh tests/lint/fuzz.sh
check shells shells
check python python
check headers headers
if [ -s "$lists/product" ]; then
	check cppcheck cpp "$@"
fi
check clang-tidy tidy "$@"

if [ -n "$failed" ]; then
	echo "lint: failed:$failed" >&2
	exit 1
fi
