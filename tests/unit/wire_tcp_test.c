#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/tcp.h"

int wire_tcp_test(void);

#define FIXED(off)							\
	"\x12\x34\x00\x50" "\x01\x02\x03\x04" "\xa1\xa2\xa3\xa4"	\
	off "\x18" "\x20\x00" "\xbe\xef" "\x00\x07"

static const struct {
	const char *name, *in;
	size_t len;
	struct tcp_opts want;
} cases[] = {
#define C(name, in, ...)	{ name, in, sizeof(in) - 1, { __VA_ARGS__ } }
	C("no options", FIXED("\x50"), .mss = 0),
	C("mss", FIXED("\x60") "\2\4\5\xb4", .mss = 1460),
	C("all", FIXED("\xa0") "\2\4\5\xb4" "\4\2\x08\x0a\1\2\3\4\5\6\7\x08"
	  "\1\3\3\7", .mss = 1460, .sack_ok = true, .has_ts = true,
	  .tsval = 0x01020304, .tsecr = 0x05060708, .has_wscale = true,
	  .wscale = 7),
	C("scale too large", FIXED("\x60") "\3\3\xff\1", .has_wscale = true,
	  .wscale = 14),
	C("sack", FIXED("\xa0") "\1\1\5\x12\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4",
	  .nsack = 2, .sack = { { 1, 2 }, { 3, 4 } }),
	C("sack of an odd size", FIXED("\x70") "\5\6\0\0\0\1\1\1", .mss = 0),
	C("end before garbage", FIXED("\x70") "\2\4\0\1\0\2\4\xff", .mss = 1),
	C("length 0", FIXED("\x70") "\2\4\0\1\3\0\1\1", .bad = true, .mss = 1),
	C("length 1", FIXED("\x60") "\3\1\1\1", .bad = true),
	C("length beyond", FIXED("\x60") "\3\5\1\1", .bad = true),
	C("no length", FIXED("\x60") "\1\1\1\2", .bad = true),
	C("wrong size of a known kind", FIXED("\x60") "\2\3\1\1", .mss = 0),
	C("unknown kinds", FIXED("\x70") "\xfe\4\1\1\x1e\2\1\1", .mss = 0),
};

static int parse(const void *in, size_t len, struct tcp_hdr *h)
{
	uint8_t *exact = malloc(len ? len : 1);
	int rc;

	assert_non_null(exact);
	memcpy(exact, in, len);
	rc = tcp_hdr_parse(rd_init(exact, len), h);
	free(exact);
	return rc;
}

static void check_opts(const struct tcp_opts *a, const struct tcp_opts *b)
{
	assert_int_equal(a->bad, b->bad);
	assert_int_equal(a->mss, b->mss);
	assert_int_equal(a->has_wscale, b->has_wscale);
	assert_int_equal(a->wscale, b->wscale);
	assert_int_equal(a->sack_ok, b->sack_ok);
	assert_int_equal(a->has_ts, b->has_ts);
	assert_int_equal(a->tsval, b->tsval);
	assert_int_equal(a->tsecr, b->tsecr);
	assert_int_equal(a->nsack, b->nsack);
	for (unsigned int i = 0; i < a->nsack; i++) {
		assert_int_equal(a->sack[i].start, b->sack[i].start);
		assert_int_equal(a->sack[i].end, b->sack[i].end);
	}
}

static void parses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tcp_hdr h;

		print_message("  %s\n", cases[i].name);
		assert_int_equal(parse(cases[i].in, cases[i].len, &h), 0);
		assert_int_equal(h.sport, 0x1234);
		assert_int_equal(h.dport, 80);
		assert_int_equal(h.seq, 0x01020304);
		assert_int_equal(h.ack, 0xa1a2a3a4);
		assert_int_equal(h.hlen, cases[i].len);
		assert_int_equal(h.flags, TCP_FLAG_ACK | TCP_FLAG_PSH);
		assert_int_equal(h.wnd, 0x2000);
		assert_int_equal(h.csum, 0xbeef);
		assert_int_equal(h.urg, 7);
		check_opts(&h.opt, &cases[i].want);
		for (size_t n = 0; n < cases[i].len; n++)
			assert_int_equal(parse(cases[i].in, n, &h), -EBADMSG);
	}
}

static void short_offset(void **state)
{
	struct tcp_hdr h;

	(void)state;
	assert_int_equal(parse(FIXED("\x40"), 20, &h), -EBADMSG);
	assert_int_equal(parse(FIXED("\x00"), 20, &h), -EBADMSG);
}

static void round_trip(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 16 * 5; bits++) {
		struct tcp_hdr in = {
			.sport = 1, .dport = 65535, .seq = 0xfffffffe,
			.ack = 0x80000000, .flags = (uint8_t)(bits * 7),
			.wnd = 512, .urg = 3,
		}, out;
		uint8_t buf[TCP_HDR_MAX];
		struct wr w;

		in.opt.mss = bits & 1 ? 1460 : 0;
		in.opt.has_ts = bits & 2;
		in.opt.tsval = bits & 2 ? 17 : 0;
		in.opt.sack_ok = bits & 4;
		in.opt.has_wscale = bits & 8;
		in.opt.wscale = bits & 8 ? 14 : 0;
		in.opt.nsack = (uint8_t)(bits / 16);
		for (uint32_t i = 0; i < in.opt.nsack; i++)
			in.opt.sack[i] = (struct tcp_range){ i, i + 1 };
		if (tcp_hdr_len(&in) > sizeof(buf))
			continue;
		w = wr_init(buf, sizeof(buf));
		tcp_hdr_emit(&w, &in);
		assert_false(w.bad);
		assert_int_equal(wr_len(&w), tcp_hdr_len(&in));
		assert_int_equal(parse(buf, wr_len(&w), &out), 0);
		assert_int_equal(out.hlen, wr_len(&w));
		assert_int_equal(out.sport, in.sport);
		assert_int_equal(out.dport, in.dport);
		assert_int_equal(out.seq, in.seq);
		assert_int_equal(out.ack, in.ack);
		assert_int_equal(out.flags, in.flags);
		assert_int_equal(out.wnd, in.wnd);
		assert_int_equal(out.csum, 0);
		assert_int_equal(out.urg, in.urg);
		check_opts(&out.opt, &in.opt);
		w = wr_init(buf, tcp_hdr_len(&in) - 1);
		tcp_hdr_emit(&w, &in);
		assert_true(w.bad);
	}
}

int wire_tcp_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(short_offset),
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests_name("wire_tcp", tests, NULL, NULL);
}
