#ifndef GATEWAY_GW_H
#define GATEWAY_GW_H

/*
 * gw - the packet process: it parses what the guest sends
 *
 * Theory of operation
 * -------------------
 * Started by the monitor with its descriptors in place (monitor.h).  It takes its
 * configuration from the message socket, gives up its privileges, builds the
 * stack from the bottom up, locks itself in, says READY, and turns:
 *
 *	link -> netif -> ip -> tcp  -> tcp_relay -> host sockets
 *	                    -> udp  -> dns_fwd, udp_relay
 *	                    -> icmp -> icmp_relay
 *
 * At the end of each turn the TCP engine does what the turn's events made due, and
 * the link is flushed once.  It ends on STOP, or when the monitor is gone.
 */

/** gw_main() - Run it; the descriptors are those of monitor.h */
int gw_main(void);

#endif /* GATEWAY_GW_H */
