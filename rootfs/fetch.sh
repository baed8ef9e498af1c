# shellcheck shell=sh
# shellcheck disable=SC2154 # me, dl: set by the scripts that read this one
# fetch.sh - get sources and packages from Debian's archive, verified by apt
#
# Read by the other scripts here.  They set $dl, the directory for downloads,
# and $me, the name that messages begin with.
#
# apt runs on a private configuration with its own lists, made from the
# machine's own Debian entries: deb822 files or one-line entries, whichever it
# has.  Nothing outside $dl is written, and no root is needed.

# Suites that can step in when the mirror lacks a file of the machine's own
debian_others="trixie bookworm"
debian_suites='(bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable)'

die()
{
	echo "$me: $*" >&2
	exit 1
}

# One caller at a time: several builds may share the downloads
lock()
{
	mkdir -p "$1"
	exec 9>"$1/.lock"
	flock -n 9 || {
		echo "$me: waiting for another build in $1"
		flock 9
	}
}

# apt_deb822 TYPES: print the machine's Debian entries, as those TYPES
apt_deb822()
{
	for f in /etc/apt/sources.list.d/*.sources; do
		[ ! -r "$f" ] || { grep -v '^#' "$f"; echo; }
	done | awk -v types="$1" -v ok="^$debian_suites(-updates|-security|/updates)?\$" '
	BEGIN { RS = ""; FS = "\n" }
	{
		good = main = 0; out = ""
		for (i = 1; i <= NF; i++) {
			n = split($i, w, /[ \t]+/)
			key = tolower(w[1])
			if (key == "types:")
				$i = "Types: " types
			if (key == "suites:") {
				good = n > 1
				for (j = 2; j <= n; j++)
					if (w[j] != "" && w[j] !~ ok)
						good = 0
			}
			if (key == "components:")
				for (j = 2; j <= n; j++)
					if (w[j] == "main")
						main = 1
			if (key == "enabled:" && tolower(w[2]) == "no")
				main = -1
			out = out $i "\n"
		}
		if (good && main == 1)
			print out
	}'
}

# apt_oneline TYPE...: the same for sources.list
apt_oneline()
{
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ ! -r "$f" ] || cat "$f"
	done | awk -v types="$*" -v ok="^$debian_suites(-updates|-security|/updates)?\$" '
	$1 != "deb" { next }
	{
		uri = 2
		if ($2 ~ /^\[/)
			while (uri <= NF && $(uri++) !~ /\]$/)
				;
		main = 0
		for (i = uri + 2; i <= NF; i++)
			if ($i == "main")
				main = 1
		if ($(uri + 1) !~ ok || !main)
			next
		n = split(types, t, " ")
		for (i = 1; i <= n; i++) {
			$1 = t[i]
			print
		}
	}'
}

# apt_setup SUITE: make the private configuration and read the lists, once a
# day.  "own" are the machine's suites, "again" the same with lists read anew.
# Returns 1 when that has just been done, or SUITE is one of the machine's own.
apt_setup()
{
	if [ "$1" = again ]; then
		[ -z "$(find "$dl/apt/own/stamp" -mmin -10)" ] || return 1
		rm -f "$dl/apt/own/stamp"
		set -- own
	fi
	! grep -qsw -e "$1" "$dl/apt/own/parts/debian.sources" \
		"$dl/apt/own/parts/debian.list" || return 1
	apt_dir=$dl/apt/$1
	mkdir -p "$apt_dir/parts" "$apt_dir/lists/partial" "$apt_dir/cache"
	apt_deb822 "deb deb-src" >"$apt_dir/parts/debian.sources"
	apt_oneline deb deb-src >"$apt_dir/parts/debian.list"
	if [ "$1" != own ]; then	# the main archive under another suite
		awk 'BEGIN { RS = ""; ORS = "\n\n" } !/-security/' \
			"$apt_dir/parts/debian.sources" | head -n 20 |
			sed "s/^\([Ss]uites\):.*/\1: $1/" >"$apt_dir/new"
		mv "$apt_dir/new" "$apt_dir/parts/debian.sources"
		sed -E -n "/security|-updates/!s/ $debian_suites / $1 /p" \
			"$apt_dir/parts/debian.list" >"$apt_dir/new"
		mv "$apt_dir/new" "$apt_dir/parts/debian.list"
	fi
	[ -s "$apt_dir/parts/debian.sources" ] ||
		[ -s "$apt_dir/parts/debian.list" ] ||
		die "no Debian entry in /etc/apt/sources.list or" \
			"/etc/apt/sources.list.d: add one for 'main'"
	[ -z "$(find "$apt_dir/stamp" -mtime -1 2>/dev/null)" ] || return 0
	echo "$me: reading Debian's package lists ($1)"
	apt_run apt-get -qq update >"$apt_dir/log" 2>&1 || {
		cat "$apt_dir/log" >&2
		die "apt-get update failed; is the Debian mirror reachable?"
	}
	touch "$apt_dir/stamp"
}

# apt_run apt-get|apt-cache ARGS: on the private configuration
apt_run()
{
	apt_program=$1
	shift
	"$apt_program" -o Dir::Etc::sourceparts="$apt_dir/parts" \
		-o Dir::Etc::sourcelist=/dev/null \
		-o Dir::State::lists="$apt_dir/lists" \
		-o Dir::Cache="$apt_dir/cache" \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Sandbox::User=root -o Acquire::Languages=none \
		-o Acquire::Retries=3 "$@"
}

# newest source version of a package that OP LIMIT holds for
apt_source_version()
{
	apt_run apt-cache showsrc --only-source "$1" 2>/dev/null |
		sed -n 's/^Version: //p' | {
		best=
		while read -r v; do
			dpkg --compare-versions "$v" "$2" "$3" || continue
			[ -z "$best" ] ||
				dpkg --compare-versions "$v" gt "$best" ||
				continue
			best=$v
		done
		echo "$best"
	}
}

# sums DIR: are the files there, and are they the ones that apt verified?
sums_ok()
{
	[ -s "$1/SHA256SUMS" ] &&
		(cd "$1" && sha256sum --quiet -c SHA256SUMS) >/dev/null 2>&1
}

sums_make()
{
	(cd "$1" && find . -type f ! -name 'SHA256SUMS*' | sort |
		xargs sha256sum) >"$1/SHA256SUMS.new"
	mv "$1/SHA256SUMS.new" "$1/SHA256SUMS"
}

# fetch_source PACKAGE OP LIMIT: its newest version for which OP LIMIT holds,
# into $dl/src/PACKAGE.  Returns 1 when no archive has it.
fetch_source()
{
	src=$dl/src/$1
	if ! sums_ok "$src"; then
		for suite in own again $debian_others; do
			apt_setup "$suite" || continue
			v=$(apt_source_version "$1" "$2" "$3")
			[ -n "$v" ] || continue
			rm -rf "$src"
			mkdir -p "$src"
			echo "$me: fetching the source of $1 $v"
			if (cd "$src" && apt_run apt-get -qq source \
				--download-only "$1=$v" >../log 2>&1); then
				sums_make "$src"
				break
			fi
			echo "$me: this mirror lacks a file of $1 $v"
			rm -rf "$src"
		done
	fi
	sums_ok "$src" || return 1
	report "$src"
}

# fetch_deb PACKAGE OP LIMIT: the same for a binary package, into $dl/deb/PACKAGE
fetch_deb()
{
	deb=$dl/deb/$1
	if ! sums_ok "$deb"; then
		for suite in own again $debian_others; do
			apt_setup "$suite" || continue
			v=$(apt_run apt-cache policy "$1" |
				sed -n 's/^  Candidate: //p')
			[ -n "$v" ] && [ "$v" != '(none)' ] || continue
			dpkg --compare-versions "$v" "$2" "$3" || continue
			rm -rf "$deb"
			mkdir -p "$deb"
			echo "$me: fetching $1 $v"
			if (cd "$deb" && apt_run apt-get -qq download "$1=$v" \
				>../log 2>&1); then
				sums_make "$deb"
				break
			fi
			cat "$dl/deb/log" >&2
			rm -rf "$deb"
		done
	fi
	sums_ok "$deb" || return 1
	report "$deb"
}

# fetch_set NAME PACKAGE...: packages with all that they depend on, of one suite,
# into $dl/deb/set-NAME
fetch_set()
{
	deb=$dl/deb/set-$1
	lock "$dl"
	shift
	if ! sums_ok "$deb"; then
		for suite in own again; do
			apt_setup "$suite" || [ "$suite" = own ] || continue
			apt_dir=$dl/apt/own
			rm -rf "$deb"
			mkdir -p "$deb/partial"
			echo "$me: fetching $*"
			: >"$apt_dir/nothing"	# is installed: no file is spared
			# shellcheck disable=SC2048,SC2086 # a list of words
			if apt_run apt-get -qq -y --download-only \
				-o Dir::State::status="$apt_dir/nothing" \
				-o Dir::Cache::archives="$deb" \
				-o APT::Install-Recommends=false \
				install $* >"$dl/deb/log" 2>&1; then
				rm -rf "$deb/partial" "$deb/lock"
				sums_make "$deb"
				break
			fi
			cat "$dl/deb/log" >&2
			rm -rf "$deb"
		done
	fi
	sums_ok "$deb" || die "cannot fetch these packages: $*"
}

# report DIR: name, version and hash of every file, for the build's log
report()
{
	grep -E '\.(dsc|deb|(tar|diff)\.[a-z0-9]+)$' "$1/SHA256SUMS" |
		sed -e 's,  \./,  ,' -e 's/^/    /'
}

# unpack PACKAGE DIR: the fetched source, patched as Debian patches it
unpack()
{
	rm -rf "$2"
	mkdir -p "$(dirname "$2")"
	dpkg-source --no-check -x "$dl/src/$1"/*.dsc "$2" >"$2.log" 2>&1 || {
		cat "$2.log" >&2
		die "cannot unpack the source of $1"
	}
}
