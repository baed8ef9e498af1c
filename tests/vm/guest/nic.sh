#!/bin/sh
# nic.sh - the NIC came late; its driver is unbound and bound
. /etc/msb/lib.sh
DRIVER=/sys/bus/virtio/drivers/virtio_net

gone()
{
	[ "$(status IFACE_STATE)" = gone ]
}

up()
{
	[ "$(status IFACE_STATE)" = up ] && [ "$(status STATE)" = ready ]
}

step come until_ok 10 up
step status cat "$S"
step addresses addresses
step ping pinged "$GW4"
device=$(basename "$DRIVER"/virtio*)
for round in 1 2; do
	step unbind$round sh -c "echo $device >$DRIVER/unbind"
	step gone$round until_ok 5 gone
	step words$round msb-init status
	step bind$round sh -c "echo $device >$DRIVER/bind"
	step back$round until_ok 5 up
	step addresses$round addresses
	step mtu$round cat /sys/class/net/eth0/mtu
	step ping$round pinged "$GW6"
	step web$round get "http://$GW4:$WEB4/"
done
step status_end cat "$S"
exit 0
