/*
 * The same bytes, cut at places that the input chooses, give the same records.
 *
 * Input: u8 options, u8 seed of the cuts, the stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "base/util.h"
#include "link/framer.h"

#define REC_MAX	600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What came out: number, and a hash of lengths and bytes */
struct out {
	unsigned int n, stop_at;
	uint64_t hash;
};

static int on_record(const struct iovec *iov, int n, size_t len, void *arg)
{
	struct out *o = arg;
	size_t sum = 0;

	o->hash = (o->hash ^ len) * 0x100000001b3ULL;
	for (int i = 0; i < n; i++) {
		ASSERT(iov[i].iov_len);
		for (size_t j = 0; j < iov[i].iov_len; j++)
			o->hash = (o->hash ^ ((uint8_t *)iov[i].iov_base)[j]) *
				  0x100000001b3ULL;
		sum += iov[i].iov_len;
	}
	ASSERT(sum == len && len <= REC_MAX && (!len || len >= 14));
	ASSERT(n <= LINK_IOV_MAX && (n == 0) == (len == 0));
	return ++o->n == o->stop_at ? 1 : 0;
}

static void start(struct framer *f, uint8_t options)
{
	*f = (struct framer){
		.cap = REC_MAX + 4, .min = 14, .max = REC_MAX,
		.keepalive = options & 1,
	};
	f->hold = malloc(f->cap);
	ASSERT(f->hold);
}

/* Feed [p, p + len) as pieces, each on a heap block of its own */
static int feed(struct framer *f, const uint8_t *p, size_t len, size_t piece,
		struct out *o)
{
	struct iovec iov[8];
	int n = 0, rc;

	for (size_t off = 0; off < len; n++) {
		size_t part = n == 7 ? len - off : MIN(piece, len - off);

		iov[n].iov_base = malloc(part);
		iov[n].iov_len = part;
		ASSERT(iov[n].iov_base);
		memcpy(iov[n].iov_base, p + off, part);
		off += part;
	}
	rc = framer_input(f, iov, n, on_record, o);
	ASSERT(rc == -EMSGSIZE || rc == 1 || (rc == 0 && f->taken == len));
	ASSERT(f->taken <= len);
	while (n--)
		free(iov[n].iov_base);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd r = rd_init(data, len);
	uint8_t options = rd_u8(&r);
	uint32_t seed = rd_u8(&r);
	struct out whole = { .stop_at = options >> 4 }, cut = whole;
	struct framer f;
	int rc, rc2 = 0;

	if (r.bad)
		return 0;
	start(&f, options);
	rc = feed(&f, r.p, rd_left(&r), rd_left(&r), &whole);
	free(f.hold);

	start(&f, options);
	while (rd_left(&r) && rc2 == 0) {
		size_t part, max = options & 2 ? 8 : 300;

		seed = seed * 1103515245 + 12345;
		part = MIN(rd_left(&r), 1 + (seed >> 16) % max);
		rc2 = feed(&f, rd_take(&r, part), part, 1 + (seed >> 8) % 90,
			   &cut);
	}
	free(f.hold);
	ASSERT(rc == rc2 && whole.n == cut.n && whole.hash == cut.hash);
	return 0;
}
