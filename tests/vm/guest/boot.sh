#!/bin/sh
# boot.sh - the main check of a guest: what it sees, and all that it can do
. /etc/msb/lib.sh
DOWN='%{size_download} %{time_total} %{speed_download}'
UP='%{size_upload} %{time_total} %{speed_upload}'

# orphan: a child that its parent leaves behind, to be adopted by PID 1
orphan()
{
	sh -c 'sh -c "exit 3" & sh -c "sleep 0.2" & exit 0'
}

# again OLD: an agent other than OLD reports that all is well
again()
{
	[ "$(status PID)" != "$1" ] && link_up
}

kill_agent()
{
	old=$(status PID)
	kill -9 "$old"
	until_ok 15 again "$old"
}

# rss PID: what a process has resident; the kernel keeps the sum of VmRSS lazily
rss()
{
	sed -n 's/^Rss: *\([0-9]*\) kB/\1/p' "/proc/$1/smaps_rollup"
}

until_ok 10 link_up
sleep 1
step memory eval 'rss 1; rss "$(status PID)"'
step status cat $S
step boot cat /run/msb/boot
step words msb-init status
step json msb-init status --json
step again msb-init net --dry-run
step version msb-init --version
step addr ip -o addr show
step route ip route
step route6 ip -6 route
step link cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu
step resolv cat /etc/resolv.conf
step hosts cat /etc/hosts
step hostname hostname
step addresses addresses

step ping4 pinged "$GW4"
step ping6 pinged "$GW6"
# Two types in one go would do, but busybox gives both queries the same number
# when the guest's clock is coarse, and then waits for the second answer
step dns_alias nslookup -type=a "$ALIAS"
step dns_alias6 nslookup -type=aaaa "$ALIAS"
step dns4 nslookup -type=a test.example
step dns6 nslookup -type=aaaa test.example
step dns_none nslookup -type=a nothing.example
step web4 get "http://$GW4:$WEB4/"
step web6 get "http://[$GW6]:$WEB6/"
step web_name get "http://$ALIAS:$WEB4/"
step closed get "http://$GW4:$CLOSED/"
step closed6 get "http://[$GW6]:$CLOSED/"
step denied get http://10.1.2.3/
step denied6 get "http://[fd99::1]/"
step vsock_refused vsock_client refused 2000
step udp4 helper udp "$GW4" "$UDP4" 1 512 1472 1473 9000 65507
step udp6 helper udp "$GW6" "$UDP6" 1 512 1452 1453 9000 65507

step probe msb-init probe "https://$ALIAS:$TLS/"
step probe_bad msb-init probe "https://$ALIAS:$TLS_BAD/"
step ca cat /etc/ssl/certs/ca-certificates.crt
step ca_env sh -c 'echo "$SSL_CERT_FILE"'

step down4 get_sum "http://$GW4:$WEB4/blob/64"
step up4 put "http://$GW4:$WEB4/"
step down6 get_sum "http://[$GW6]:$WEB6/blob/16"
step up6 put "http://[$GW6]:$WEB6/"
rm -f /tmp/blob
# Without disk and sums: how fast, in curl's own words
step raw_down4 get -o /dev/null -w "$DOWN" "http://$GW4:$WEB4/blob/64"
step raw_down6 get -o /dev/null -w "$DOWN" "http://[$GW6]:$WEB6/blob/64"
truncate -s 64M /tmp/hole
step raw_up4 get -o /dev/null -T /tmp/hole -H Expect: -w "$UP" \
	"http://$GW4:$WEB4/"
step raw_up6 get -o /dev/null -T /tmp/hole -H Expect: -w "$UP" \
	"http://[$GW6]:$WEB6/"
rm -f /tmp/hole

step probe_status status PROBE
for _ in 1 2 3 4 5 6 7 8; do
	orphan
done
step zombies until_ok 5 sh -c '. /etc/msb/lib.sh; [ -z "$(zombies)" ]'

step kill_agent kill_agent
step kill_addr addresses
step kill_ping pinged "$GW4"
step kill_ping6 pinged "$GW6"
step kill_web get "http://$GW4:$WEB4/"
step kill_dns nslookup -type=a test.example
step kill_zombies zombies
step dmesg sh -c 'dmesg | grep -E "BUG|Oops|WARNING|segfault|hung"'
exit 0
