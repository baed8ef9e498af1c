#!/bin/sh
# hybrid.sh - through somebody else's vsock device; the gateway may go and come
. /etc/msb/lib.sh

link_down()
{
	[ "$(status LINK_STATE)" = down ]
}

back_again()
{
	until_ok 30 link_up
}

until_ok 10 link_up
step status cat "$S"
step addresses addresses
step ping4 pinged "$GW4"
step ping6 pinged "$GW6"
step dns4 nslookup -type=a test.example
step web4 get "http://$GW4:$WEB4/"
step web6 get "http://[$GW6]:$WEB6/"
step udp4 helper udp "$GW4" "$UDP4" 1 1473 65507
step down4 get_sum "http://$GW4:$WEB4/blob/16"
step up4 put "http://$GW4:$WEB4/"

echo "@!gateway_kill"
step down until_ok 20 link_down
step gone get --max-time 3 "http://$GW4:$WEB4/"
echo "@!gateway_start"
step back back_again
step back_status cat "$S"
step back_addresses addresses
step back_ping pinged "$GW6"
step back_web4 get "http://$GW4:$WEB4/"
step back_web6 get "http://[$GW6]:$WEB6/"
step back_dns nslookup -type=a test.example
exit 0
