#!/bin/sh
# mounts.sh - what the host has asked to be mounted
. /etc/msb/lib.sh

big()
{
	dd if=/dev/zero of=/scratch/big bs=1M count=9
}

step mounts cat /proc/mounts
step scratch ls -ld /scratch /scratch/deep
step size df -m /scratch
step big big
rm -f /scratch/big
step data cat /data/file
step data_write sh -c 'echo new >/data/new && sync && cat /data/new'
step frozen cat /frozen/file
step frozen_write sh -c 'echo new >/frozen/new'
step shared cat /srv/src/f.txt /opt/x/f
step shared_write sh -c 'echo from the guest >/srv/src/g.txt'
step shared_file sh -c 'echo x >>/opt/x/f'
step staging ls /run/msb
exit 0
