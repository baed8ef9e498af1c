#!/bin/sh
# hog.sh - a fork bomb, and then all the memory; the second time, what is left
. /etc/msb/lib.sh
G=/sys/fs/cgroup/workload

who()
{
	status PID
	cat /proc/1/comm /proc/1/oom_score_adj \
		"/proc/$(status PID)/oom_score_adj" /proc/self/oom_score_adj
}

until_ok 10 link_up
if [ -e /run/second ]; then
	step again who
	step again_ping pinged "$GW4"
	step again_procs wc -l $G/cgroup.procs
	exit 0
fi
: >/run/second
step cgroup cat /proc/self/cgroup $G/pids.max $G/memory.oom.group
step others cat /sys/fs/cgroup/cgroup.procs
step before who
step forks hog forks
until_ok 10 sh -c '! pidof hog'
step after who
step ping pinged "$GW4"
sleep 1000 &
exec hog memory
