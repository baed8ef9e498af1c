#!/bin/sh
# netem.sh - gateways beside each other in one guest, over a path that loses
#
# The guest's own network namespace is the host of all gateways; "net", behind a
# veth, is the Internet.  Each column is a gateway with a guest namespace of its
# own, in which it serves eth0.  The path that is bad is the one between that
# guest's kernel and its gateway: netem at eth0 for what the guest sends, and at
# ifb0, to which what comes in at eth0 is redirected.
#
# Kernels queue, and our gateway sends, frames of up to 64 KiB, and netem would
# lose each as a whole.  So a tbf stands above every netem, for all columns: it
# cuts what is longer than its burst into the segments that a wire would carry,
# and it is they that are lost, doubled and delayed.  Its rate limits nobody: at
# 10 Gbit/s it did, since a segment of 1.2 us then waited for a timer, which takes
# a millisecond here.
. /etc/msb/lib.sh

SERVER=10.9.0.2
port=7000
QUEUE=20000		# packets: more than any window here

# busybox's shell takes its own applets before those in PATH
ip()
{
	/usr/local/sbin/ip "$@"
}

tc()
{
	/usr/local/sbin/tc "$@"
}

modules()
{
	for m in veth ifb sch_netem sch_tbf sch_ingress act_mirred \
		cls_matchall tun; do
		modprobe "$m" || return
	done
}

# By nsenter: "ip netns exec" would mount /sys for each
in_ns()
{
	ns=$1
	shift
	nsenter "--net=/run/netns/$ns" "$@"
}

internet()
{
	ip link set lo up
	ip netns add net
	ip link add up0 type veth peer name eth0 netns net
	ip addr add 10.9.0.1/24 dev up0
	ip link set up0 up
	ip -n net addr add $SERVER/24 dev eth0
	ip -n net link set eth0 up
	ip route add default via $SERVER
}

# pasta changes its root, which nobody can who lives in an initramfs
room_for_pasta()
{
	mount -o bind / /mnt || return
	for d in proc sys dev run tmp; do
		mount -o rbind /$d /mnt/$d || return
	done
}

# ours NAME ARGS...: a gateway over a Unix socket, and an agent
ours()
{
	name=$1
	shift
	msb-gateway run --unix "/run/$name.sock" --net all --ipv4 on \
		--ipv6 off --max-connections 256 --log-level debug "$@" >"/tmp/$name.log" 2>&1 &
	until_ok 20 grep -q "isolated and serves" "/tmp/$name.log" || return
	S=/run/$name/status
	MSB_LINK=unix:/run/$name.sock MSB_NET=$INNER_NET \
		MSB_NET_IPV4=$INNER_NET4 MSB_END=1 \
		nsenter "--net=/run/netns/$name" msb-init agent --pid1 \
		--run-dir "/run/$name" >"/tmp/$name.agent.log" 2>&1 &
	until_ok 20 link_up
}

has_address()
{
	ip -n "$1" addr | grep -q "$2"
}

# pasta_up NAME PROGRAM...
pasta_up()
{
	name=$1
	shift
	chroot /mnt "$@" -f --config-net --runas 0 --netns-only \
		--netns "/run/netns/$name" -I eth0 -a 10.0.2.15 -n 24 \
		-g 10.0.2.2 -m 1500 -4 -t none -u none -T none -U none \
		>"/tmp/$name.log" 2>&1 &
	until_ok 20 has_address "$name" 10.0.2.15
}

# column NAME: start it, and prepare its guest
column()
{
	ip netns add "$1"
	# What one cell taught the kernel about the path is not for the next
	in_ns "$1" sysctl -qw net.ipv4.tcp_no_metrics_save=1
	case $1 in
	ours) ours "$1" ;;
	ours-bare) ours "$1" --no-offload ;;
	ours-reno) ours "$1" --config /etc/msb/reno.json ;;
	pasta) pasta_up "$1" pasta ;;
	pasta-new)
		pasta_up "$1" /opt/new/ld.so --argv0 pasta \
			--library-path /opt/new /opt/new/passt
		;;
	esac || {
		cat "/tmp/$1.log" "/tmp/$1.agent.log"
		return 1
	}
	# Of 1000, a TAP's own, a gateway that is slow here loses more than netem
	ip -n "$1" link set eth0 txqueuelen $QUEUE &&
	ip -n "$1" link add ifb0 type ifb &&
	ip -n "$1" link set ifb0 up txqueuelen $QUEUE &&
	tc -n "$1" qdisc add dev eth0 handle ffff: ingress &&
	tc -n "$1" filter add dev eth0 parent ffff: matchall \
		action mirred egress redirect dev ifb0 &&
	shape "$1" delay 0
}

# shape NAME NETEM...: what the path of a column does, in each direction
shape()
{
	ns=$1
	shift
	for dev in eth0 ifb0; do
		tc -n "$ns" qdisc del dev $dev root 2>/dev/null
		tc -n "$ns" qdisc add dev $dev root handle 1: tbf \
			rate 100gbit burst 1600 limit 100mb || return
		tc -n "$ns" qdisc add dev $dev parent 1: handle 10: \
			netem limit $QUEUE "$@" || return
	done
}

# Without scatter-gather what tbf cuts is in one piece, and corruption may hit
# anything; else netem corrupts no more than headers
one_piece()
{
	in_ns "$1" ethtool -K eth0 sg "$2" && in_ns "$1" ethtool -K ifb0 sg "$2"
}

listening()
{
	in_ns net netstat -ltn | grep -q ":$port "
}

# ticks: of the processor, those in all and those of idleness
ticks()
{
	awk '$1 == "cpu" { print $2 + $3 + $4 + $5 + $6 + $7 + $8, $5 + $6 }' \
		/proc/stat
}

# stream COLUMN WAY RUN_MS DRAIN_MS: print what both ends have to say
stream()
{
	case $2 in
	up) far=recv near=send ;;
	down) far=send near=recv ;;
	esac
	nsenter --net=/run/netns/net netem_stream $far listen $port $seed \
		"$3" "$4" >/tmp/far.out 2>&1 &
	far_pid=$!
	until_ok 20 listening
	r=0
	before=$(ticks)
	in_ns "$1" timeout 90 netem_stream $near $SERVER $port $seed "$3" \
		"$4" >/tmp/near.out 2>&1 || r=$?
	busy=$(echo "$before $(ticks)" | awk '$3 > $1 {
		printf "%d", 100 - 100 * ($4 - $2) / ($3 - $1) }')
	[ $r = 0 ] || kill $far_pid 2>/dev/null
	wait $far_pid || r=$?
	echo "exit=$r busy=$busy" $(cat /tmp/near.out /tmp/far.out)
}

csum_errors()
{
	in_ns "$1" awk '$1 == "Tcp:" { n = $NF } END { print n }' /proc/net/snmp
}

step modules modules || exit 1
internet
room_for_pasta || exit 1
seed=$$
# shellcheck disable=SC2154 # from the test's variables
for c in $COLUMNS_UP; do
	step "up_$(echo "$c" | tr - _)" column "$c"
done

# A line: name, ways, columns, RUN_MS, DRAIN_MS, arguments of netem
while read -r cell ways columns run_ms drain_ms netem; do
	for way in $(echo "$ways" | tr , ' '); do
		for c in $(echo "$columns" | tr , ' '); do
			case $netem in
			*corrupt*) one_piece "$c" off ;;
			*) one_piece "$c" on ;;
			esac
			# shellcheck disable=SC2086 # a list of words
			shape "$c" $netem
			# What a stream that failed has left is at another port
			port=$((port + 1))
			seed=$((seed + 1))
			echo "@netem|$cell $way $c $(stream "$c" "$way" \
				"$run_ms" "$drain_ms")" \
				"csum_errors=$(csum_errors "$c")"
		done
	done
done </etc/msb/cells
echo "@netem=0 0"
# At its end a gateway tells what it has dropped
# shellcheck disable=SC2046 # a list of words
kill $(jobs -p) 2>/dev/null
wait
for c in $COLUMNS_UP; do
	step "log_$(echo "$c" | tr - _)" cat "/tmp/$c.log"
done
exit 0
