#!/bin/sh
# bare.sh - a read-only image without any mount point
. /etc/msb/lib.sh

until_ok 10 link_up
step mounts cat /proc/mounts
step status cat "$S"
step ping4 pinged "$GW4"
step ping6 pinged "$GW6"
step dns_alias nslookup -type=a "$ALIAS"
step write sh -c 'echo x >/x'
step tmp sh -c 'mkdir -p /dev/shm/x && echo x >/run/x && cat /run/x'
step left ls -a /
exit 0
