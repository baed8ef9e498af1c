#!/bin/sh
# systemd.sh - systemd is PID 1, by hand-off; what does it leave of our network?
. /etc/msb/lib.sh

# net NAME: the interface as we made it, names, and both families
net()
{
	step "$1_addr" addresses
	step "$1_ping4" busybox ping -c 1 -W 3 "$GW4"
	step "$1_ping6" busybox ping -c 1 -W 3 "$GW6"
	step "$1_dns" busybox nslookup -type=a "$ALIAS"
	step "$1_web" get "http://$GW4:$WEB4/"
	step "$1_resolv" cat /etc/resolv.conf
}

# agent: it and its keeper, as NAME, PPID, OOM_SCORE_ADJ and control group
agent()
{
	pid=$(status PID)
	for p in $pid $(sed -n 's/^PPid:\t//p' "/proc/$pid/status"); do
		echo "$(tr '\0' ' ' <"/proc/$p/cmdline")|" \
			"$(sed -n 's/^PPid:\t//p' "/proc/$p/status")" \
			"$(cat "/proc/$p/oom_score_adj" "/proc/$p/cgroup")"
	done
}

up_again()
{
	[ "$(status PID)" != "$1" ] && link_up
}

# The agent dies; its keeper brings it back, with the token
killed()
{
	old=$(status PID)
	kill -9 "$old" && until_ok 15 up_again "$old" && get "http://$GW4:$WEB4/"
}

dhcp()
{
	timeout 10 dhcpcd -4 -B -t 3 -L eth0
	timeout 5 dhcpcd -4 -B -t 3 -L
}

rescued()
{
	# networkd may be back already: its socket hears of every change
	systemctl is-active -q rescue.target &&
		! systemctl is-active -q multi-user.target
}

until_ok 20 link_up
step running systemctl is-system-running --wait
step failed systemctl list-units --failed --plain --no-legend
step pid1 readlink /proc/1/exe
step oom cat /proc/1/oom_score_adj
step agent agent
step environ sh -c "tr '\\0' '\\n' </proc/1/environ"
step manager systemctl show-environment
net first
step link networkctl --no-pager list eth0
step online systemctl start systemd-networkd-wait-online.service
step restart systemctl restart systemd-networkd
sleep 2
net networkd
step killed killed
step nm systemctl start NetworkManager
sleep 2
step nm_device nmcli -t -f DEVICE,STATE device
step dhcpcd dhcp
net managers
step isolate systemctl isolate --no-block rescue.target
step rescued until_ok 30 rescued
net rescue
step agent_end agent
systemctl poweroff
