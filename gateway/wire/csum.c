#include <arpa/inet.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/csum.h"

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Ones' complement addition: the carry comes back in at the bottom */
static inline uint64_t add1c(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

static uint16_t fold64(uint64_t s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

/**
 * sum_bytes() - Ones' complement sum of one piece, in memory order
 *
 * Four independent chains, because one would wait for its own carry.  Measured
 * with gcc 12 -O2 on one Xeon core, odd length, every other start unaligned:
 * 28 GB/s on 64 KiB, 24 GB/s on 1460 bytes, 8 ns for 19 bytes.  AVX2 takes 41
 * instead of 48 ns for 1448 bytes, 1 % of what a plain frame costs the gateway,
 * and is no faster on 64 KiB: not worth a second way.
 */
static uint64_t sum_bytes(const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, carry = 0, v;

	for (; len >= 32; p += 32, len -= 32) {
		v = load64(p);
		a += v;
		carry += a < v;
		v = load64(p + 8);
		b += v;
		carry += b < v;
		v = load64(p + 16);
		c += v;
		carry += c < v;
		v = load64(p + 24);
		d += v;
		carry += d < v;
	}
	a = add1c(add1c(a, b), add1c(c, d));
	a = add1c(a, carry);
	for (; len >= 8; p += 8, len -= 8)
		a = add1c(a, load64(p));
	/* A constant length is a load; the missing bytes count as 0 */
	v = 0;
	if (len & 4) {
		uint32_t w;

		memcpy(&w, p, sizeof(w));
		a = add1c(a, w);
		p += 4;
	}
	if (len & 2) {
		memcpy(&v, p, 2);
		a = add1c(a, v);
		p += 2;
		v = 0;
	}
	if (len & 1) {
		memcpy(&v, p, 1);
		a = add1c(a, v);
	}
	return a;
}

void csum_add(struct csum *c, const void *buf, size_t len)
{
	uint16_t s;

	if (!len)
		return;
	s = fold64(sum_bytes(buf, len));
	if (c->odd)	/* the piece stands one byte off: RFC 1071 2 (B) */
		s = (uint16_t)(s << 8 | s >> 8);
	c->sum += s;
	c->odd ^= len & 1;
}

void csum_add_iov(struct csum *c, const struct iovec *iov, int n)
{
	for (int i = 0; i < n; i++)
		csum_add(c, iov[i].iov_base, iov[i].iov_len);
}

void csum_add_u16(struct csum *c, uint16_t v)
{
	ASSERT(!c->odd);
	c->sum += htons(v);
}

void csum_add_u32(struct csum *c, uint32_t v)
{
	csum_add_u16(c, (uint16_t)(v >> 16));
	csum_add_u16(c, (uint16_t)v);
}

void csum_pseudo(struct csum *c, const struct ipaddr *src,
		 const struct ipaddr *dst, uint8_t proto, uint32_t len)
{
	size_t alen = ipaddr_is4(src) ? 4 : 16;

	ASSERT(!c->odd);
	csum_add(c, ipaddr_bytes(src), alen);
	csum_add(c, ipaddr_bytes(dst), alen);
	csum_add_u32(c, len);
	csum_add_u16(c, proto);
}

uint16_t csum_fold(const struct csum *c)
{
	return ntohs(fold64(c->sum));
}

uint16_t csum_final(const struct csum *c)
{
	return (uint16_t)~csum_fold(c);
}

bool csum_ok(const struct csum *c)
{
	return csum_fold(c) == 0xffff;
}

uint16_t csum_block(const void *buf, size_t len)
{
	struct csum c = { 0 };

	csum_add(&c, buf, len);
	return csum_final(&c);
}

uint16_t csum_partial(const struct ipaddr *src, const struct ipaddr *dst,
		      uint8_t proto, uint32_t len)
{
	struct csum c = { 0 };

	csum_pseudo(&c, src, dst, proto, len);
	return csum_fold(&c);
}
