#ifndef WIRE_UDP_H
#define WIRE_UDP_H

#include <stdint.h>

#include "base/rd.h"
#include "base/wr.h"

#define UDP_HDR_LEN	8
#define UDP_CSUM_OFF	6

/**
 * struct udp_hdr - UDP header (RFC 768)
 * @len:	Header and payload
 * @csum:	0 if the sender made none; verifying is the caller's affair
 */
struct udp_hdr {
	uint16_t sport, dport, len, csum;
};

/** udp_parse() - Read a header; 0, or -EBADMSG: cut off, or @len below 8 */
int udp_parse(struct rd *r, struct udp_hdr *out);

/** udp_emit() - Write a header */
void udp_emit(const struct udp_hdr *h, struct wr *w);

#endif /* WIRE_UDP_H */
