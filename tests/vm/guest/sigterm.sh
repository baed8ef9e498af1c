#!/bin/sh
# sigterm.sh - ask PID 1 to stop, and see who is told in which order
. /etc/msb/lib.sh

# In a session of its own, so that it hears only what all hear
setsid sh -c 'trap "echo @daemon=0 0; exit 0" TERM
	while :; do usleep 20000; done' &
trap 'ping -c 1 -W 3 "$GW4" >/dev/null; echo "@workload=$? 0"; exit 7' TERM
usleep 300000
echo "@begin=0 0"
kill -TERM 1
while :; do
	usleep 20000
done
