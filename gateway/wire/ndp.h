#ifndef WIRE_NDP_H
#define WIRE_NDP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/rd.h"
#include "base/wr.h"

#define NDP_LEN_MAX	32	/* of what ndp_emit() writes */

/**
 * struct ndp - Neighbour solicitation or advertisement (RFC 4861 4.3, 4.4)
 * @type:	ICMP6_NS or ICMP6_NA
 * @router:	Flags of an advertisement
 * @target:	Whose link-layer address it is about
 * @has_mac:	The option is there: source for NS, target for NA
 */
struct ndp {
	uint8_t type;
	bool router, solicited, override;
	struct ipaddr target;
	bool has_mac;
	uint8_t mac[6];
};

/**
 * ndp_parse() - Read a whole message, from its ICMPv6 header on
 * @r:		Exactly the message
 *
 * The checksum, hop limit and addresses are the caller's affair.
 *
 * Return: 0; -EBADMSG if it is malformed, its code is not 0, the target is
 *	   multicast, or an option is cut off or of length 0; -ENOTSUP for a type
 *	   that this does not know
 */
int ndp_parse(struct rd r, struct ndp *out);

/** ndp_emit() - Write a message with checksum 0 */
void ndp_emit(const struct ndp *m, struct wr *w);

/** struct ndp_rs - Router solicitation (RFC 4861 4.1) */
struct ndp_rs {
	bool has_mac;
	uint8_t mac[6];
};

/** ndp_rs_parse() - Read a whole message; as ndp_parse() */
int ndp_rs_parse(struct rd r, struct ndp_rs *out);

#define NDP_RA_LEN	(16 + 8 + 8 + 32 + 24)	/* what ndp_ra_emit() writes */

/**
 * struct ndp_ra - Router advertisement (RFC 4861 4.2)
 * @hop:	Hop limit that hosts should use
 * @lifetime_s:	As default router; 0: not, and the resolver is none either
 * @mac:	The router's
 * @prefix:	On the link, not for autoconfiguration; bits behind @plen are not
 *		sent
 * @dns:	Resolver (RFC 8106), for as long as @lifetime_s
 */
struct ndp_ra {
	uint8_t hop, plen;
	uint16_t lifetime_s, mtu;
	uint8_t mac[6];
	struct ipaddr prefix, dns;
};

/** ndp_ra_emit() - Write a message with checksum 0 */
void ndp_ra_emit(const struct ndp_ra *m, struct wr *w);

#endif /* WIRE_NDP_H */
