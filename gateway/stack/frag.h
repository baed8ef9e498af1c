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
 * that they do not begin a new set.  A piece that repeats what is here already,
 * byte for byte, is dropped alone (RFC 8200 4.5).  Overlaps are refused in IPv4
 * as well, where RFC 791 would let the later one win: no honest sender has any.
 * A packet that is whole in spite of its fragment header (RFC 6946) never comes
 * here, so no set can do it harm.
 *
 * What a set comes to is judged as any other packet; nobody looks at a piece.
 * So a tiny first piece hides nothing (RFC 1858), but in IPv6 it must hold all
 * headers (RFC 7112).  ECN is that of all pieces (RFC 3168 5.3).
 *
 * Bounds     FRAG_SETS sets of FRAG_BUF bytes: 4 MiB, taken set by set. The
 *            table itself is allocated with the first fragment.  Looking for a
 *            set compares FRAG_SETS tags, 256 bytes that lie together.
 * Time       A set lives FRAG_LIFE_S from its first piece; one timer for all.
 *            Deviation: RFC 8200 4.5 and RFC 1122 3.3.2 say 60 s; this link
 *            neither loses nor delays.  If the first piece came the guest hears
 *            "time exceeded", code 1.
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
 * @quote:	The piece itself from its IP header on, for an error about it
 */
struct frag_piece {
	struct ipaddr src, dst;
	uint8_t proto, ttl, tos;
	uint32_t id;
	uint16_t off;
	bool mf;
	const uint8_t *quote;
	size_t quote_len;
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
