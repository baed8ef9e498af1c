#include "base/siphash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/rd.h"

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

/* Written out where it is used: the state stays in registers then, which saves
 * a third of the instructions of each look-up in a table of flows */
static inline void one_round(uint64_t v[static 4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static inline void absorb(uint64_t v[static 4], uint64_t m)
{
	v[3] ^= m;
	one_round(v);
	one_round(v);
	v[0] ^= m;
}

uint64_t siphash(const uint8_t key[static 16], const void *data, size_t len)
{
	struct rd k = rd_init(key, 16), r = rd_init(data, len);
	uint64_t k0 = rd_le64(&k), k1 = rd_le64(&k);
	uint64_t v[4] = {
		k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573,
	};
	uint64_t m;

	while (rd_left(&r) >= 8)
		absorb(v, rd_le64(&r));
	m = (uint64_t)len << 56;
	for (int shift = 0; rd_left(&r); shift += 8)
		m |= (uint64_t)rd_u8(&r) << shift;
	absorb(v, m);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		one_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* #syscalls getrandom */
void siphash_key(uint8_t key[static 16])
{
	ssize_t n;

	do {
		n = getrandom(key, 16, 0);	/* up to 256 come at once */
	} while (n < 0 && errno == EINTR);
	if (n != 16)
		die("getrandom: %s", n < 0 ? strerror(errno) : "cut short");
}
