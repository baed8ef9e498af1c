#!/bin/sh
# companion.sh - systemd is PID 1, and the agent is one of its services
. /etc/msb/lib.sh

unit()
{
	systemctl show msb-agent -p ActiveState -p SubState -p StatusText \
		-p Type -p NRestarts -p MainPID
}

# active PID: the service is up again, as another process
active()
{
	[ "$(systemctl show msb-agent -p MainPID --value)" != "$1" ] &&
		systemctl is-active -q msb-agent && link_up
}

killed()
{
	old=$(systemctl show msb-agent -p MainPID --value)
	kill -9 "$old" && until_ok 15 active "$old" &&
		get "http://$GW4:$WEB4/"
}

restarted()
{
	systemctl restart msb-agent && until_ok 15 link_up &&
		get "http://$GW4:$WEB4/"
}

until_ok 20 link_up
step running systemctl is-system-running --wait
step failed systemctl list-units --failed --plain --no-legend
step unit unit
step ping4 busybox ping -c 2 -W 3 "$GW4"
step web get "http://$GW4:$WEB4/"
step networkd systemctl restart systemd-networkd
sleep 1
step addr addresses
step web_networkd get "http://$GW4:$WEB4/"
step killed killed
step restarted restarted
step unit_end unit
systemctl poweroff
