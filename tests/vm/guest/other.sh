#!/bin/sh
# other.sh - busybox or OpenRC is PID 1, by hand-off
. /etc/msb/lib.sh

# What those inits send to all before they kill what is left
termed()
{
	pid=$(status PID)
	kill -TERM "$pid" "$(sed -n 's/^PPid:\t//p' "/proc/$pid/status")" &&
		sleep 1 && [ "$(status PID)" = "$pid" ] &&
		get "http://$GW4:$WEB4/"
}

up_again()
{
	[ "$(status PID)" != "$1" ] && link_up
}

killed()
{
	old=$(status PID)
	kill -9 "$old" && until_ok 15 up_again "$old" && get "http://$GW4:$WEB4/"
}

until_ok 20 link_up
step pid1 cat /proc/1/comm
step argv sh -c "tr '\\0' ' ' </proc/1/cmdline"
step cwd readlink /proc/1/cwd
step environ sh -c "tr '\\0' '\\n' </proc/1/environ"
step oom cat /proc/1/oom_score_adj
step boot cat /run/msb/boot
[ ! -x /sbin/openrc-run ] || {
	until_ok 10 test -e /run/openrc/started/msb-test
	step rc rc-status --runlevel
	step started ls /run/openrc/started /sys/fs/cgroup
}
[ ! -x /usr/bin/musl ] || step musl /usr/bin/musl
step addr addresses
step web get "http://$GW4:$WEB4/"
step ping6 pinged "$GW6"
step termed termed
step killed killed
if [ -x /sbin/openrc-shutdown ] && [ "$(cat /proc/1/comm)" = openrc-init ]
then
	openrc-shutdown --poweroff now
else
	poweroff
fi
