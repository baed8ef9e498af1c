#!/bin/sh
# hook.sh - the init of an initramfs that sets the network up before anything else
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do
	case $module in '' | '#'*) ;; *) insmod "$module" ;; esac
done </etc/msb/modules
# What it is to be like stands on the command line alone
env -i PATH="$PATH" msb-init net --dry-run | sed 's/^/@plan|/'
env -i PATH="$PATH" msb-init net
echo "@net=$? 0"
ip -o addr show dev eth0 scope global | sed 's/^/@early|/'
msb-init status | sed 's/^/@seen|/'
exec /sbin/msb-init "$@"
