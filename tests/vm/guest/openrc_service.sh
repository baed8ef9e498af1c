#!/bin/sh
# openrc_service.sh - OpenRC runs, and the agent is one of its services
. /etc/msb/lib.sh

up_again()
{
	[ "$(status PID)" != "$1" ] && link_up
}

killed()
{
	old=$(status PID)
	kill -9 "$old" && until_ok 15 up_again "$old" && get "http://$GW4:$WEB4/"
}

stopped()
{
	rc-service msb-agent stop && ! pidof msb-init
}

until_ok 20 link_up
until_ok 10 rc-service msb-agent status
step service rc-service msb-agent status
step agent sh -c "tr '\\0' ' ' </proc/$(status PID)/cmdline"
step addr addresses
step web get "http://$GW4:$WEB4/"
step killed killed
step stopped stopped
poweroff
