#ifndef STACK_FRAG_H
#define STACK_FRAG_H

#include "gateway/stack/netif.h"

/*
 * frag - reassembly of the guest's fragments, both families, every protocol
 *
 * Theory of operation
 * -------------------
 * A set collects the pieces of one packet in a buffer of its own:
 *
 *	(none) --first piece--> OPEN --last hole filled--> up to ip_input()
 *	OPEN --overlap or contradiction--> DEAD --deadline--> (none)
 *
 * A DEAD set has no buffer; it swallows the pieces still to come (RFC 5722), so
 * that they do not begin a new set.  A piece that repeats another one, byte for
 * byte, is dropped alone (RFC 8200 4.5).
 *
 * Bounds     FRAG_SETS sets of FRAG_BUF bytes: 4 MiB, taken set by set. The
 *            table itself is allocated with the first fragment.
 * Time       A set lives FRAG_LIFE_S from its first piece; one timer for all.
 *            When all are in use the least recently active one is evicted.
 */

#define FRAG_SETS	64
#define FRAG_PIECES	128	/* in one set, as stretches that do not touch */
#define FRAG_BUF	65536
#define FRAG_LIFE_S	10

/**
 * struct frag_piece - What the headers of one fragment say
 * @proto:	IPv4: protocol; IPv6: next header of the fragment header
 * @id:		Of the set
 * @off:	Of this piece, in bytes
 * @mf:		More fragments
 */
struct frag_piece {
	struct ipaddr src, dst;
	uint8_t proto, ttl, tos;
	uint32_t id;
	uint16_t off;
	bool mf;
};

/**
 * frag_input() - Take a fragment
 * @iov:	What it carries, headers removed; borrowed
 * @len:	Bytes in @iov
 */
void frag_input(struct netif *n, const struct frag_piece *f,
		const struct iovec *iov, int cnt, size_t len);

/** frag_done() - Release everything */
void frag_done(struct netif *n);

#endif /* STACK_FRAG_H */
