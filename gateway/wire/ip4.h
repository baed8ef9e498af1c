#ifndef WIRE_IP4_H
#define WIRE_IP4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/rd.h"
#include "base/wr.h"

#define IP4_HDR_LEN	20	/* without options: what ip4_emit() writes */
#define IP4_HDR_MAX	60
#define IP4_LEN_MAX	65535
#define IP4_MTU_MIN	68	/* RFC 791: every module forwards as much */

/**
 * struct ip4 - IPv4 header (RFC 791)
 * @hdr_len:	In bytes, options included; ignored by ip4_emit()
 * @len:	Of the packet, header included
 * @off:	Of the fragment, in bytes
 * @df:		Don't fragment
 * @mf:		More fragments
 * @srcroute:	A source route option was there; ignored by ip4_emit()
 */
struct ip4 {
	uint8_t hdr_len, tos, ttl, proto;
	uint16_t len, id, off;
	bool df, mf, srcroute;
	struct ipaddr src, dst;
};

/**
 * ip4_parse() - Read a header with its options
 *
 * Whether @len bytes are really there is the caller's affair: @r may hold the
 * head of the packet only.
 *
 * Return: 0; -EBADMSG if it is cut off, no IPv4, its lengths contradict each
 *	   other, or an option leaves the header; -EILSEQ if the checksum is wrong
 */
int ip4_parse(struct rd *r, struct ip4 *out);

/** ip4_emit() - Write a header without options, checksum included */
void ip4_emit(const struct ip4 *h, struct wr *w);

#endif /* WIRE_IP4_H */
