# shellcheck shell=sh
# lib.sh - read by the scripts that run in the guest
#
# What the host's side reads begins with '@':
#	@NAME|LINE	a line that a step said
#	@NAME=STATUS MS	how it ended, and how long it took (10 ms ticks)
#	@!WORD		the host is to do something

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
export PATH HOME
# shellcheck disable=SC1091 # made by the test
[ ! -r /etc/msb/variables ] || . /etc/msb/variables
S=/run/msb/status

uptime_ms()
{
	read -r up _ </proc/uptime
	up=${up%.*}${up#*.}0
	echo "${up#"${up%%[!0]*}"}"
}

# step NAME COMMAND...: run it, say what it said and how it ended
step()
{
	name=$1
	shift
	begin=$(uptime_ms)
	r=0
	"$@" >/tmp/step.out 2>&1 </dev/null || r=$?
	took=$(($(uptime_ms) - begin))
	sed "s/^/@$name|/" /tmp/step.out
	# A last line without its newline must not swallow ours
	[ -z "$(tail -c 1 /tmp/step.out)" ] || echo
	echo "@$name=$r $took"
}

# status KEY: of the agent's status file
status()
{
	sed -n "s/^$1=//p" $S 2>/dev/null
}

# until_ok SECONDS COMMAND...: try again until it succeeds
until_ok()
{
	n=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		[ $n -gt 0 ] || return 1
		usleep 100000
	done
}

link_up()
{
	[ "$(status LINK_STATE)" = up ] && [ "$(status STATE)" = ready ]
}

addresses()
{
	ip -o addr show dev eth0 scope global |
		sed -n 's/.*inet6* \([^ ]*\).*/\1/p'
	ip route show dev eth0
	ip -6 route show default
}

get()
{
	curl -sS --max-time 20 "$@"
}

# get_sum URL: SHA-256 of what comes
get_sum()
{
	get --max-time 120 -o /tmp/blob "$1" && sha256sum </tmp/blob
}

# put URL: /tmp/blob; the server answers with its SHA-256
put()
{
	get --max-time 120 -T /tmp/blob -H Expect: "$1"
}

zombies()
{
	cat /proc/[0-9]*/stat 2>/dev/null |
		awk '{ sub(/.*\) /, "") } $1 == "Z"'
}

pinged()
{
	ping -c 2 -W 3 "$1"
}
