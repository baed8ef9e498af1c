#ifndef WIRE_ETH_H
#define WIRE_ETH_H

#include <stdint.h>

#include "base/rd.h"
#include "base/wr.h"

#define ETH_HDR_LEN	14
#define ETH_TYPE_IP4	0x0800
#define ETH_TYPE_ARP	0x0806
#define ETH_TYPE_VLAN	0x8100
#define ETH_TYPE_IP6	0x86dd
#define ETH_TYPE_QINQ	0x88a8

/** struct eth - Ethernet II header */
struct eth {
	uint8_t dst[6], src[6];
	uint16_t type;
};

/** eth_parse() - Read a header; 0, or -EBADMSG if it is cut off */
int eth_parse(struct rd *r, struct eth *out);

/** eth_emit() - Write a header */
void eth_emit(const struct eth *e, struct wr *w);

#endif /* WIRE_ETH_H */
