#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "base/wr.h"
#include "link/framer.h"

int framer_test(void);

#define REC_MAX	2000

/* Records are written one behind the other, each behind its length */
struct sink {
	uint8_t buf[32768];
	struct wr w;
	int n, stop_at, pieces_max;
};

static int on_record(const struct iovec *iov, int n, size_t len, void *arg)
{
	struct sink *s = arg;

	assert_int_equal(iov_len(iov, n), len);
	wr_u32(&s->w, (uint32_t)len);
	for (int i = 0; i < n; i++)
		wr_bytes(&s->w, iov[i].iov_base, iov[i].iov_len);
	s->pieces_max = MAX(s->pieces_max, n);
	return ++s->n == s->stop_at ? 7 : 0;
}

static void sink_init(struct sink *s)
{
	s->w = wr_init(s->buf, sizeof(s->buf));
	s->n = s->stop_at = s->pieces_max = 0;
}

static void framer_init(struct framer *f, bool keepalive)
{
	memset(f, 0, sizeof(*f));
	f->cap = REC_MAX + 4;
	f->hold = malloc(f->cap);
	f->min = 14;
	f->max = REC_MAX;
	f->keepalive = keepalive;
	assert_non_null(f->hold);
}

/* Feed an exact copy, so that a read past its end is noticed */
static int feed(struct framer *f, const uint8_t *p, size_t len, struct sink *s)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct iovec iov = { copy, len };
	int rc;

	assert_non_null(copy);
	if (len)
		memcpy(copy, p, len);
	rc = framer_input(f, &iov, 1, on_record, s);
	free(copy);
	return rc;
}

static size_t make_stream(uint8_t *buf, size_t size, bool keepalive)
{
	static const size_t lens[] = { 14, 0, 60, 300, 1514, 0, 15, REC_MAX,
				       268, 264, 272, 20 };
	struct wr w = wr_init(buf, size);

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		if (!lens[i] && !keepalive)
			continue;
		wr_u32(&w, (uint32_t)lens[i]);
		for (size_t j = 0; j < lens[i]; j++)
			wr_u8(&w, (uint8_t)(i * 31 + j));
	}
	assert_false(w.bad);
	return wr_len(&w);
}

static const struct {
	uint32_t len;
	bool keepalive;
	int rc;
} lengths[] = {
	{ 0, true, 0 }, { 0, false, -EMSGSIZE },
	{ 1, true, -EMSGSIZE }, { 13, true, -EMSGSIZE },
	{ 14, true, 0 }, { 14, false, 0 },
	{ REC_MAX, true, 0 }, { REC_MAX + 1, true, -EMSGSIZE },
	{ 0x10000, false, -EMSGSIZE }, { 0x4d53424c, true, -EMSGSIZE },
	{ 0x80000000, true, -EMSGSIZE }, { 0xffffffff, true, -EMSGSIZE },
};

static void test_lengths(void **state)
{
	static uint8_t in[4 + REC_MAX];
	static struct sink s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		uint32_t n = lengths[i].len;
		struct wr w = wr_init(in, sizeof(in));
		struct framer f;
		int rc;

		wr_u32(&w, n);
		framer_init(&f, lengths[i].keepalive);
		sink_init(&s);
		rc = feed(&f, in, n <= REC_MAX ? 4 + n : 4, &s);
		if (rc != lengths[i].rc || s.n != (rc == 0))
			fail_msg("length %u: got %d, %d records", n, rc, s.n);
		free(f.hold);

		/* Byte by byte it is judged at the fourth, and not before */
		framer_init(&f, lengths[i].keepalive);
		sink_init(&s);
		for (size_t j = 0; j < 4; j++) {
			rc = feed(&f, in + j, 1, &s);
			assert_int_equal(rc, j < 3 ? 0 : lengths[i].rc);
		}
		free(f.hold);
	}
}

/* Two cuts anywhere, the second one near, give the same records */
static void test_cuts(void **state)
{
	static uint8_t in[8192];
	static struct sink whole, cut;
	size_t len = make_stream(in, sizeof(in), true);
	struct framer f;

	(void)state;
	framer_init(&f, true);
	sink_init(&whole);
	assert_int_equal(feed(&f, in, len, &whole), 0);
	assert_int_equal(whole.n, 12);
	assert_int_equal(wr_len(&whole.w), len);
	assert_memory_equal(whole.buf, in, len);
	for (size_t a = 0; a <= len; a++) {
		size_t b = MIN(len, a + 1 + a % 400);

		sink_init(&cut);
		assert_int_equal(feed(&f, in, a, &cut), 0);
		assert_int_equal(feed(&f, in + a, b - a, &cut), 0);
		assert_int_equal(feed(&f, in + b, len - b, &cut), 0);
		assert_int_equal(f.have, 0);
		if (cut.n != whole.n || memcmp(cut.buf, whole.buf, len))
			fail_msg("cut at %zu and %zu", a, b);
	}
	free(f.hold);
}

/* No proper prefix of a record is one */
static void test_prefix(void **state)
{
	static uint8_t in[4 + 100] = { 0, 0, 0, 100 };
	static struct sink s;

	(void)state;
	for (size_t n = 0; n < sizeof(in); n++) {
		struct framer f;

		framer_init(&f, true);
		sink_init(&s);
		assert_int_equal(feed(&f, in, n, &s), 0);
		assert_int_equal(s.n, 0);
		free(f.hold);
	}
}

/* Pieces of @size bytes in one call: crumbs, and empty ones between */
static void run_pieces(const uint8_t *in, size_t len, size_t size)
{
	static struct iovec iov[16384];
	static struct sink s;
	struct framer f;
	int n = 0;

	for (size_t off = 0; off < len; off += size) {
		iov[n].iov_base = (uint8_t *)(uintptr_t)in + off;
		iov[n++].iov_len = MIN(size, len - off);
		iov[n++] = (struct iovec){ NULL, 0 };
	}
	framer_init(&f, true);
	sink_init(&s);
	assert_int_equal(framer_input(&f, iov, n, on_record, &s), 0);
	assert_int_equal(f.taken, len);
	assert_int_equal(wr_len(&s.w), len);
	assert_memory_equal(s.buf, in, len);
	assert_in_range(s.pieces_max, 1, LINK_IOV_MAX);
	free(f.hold);
}

static void test_pieces(void **state)
{
	static uint8_t in[8192];
	size_t len = make_stream(in, sizeof(in), true);

	(void)state;
	for (size_t size = 1; size < 600; size += 1 + size / 8)
		run_pieces(in, len, size);
}

/* A record that was cut begins with enough contiguous bytes for its headers */
static int on_head(const struct iovec *iov, int n, size_t len, void *arg)
{
	(void)n;
	*(int *)arg += iov[0].iov_len >= MIN(len, LINK_HEAD_MIN +
						  LINK_VNET_LEN);
	return 0;
}

static void test_head(void **state)
{
	static uint8_t in[4 + 1000] = { 0, 0, 3, 0xe8 };

	(void)state;
	for (size_t cut = 1; cut < sizeof(in); cut++) {
		struct iovec a = { in, cut };
		struct iovec b = { in + cut, sizeof(in) - cut };
		struct framer f;
		int good = 0;

		framer_init(&f, true);
		assert_int_equal(framer_input(&f, &a, 1, on_head, &good), 0);
		assert_int_equal(framer_input(&f, &b, 1, on_head, &good), 0);
		assert_int_equal(good, 1);
		free(f.hold);
	}
}

static void test_stop(void **state)
{
	static uint8_t in[8192];
	static struct sink s;
	size_t len = make_stream(in, sizeof(in), true), taken;
	struct framer f;

	(void)state;
	for (int at = 1; at <= 12; at++) {
		framer_init(&f, true);
		sink_init(&s);
		s.stop_at = at;
		assert_int_equal(feed(&f, in, len, &s), 7);
		assert_int_equal(s.n, at);
		taken = f.taken;
		assert_int_equal(wr_len(&s.w), taken);
		assert_int_equal(feed(&f, in + taken, len - taken, &s), 0);
		assert_int_equal(s.n, 12);
		assert_memory_equal(s.buf, in, len);
		free(f.hold);
	}
}

/* Where the records of one input lie */
static struct {
	struct iovec iov[8];
	size_t n;
} seen;

static int on_seen(const struct iovec *iov, int n, size_t len, void *arg)
{
	(void)len;
	(void)arg;
	for (int i = 0; i < n; i++)
		seen.iov[seen.n++] = iov[i];
	return 0;
}

/* With a spare place, a record that was cut outlives the rest of its input */
static void test_spare(void **state)
{
	uint8_t in[3 * 104], got[200];
	struct framer f;

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = i % 104 < 3 ? 0 : i % 104 == 3 ? 100 : (uint8_t)i;
	for (size_t cut = 1; cut < 104; cut++) {
		struct iovec a = { in, cut };
		struct iovec b = { in + cut, 2 * 104 };

		framer_init(&f, false);
		f.spare = malloc(f.cap);
		assert_non_null(f.spare);
		seen.n = 0;
		framer_input(&f, &a, 1, on_seen, NULL);
		framer_input(&f, &b, 1, on_seen, NULL);
		assert_int_equal(iov_len(seen.iov, (int)seen.n), 200);
		iov_copy_out(seen.iov, (int)seen.n, 0, got, 200);
		assert_memory_equal(got, in + 4, 100);
		assert_memory_equal(got + 100, in + 108, 100);
		assert_int_equal(f.have, cut);
		free(f.hold);
		free(f.spare);
	}
}

int framer_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_spare),
	};

	return cmocka_run_group_tests_name("framer", tests, NULL, NULL);
}
