#ifndef WIRE_ARP_H
#define WIRE_ARP_H

#include <stdint.h>

#include "base/inet.h"
#include "base/rd.h"
#include "base/wr.h"

#define ARP_LEN		28
#define ARP_OP_REQUEST	1
#define ARP_OP_REPLY	2

/**
 * struct arp - ARP for IPv4 over Ethernet (RFC 826)
 * @op:		ARP_OP_*
 * @sha:	Sender, hardware
 * @spa:	Sender, IPv4
 * @tha:	Target, hardware; no meaning in a request
 * @tpa:	Target, IPv4
 */
struct arp {
	uint16_t op;
	uint8_t sha[6], tha[6];
	struct ipaddr spa, tpa;
};

/**
 * arp_parse() - Read a packet; padding after it is left in @r
 *
 * Return: 0; -EBADMSG if it is cut off, or not of IPv4 over Ethernet
 */
int arp_parse(struct rd *r, struct arp *out);

/** arp_emit() - Write a packet; both addresses are IPv4 */
void arp_emit(const struct arp *a, struct wr *w);

#endif /* WIRE_ARP_H */
