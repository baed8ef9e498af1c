#!/bin/sh
# demo.sh [shell] - runs in the guest: try the network, step by step
#
# Prints "demo: ok: STEP" or "demo: FAILED: STEP" for each; exits with how many
# failed.  With "shell", gives one at the end.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
export PATH HOME
failed=0
. /etc/msb/servers

# variable NAME KEY: what KEY= says in a variable of the kernel's command line
variable()
{
	tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" |
		tr ',' '\n' | sed -n "s/^$2=//p"
}

gw4=$(variable MSB_NET_IPV4 gw)
gw6=$(variable MSB_NET_IPV6 gw)
alias=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^MSB_HOST_ALIAS=//p')
alias=${alias:-host.microsandbox.internal}

# step NAME COMMAND...: its output, indented, and how it went
step()
{
	name=$1
	shift
	echo "--- $name"
	if timeout 20 "$@" >/tmp/step 2>&1; then
		sed 's/^/    /' /tmp/step
		echo "demo: ok: $name"
	else
		r=$?
		sed 's/^/    /' /tmp/step
		echo "demo: FAILED: $name (status $r)"
		failed=$((failed + 1))
	fi
}

# Each of these is a command of its own, for timeout
case $1 in
has)	# has WORD COMMAND...: its output contains WORD
	word=$2
	shift 2
	"$@" >/tmp/has 2>&1 || { r=$?; cat /tmp/has; exit $r; }
	cat /tmp/has
	grep -qF -- "$word" /tmp/has
	exit
	;;
refused)	# refused SECONDS URL: no connection, and said at once
	s=$(date +%s)
	curl -sS -o /dev/null --max-time 10 "$3" && exit 1
	r=$?
	e=$(($(date +%s) - s))
	echo "curl's status $r after $e s"
	[ $r -eq 7 ] && [ $e -le "$2" ]
	exit
	;;
ready)	# ready SECONDS: the network is
	n=0
	until msb-init status >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt $(($2 * 5)) ] || exit 1
		sleep 0.2
	done
	exit
	;;
esac
me=$0

step "network ready" "$me" ready 15
step "addresses" "$me" has "${gw4%.*}." ip addr show eth0
step "routes, IPv4" "$me" has "default via $gw4" ip route
step "routes, IPv6" "$me" has "default via $gw6" ip -6 route
step "resolver" "$me" has nameserver cat /etc/resolv.conf
step "hosts" "$me" has "$alias" cat /etc/hosts
step "name of the host, $alias" "$me" has "$gw4" nslookup "$alias"
step "name in the host's DNS, test.example" \
	"$me" has 192.0.2.10 nslookup test.example
step "the same, IPv6" "$me" has 2001:db8::10 nslookup -type=aaaa test.example
step "page over IPv4" "$me" has hello \
	curl -sS --max-time 10 "http://$gw4:$PORT_HTTP4/"
step "page over IPv6" "$me" has hello \
	curl -sS --max-time 10 "http://[$gw6]:$PORT_HTTP6/"
step "ping the gateway, IPv4" ping -c 2 -W 2 "$gw4"
step "ping the gateway, IPv6" ping -6 -c 2 -W 2 "$gw6"
step "HTTPS with the injected CA" msb-init probe "https://$alias:$PORT_HTTPS/"
step "refused by policy, 10.1.2.3" "$me" refused 2 http://10.1.2.3/
step "status" msb-init status
step "boot stages, since the kernel started" "$me" has WORKLOAD \
	awk -F= '{ printf "%-10s %10.1f ms\n", $1, $2 / 1e6 }' /run/msb/boot

echo "demo: $failed failed"
if [ "$1" = shell ]; then
	echo "A shell in the guest; leave it with exit, or ^D."
	cd /root || cd /
	sh -l
fi
exit $failed
