#ifndef WIRE_IP6_H
#define WIRE_IP6_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/rd.h"
#include "base/wr.h"

#define IP6_HDR_LEN	40
#define IP6_FRAG_LEN	8
#define IP6_EXT_MAX	8	/* extension headers that we look behind */
#define IP6_MTU_MIN	1280

/**
 * struct ip6 - IPv6 header (RFC 8200 3)
 * @tos:	Traffic class
 * @flow:	Flow label, 20 bits
 * @plen:	Payload length: all that follows this header
 * @next:	IPPROTO_* of what follows
 * @hop:	Hop limit
 */
struct ip6 {
	uint8_t tos, next, hop;
	uint16_t plen;
	uint32_t flow;
	struct ipaddr src, dst;
};

/** ip6_parse() - Read a header; 0, or -EBADMSG: cut off, or no IPv6
 *
 * An IPv4-mapped address is refused as well: it never stands on a wire, and
 * would become an IPv4 address here.
 */
int ip6_parse(struct rd *r, struct ip6 *out);

/** ip6_emit() - Write a header; both addresses are IPv6 */
void ip6_emit(const struct ip6 *h, struct wr *w);

/**
 * struct ip6_ext - What ip6_ext_parse() found
 * @proto:	First header that it does not skip, or what a fragment begins with
 * @proto_at:	Offset of the byte that names @proto, from the IPv6 header on
 * @len:	Bytes of extension headers that were skipped
 * @frag:	A fragment header was there and ended the walk: not all of the
 *		packet is here
 * @atomic:	A fragment header was there, but the packet is whole (RFC 6946)
 * @mf:		More fragments
 * @off:	Of the fragment, in bytes
 * @id:		Of the set of fragments
 */
struct ip6_ext {
	uint8_t proto;
	size_t proto_at, len;
	bool frag, atomic, mf;
	uint16_t off;
	uint32_t id;
};

/**
 * ip6_ext_parse() - Skip extension headers
 * @r:		Behind the IPv6 header; left at the upper layer, or behind the
 *		fragment header
 * @next:	The IPv6 header's @next
 *
 * Hop-by-hop (first only), routing, destination options, fragment.
 *
 * Return: 0; -EBADMSG if one is cut off or malformed, or there are more than
 *	   IP6_EXT_MAX; -EPERM for routing type 0 (RFC 5095) or any other that has
 *	   segments left; -EOPNOTSUPP for an unknown option whose type forbids to
 *	   go on
 */
int ip6_ext_parse(struct rd *r, uint8_t next, struct ip6_ext *out);

/**
 * ip6_frag_emit() - Write a fragment header
 * @next:	IPPROTO_* of what was cut
 * @off:	In bytes, a multiple of 8
 */
void ip6_frag_emit(uint8_t next, uint16_t off, bool mf, uint32_t id,
		   struct wr *w);

#endif /* WIRE_IP6_H */
