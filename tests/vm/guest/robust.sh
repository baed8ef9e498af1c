#!/bin/sh
# robust.sh - the vsock device goes and returns, orphans come in thousands, the
# gateway is killed and cannot come back
. /etc/msb/lib.sh
DRIVER=/sys/bus/virtio/drivers/vmw_vsock_virtio_transport

link_down()
{
	[ "$(status LINK_STATE)" = down ]
}

no_device()
{
	link_down && status LINK_ERROR | grep -q vmw_vsock_virtio_transport
}

# rss: of PID 1 and of the agent, in KiB
rss()
{
	sed -n 's/^Rss:[^0-9]*\([0-9]*\).*/\1/p' /proc/1/smaps_rollup \
		"/proc/$(status PID)/smaps_rollup"
}

ticks()
{
	for pid in 1 "$(status PID)"; do
		awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat"
	done
}

no_zombies()
{
	[ -z "$(zombies)" ]
}

until_ok 10 link_up
step status cat "$S"
step addresses addresses

device=$(basename "$DRIVER"/virtio*)
for round in 1 2; do
	step unbind$round sh -c "echo $device >$DRIVER/unbind"
	step lost$round until_ok 5 no_device
	step lost_status$round cat "$S"
	step bind$round sh -c "echo $device >$DRIVER/bind"
	step back$round until_ok 10 link_up
	step back_ping$round pinged "$GW4"
	step back_web$round get "http://[$GW6]:$WEB6/"
done
step back_status cat "$S"
step back_addresses addresses

step rss rss
step orphans helper orphans 10000
step zombies until_ok 10 no_zombies
step rss_after rss
step orphans_ping pinged "$GW4"

echo "@!gateway_kill"
step noticed until_ok 25 link_down
step ticks ticks
sleep 5
step ticks_after ticks
step gone_status cat "$S"
step gone_words msb-init status
step gone_addresses addresses
step gone_lo ping -c 1 -W 2 127.0.0.1
step dmesg sh -c 'dmesg | grep -E "BUG|Oops|WARNING|segfault|hung"'
exit 7
