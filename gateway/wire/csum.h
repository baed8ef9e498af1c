#ifndef WIRE_CSUM_H
#define WIRE_CSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/inet.h"

/**
 * struct csum - Running Internet checksum (RFC 1071) over pieces
 * @sum:	Ones' complement sum so far, in memory order; private
 * @odd:	An odd number of bytes has been added; private
 *
 * Zeroed is the start.  Pieces may have any length and alignment: the result is
 * that of all their bytes in a row.
 *
 *	struct csum c = { 0 };
 *
 *	csum_pseudo(&c, &src, &dst, IPPROTO_TCP, len);
 *	csum_add_iov(&c, iov, n);
 *	wr_u16(&w, csum_final(&c));
 *
 * All 16-bit values that go in or come out are in host order, to be written and
 * read big-endian like every other field.
 */
struct csum {
	uint64_t sum;
	bool odd;
};

/** csum_add() - Add @len bytes; @buf may be NULL if @len is 0 */
void csum_add(struct csum *c, const void *buf, size_t len);

/** csum_add_iov() - Add all pieces in order */
void csum_add_iov(struct csum *c, const struct iovec *iov, int n);

/** csum_add_u16() - Add one field; only after an even number of bytes */
void csum_add_u16(struct csum *c, uint16_t v);

/** csum_add_u32() - Add one field; only after an even number of bytes */
void csum_add_u32(struct csum *c, uint32_t v);

/**
 * csum_pseudo() - Add the pseudo header of either family
 * @src:	Sender; decides the family
 * @dst:	Receiver, of the same family
 * @len:	Of the upper layer, header included
 *
 * RFC 768, RFC 9293 3.1, RFC 8200 8.1.  Only after an even number of bytes.
 */
void csum_pseudo(struct csum *c, const struct ipaddr *src,
		 const struct ipaddr *dst, uint8_t proto, uint32_t len);

/** csum_fold() - The sum in 16 bits, not inverted */
uint16_t csum_fold(const struct csum *c);

/**
 * csum_final() - The inverted sum: what a checksum field holds
 *
 * UDP writes 0xffff where this is 0 (RFC 768); that is the caller's affair.
 */
uint16_t csum_final(const struct csum *c);

/** csum_ok() - Whether bytes that included a checksum field add up */
bool csum_ok(const struct csum *c);

/** csum_block() - csum_final() of one piece, as for an IPv4 header */
uint16_t csum_block(const void *buf, size_t len);

/**
 * csum_partial() - The field of a packet sent with VIRTIO_NET_HDR_F_NEEDS_CSUM
 *
 * The folded pseudo header, not inverted: whoever completes the checksum sums
 * from csum_start on, this field included, and writes the inverse.
 */
uint16_t csum_partial(const struct ipaddr *src, const struct ipaddr *dst,
		      uint8_t proto, uint32_t len);

#endif /* WIRE_CSUM_H */
