#!/bin/sh
# fuzz.sh - whatever reads a text of somebody else's has a fuzzer with a corpus
#
# A reader is a function of init/, agent/ or proto/ that is called x_parse() or
# x_next(), or is in the list below.  Those left out compare a whole value with a
# few words.
set -eu
cd "$(dirname "$0")/../.."
bad=0

plain='restart_parse shutdown_parse'
more='env_set cmdline_get cmdline_args handoff_args_words handoff_args_env
	mtab_last mtab_path userspec_resolve roots_take bundle_edit x509_judge
	x509_hash file_block check_asked status_json watch_feed spawn_interp'

for f in tests/fuzz/*_fuzz.c; do
	name=$(basename "$f" _fuzz.c)
	set -- tests/fuzz/corpus/"$name"/*
	[ -s "$1" ] || { echo "$f: no corpus"; bad=1; }
done
for d in tests/fuzz/corpus/*/; do
	name=$(basename "$d")
	[ -e "tests/fuzz/${name}_fuzz.c" ] || { echo "$d: no fuzzer"; bad=1; }
done

readers=$(grep -hoE '^[a-z].*\b[a-z0-9_]+_(parse|next)\(' init/*.h agent/*.h \
	include/proto/*.h | grep -oE '[a-z0-9_]+\($' | tr -d '(' | sort -u)
[ -n "$readers" ] || { echo "fuzz.sh: no readers found"; exit 1; }
for r in $readers $more; do
	case " $plain " in *" $r "*) continue ;; esac
	# What is read through another reader of the same module
	[ "$r" != vlist_next ] || r=mntspec_next
	grep -qE "\\b$r\\(" tests/fuzz/*_fuzz.c || {
		echo "$r(): no fuzzer calls it"
		bad=1
	}
done
exit $bad
