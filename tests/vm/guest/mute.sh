#!/bin/sh
# mute.sh - from the word on nobody reads the console
. /etc/msb/lib.sh

again()
{
	[ "$(status PID)" != "$1" ] && link_up
}

until_ok 10 link_up
echo "@mute"
# Single bytes, until there is room for none
while :; do echo; done &
sleep 3
old=$(status PID)
kill -9 "$old"
until_ok 20 again "$old" || exit 4
echo alive >/tmp/blob
put "http://$GW4:$WEB4/" >/dev/null 2>&1
exit 3
