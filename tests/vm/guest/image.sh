#!/bin/sh
# image.sh - the root is a disk, and msb-init was baked into it
. /etc/msb/lib.sh

written()
{
	echo kept >/var/kept && sync && cat /var/kept
}

until_ok 10 link_up
step init readlink /proc/1/exe
step mounts cat /proc/mounts
step status cat "$S"
step written written
step ping4 pinged "$GW4"
step ping6 pinged "$GW6"
step dns4 nslookup -type=a "$ALIAS"
step web4 get "http://$GW4:$WEB4/"
exit 0
