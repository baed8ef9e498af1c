#!/bin/sh
# root.sh - the root is read-only, or put together from layers
. /etc/msb/lib.sh

step mounts cat /proc/mounts
step write sh -c 'echo kept >/var/kept && sync && cat /var/kept'
step delete rm /etc/gone
step tmp sh -c 'echo x >/tmp/x && cat /tmp/x'
step layers ls -ld /run/msb/root /run/msb/etc
[ -z "$GW4" ] && exit 0
until_ok 10 link_up
step status cat "$S"
step resolv cat /etc/resolv.conf
step hosts cat /etc/hosts
step hostname cat /etc/hostname
step ca sh -c 'cat "$SSL_CERT_FILE"'
step ping4 pinged "$GW4"
step dns_alias nslookup -type=a "$ALIAS"
exit 0
