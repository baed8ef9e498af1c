#!/bin/sh
# loopback.sh - gateway and agent in one guest, over its vsock_loopback
#
# The gateway is in the guest's own network namespace, where its AF_VSOCK
# listener is a vhost-vsock host's; the agent is in another one.  A vsock knows
# no namespaces (Linux 6.1), so they meet.
. /etc/msb/lib.sh

# gateway CID: in the background, with its log
gateway()
{
	msb-gateway run --vsock 1024 --cid "$1" \
		--net public,host --ipv4 on --ipv6 on --max-connections 256 \
		--log-level debug >/tmp/gateway.log 2>&1 &
	gateway=$!
	until_ok 10 grep -q "isolated and serves" /tmp/gateway.log
}

# agent: in a network namespace of its own, and with its own report
agent()
{
	rm -rf /run/inner
	MSB_LINK=vsock:1:1024 MSB_NET=$INNER_NET MSB_NET_IPV4=$INNER_NET4 \
		MSB_NET_IPV6=$INNER_NET6 MSB_END=1 helper netns \
		msb-init agent --pid1 --run-dir /run/inner --log-level debug \
		>/tmp/agent.log 2>&1 &
	agent=$!
	S=/run/inner/status
}

stop_all()
{
	kill "$agent" "$gateway"
	wait "$agent" "$gateway"
}

inside()
{
	nsenter -t "$agent" -n "$@"
}

# listening PORT: somebody is there, over loopback, which needs no gateway
httpd_up()
{
	get "http://127.0.0.1:$1/" >/dev/null
}

mkdir -p /srv
echo hello from the outer namespace >/srv/index.html
dd if=/dev/urandom of=/srv/blob bs=1M count=8 2>/dev/null
httpd -p 127.0.0.1:8080 -h /srv
httpd -p "[::1]:8080" -h /srv
step httpd until_ok 5 httpd_up 8080
step modules lsmod

gateway 1 || { cat /tmp/gateway.log; exit 1; }
agent
step up until_ok 15 link_up
step status cat $S
step addr inside ip -o addr show
step outer ip -o addr show
step ping4 inside ping -c 2 -W 3 "$GW4"
step ping6 inside ping -6 -c 2 -W 3 "$GW6"
step web4 inside curl -sS --max-time 10 "http://$GW4:8080/"
step web6 inside curl -sS --max-time 10 "http://[$GW6]:8080/"
step want sha256sum /srv/blob
step blob inside sh -c "curl -sS --max-time 60 http://$GW4:8080/blob |
	sha256sum"
step denied inside curl -sS --max-time 10 http://10.1.2.3/
stop_all
step gateway_log cat /tmp/gateway.log
step agent_log cat /tmp/agent.log

# The peer has CID 1, and only CID 7 is let in
gateway 7 || { cat /tmp/gateway.log; exit 1; }
agent
sleep 2
step wrong_status cat $S
step wrong_ping inside ping -c 1 -W 1 "$GW4"
stop_all
step wrong_log cat /tmp/gateway.log
exit 0
