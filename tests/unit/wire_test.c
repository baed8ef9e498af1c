#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/arp.h"
#include "gateway/wire/csum.h"
#include "gateway/wire/eth.h"
#include "gateway/wire/icmp4.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ip4.h"
#include "gateway/wire/ip6.h"
#include "gateway/wire/ndp.h"
#include "gateway/wire/udp.h"

/* The small headers of gateway/wire; DNS, TCP and checksums have their own */

int wire_test(void);

/*
 * Parses an exact-size heap copy of @b, then every proper prefix, of which none
 * may be accepted.
 */
static int whole_and_torn(const uint8_t *b, size_t len,
			  int (*parse)(struct rd *r, void *out), void *out)
{
	uint8_t junk[256];
	int rc = 1;

	for (size_t n = 0; n <= len; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		struct rd r = rd_init(copy, n);

		assert_non_null(copy);
		if (n)
			memcpy(copy, b, n);
		rc = parse(&r, n == len ? out : junk);
		if (n < len)
			assert_int_equal(rc, -EBADMSG);
		else if (rc == 0)
			assert_true(rd_done(&r));
		free(copy);
	}
	return rc;
}

#define PARSER(name, type)						\
	static int p_##name(struct rd *r, void *out)			\
	{								\
		return name##_parse(r, (struct type *)out);		\
	}
PARSER(eth, eth)
PARSER(arp, arp)
PARSER(ip4, ip4)
PARSER(ip6, ip6)
PARSER(icmp4, icmp4)
PARSER(icmp6, icmp6)
PARSER(udp, udp_hdr)

static struct ipaddr addr(const char *text)
{
	struct ipaddr a;

	assert_int_equal(ipaddr_parse(span_str(text), &a), 0);
	return a;
}

static void assert_addr(const struct ipaddr *a, const char *text)
{
	char buf[IPADDR_STRLEN];

	assert_string_equal(ipaddr_fmt(a, buf), text);
}

static void emitted(const struct wr *w, const uint8_t *want, size_t len)
{
	assert_false(w->bad);
	assert_int_equal(wr_len(w), len);
	assert_memory_equal(w->start, want, len);
}

static void eth(void **state)
{
	static const uint8_t b[] = "\2msb\0\1" "\2msb\0\2" "\x86\xdd";
	size_t len = sizeof(b) - 1;
	uint8_t out[64];
	struct wr w = wr_init(out, sizeof(out));
	struct eth e;

	(void)state;
	assert_int_equal(whole_and_torn(b, len, p_eth, &e), 0);
	assert_int_equal(e.type, ETH_TYPE_IP6);
	assert_memory_equal(e.src, "\2msb\0\2", 6);
	eth_emit(&e, &w);
	emitted(&w, b, len);
}

static void arp(void **state)
{
	static const uint8_t good[] =
		"\0\1\x08\0\6\4\0\1" "\2msb\0\2" "\x64\x60\0\2"
		"\0\0\0\0\0\0" "\x64\x60\0\1";
	static const struct {
		size_t at;
		uint8_t v;
	} bad[] = { { 1, 6 }, { 2, 0x86 }, { 4, 8 }, { 5, 16 } };
	uint8_t out[64], b[ARP_LEN];
	struct wr w = wr_init(out, sizeof(out));
	struct arp a;

	(void)state;
	assert_int_equal(sizeof(good) - 1, ARP_LEN);
	assert_int_equal(whole_and_torn(good, ARP_LEN, p_arp, &a), 0);
	assert_int_equal(a.op, ARP_OP_REQUEST);
	assert_addr(&a.spa, "100.96.0.2");
	assert_addr(&a.tpa, "100.96.0.1");
	arp_emit(&a, &w);
	emitted(&w, good, ARP_LEN);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(b, good, ARP_LEN);
		b[bad[i].at] = bad[i].v;
		assert_int_equal(whole_and_torn(b, ARP_LEN, p_arp, &a),
				 -EBADMSG);
	}
}

static void ip4(void **state)
{
	struct ip4 in = { .tos = 0xb8, .ttl = 17, .proto = IPPROTO_UDP,
			  .len = 1500, .id = 0xbeef, .off = 1480, .mf = true,
			  .src = addr("192.0.2.1"), .dst = addr("10.0.0.7") };
	uint8_t b[IP4_HDR_LEN];
	struct wr w = wr_init(b, sizeof(b));
	struct ip4 h;

	(void)state;
	ip4_emit(&in, &w);
	assert_false(w.bad);
	assert_int_equal(csum_block(b, sizeof(b)), 0);
	assert_int_equal(whole_and_torn(b, sizeof(b), p_ip4, &h), 0);
	assert_int_equal(h.hdr_len, 20);
	assert_int_equal(h.tos, 0xb8);
	assert_int_equal(h.ttl, 17);
	assert_int_equal(h.proto, IPPROTO_UDP);
	assert_int_equal(h.len, 1500);
	assert_int_equal(h.id, 0xbeef);
	assert_int_equal(h.off, 1480);
	assert_true(h.mf && !h.df && !h.srcroute);
	assert_addr(&h.src, "192.0.2.1");
	assert_addr(&h.dst, "10.0.0.7");

	b[8]--;
	assert_int_equal(whole_and_torn(b, sizeof(b), p_ip4, &h), -EILSEQ);
	w = wr_init(b, sizeof(b) - 1);
	ip4_emit(&in, &w);
	assert_true(w.bad);
}

/* Header of @hlen bytes and total length @total, with options */
static int ip4_with(uint8_t ver_ihl, uint16_t total, const char *opts,
		    size_t olen, struct ip4 *h)
{
	uint8_t b[IP4_HDR_MAX] = { ver_ihl, 0, (uint8_t)(total >> 8),
				   (uint8_t)total, [8] = 64, [9] = 6,
				   [12] = 1, [16] = 2 };
	size_t len = 20 + olen;
	uint16_t sum;

	memcpy(b + 20, opts, olen);
	sum = csum_block(b, len);
	b[10] = (uint8_t)(sum >> 8);
	b[11] = (uint8_t)sum;
	return whole_and_torn(b, len, p_ip4, h);
}

static void ip4_options(void **state)
{
	static const struct {
		const char *name;
		uint8_t ver_ihl;
		uint16_t total;
		const char *opts;
		size_t olen;
		int rc;
		bool srcroute;
	} cases[] = {
#define C(name, v, t, o, rc, sr) { name, v, t, o, sizeof(o) - 1, rc, sr }
		C("no options", 0x45, 20, "", 0, false),
		C("version 6", 0x65, 20, "", -EBADMSG, false),
		C("header too short", 0x44, 20, "", -EBADMSG, false),
		C("total below header", 0x45, 19, "", -EBADMSG, false),
		C("total below options", 0x46, 23, "\1\1\1\1", -EBADMSG, false),
		C("nops", 0x46, 24, "\1\1\1\1", 0, false),
		C("end, then anything", 0x46, 24, "\0\xff\xff\xff", 0, false),
		C("router alert", 0x46, 24, "\x94\4\0\0", 0, false),
		C("length 0", 0x46, 24, "\x94\0\0\0", -EBADMSG, false),
		C("length 1", 0x46, 24, "\x94\1\0\0", -EBADMSG, false),
		C("leaves the header", 0x46, 24, "\x94\5\0\0", -EBADMSG, false),
		C("length missing", 0x46, 24, "\1\1\1\x94", -EBADMSG, false),
		C("lsrr", 0x47, 28, "\x83\7\4\1\2\3\4\0", 0, true),
		C("ssrr", 0x47, 28, "\x89\7\4\1\2\3\4\0", 0, true),
		C("record route", 0x47, 28, "\7\7\4\0\0\0\0\0", 0, false),
#undef C
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip4 h = { 0 };
		int rc = ip4_with(cases[i].ver_ihl, cases[i].total,
				  cases[i].opts, cases[i].olen, &h);

		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].name, rc);
		if (!rc)
			assert_int_equal(h.srcroute, cases[i].srcroute);
	}
}

static void ip6(void **state)
{
	struct ip6 in = { .tos = 0x5a, .flow = 0xabcde, .plen = 1280,
			  .next = IPPROTO_TCP, .hop = 3,
			  .src = addr("fd42:6d73:62::2"),
			  .dst = addr("2001:db8::1") };
	uint8_t b[IP6_HDR_LEN];
	struct wr w = wr_init(b, sizeof(b));
	struct ip6 h;

	(void)state;
	ip6_emit(&in, &w);
	assert_false(w.bad);
	assert_int_equal(whole_and_torn(b, sizeof(b), p_ip6, &h), 0);
	assert_int_equal(h.tos, 0x5a);
	assert_int_equal(h.flow, 0xabcde);
	assert_int_equal(h.plen, 1280);
	assert_int_equal(h.next, IPPROTO_TCP);
	assert_int_equal(h.hop, 3);
	assert_addr(&h.src, "fd42:6d73:62::2");
	assert_addr(&h.dst, "2001:db8::1");
	b[0] = 0x45;
	assert_int_equal(whole_and_torn(b, sizeof(b), p_ip6, &h), -EBADMSG);
	/* an IPv4-mapped source */
	w = wr_init(b, sizeof(b));
	ip6_emit(&in, &w);
	memset(b + 8, 0, 10);
	b[18] = b[19] = 0xff;
	assert_int_equal(whole_and_torn(b, sizeof(b), p_ip6, &h), -EBADMSG);
}

#define PAD6	"\1\4\0\0\0\0"

static const struct {
	const char *name;
	uint8_t next;
	const char *in;
	size_t len;
	int rc;
	uint8_t proto;
	size_t at, ext;
	bool frag;
	uint16_t off;
} exts[] = {
#define C(name, next, in, rc, proto, at, frag, off)			\
	{ name, next, in, sizeof(in) - 1, rc, proto, at, sizeof(in) - 1,\
	  frag, off }
	C("none", 6, "", 0, 6, 6, false, 0),
	C("hop by hop", 0, "\6\0" PAD6, 0, 6, 40, false, 0),
	C("router alert", 0, "\6\0\5\2\0\0\1\0", 0, 6, 40, false, 0),
	C("hop by hop, options", 0, "\74\0" PAD6 "\21\0" PAD6, 0, 17, 48,
	  false, 0),
	C("long one", 60, "\21\1\1\14\0\0\0\0\0\0\0\0\0\0\0\0", 0, 17, 40,
	  false, 0),
	C("hop by hop second", 60, "\0\0" PAD6 "\6\0" PAD6, -EBADMSG, 0, 0,
	  false, 0),
	C("option leaves", 60, "\6\0\1\5\0\0\0\0", -EBADMSG, 0, 0, false, 0),
	C("option cut", 60, "\6\0\1\3\0\0\0\1", -EBADMSG, 0, 0, false, 0),
	C("unknown, skip", 60, "\6\0\x1e\4\0\0\0\0", 0, 6, 40, false, 0),
	C("unknown, discard", 60, "\6\0\x5e\4\0\0\0\0", -EOPNOTSUPP, 0, 0,
	  false, 0),
	C("unknown, report", 60, "\6\0\xde\4\0\0\0\0", -EOPNOTSUPP, 0, 0,
	  false, 0),
	C("routing 0", 43, "\6\0\0\0\0\0\0\0", -EPERM, 0, 0, false, 0),
	C("routing 4 done", 43, "\6\0\4\0\0\0\0\0", 0, 6, 40, false, 0),
	C("routing 4 to go", 43, "\6\0\4\1\0\0\0\0", -EPERM, 0, 0, false, 0),
	C("atomic", 44, "\6\0\0\0\1\2\3\4", 0, 6, 40, false, 0),
	C("first", 44, "\6\0\0\1\1\2\3\4", 0, 6, 40, true, 0),
	C("later", 44, "\6\0\x05\xa8\1\2\3\4", 0, 6, 40, true, 1448),
	C("eight", 60,
	  "\74\0" PAD6 "\74\0" PAD6 "\74\0" PAD6 "\74\0" PAD6
	  "\74\0" PAD6 "\74\0" PAD6 "\74\0" PAD6 "\6\0" PAD6, 0, 6, 96,
	  false, 0),
	C("nine", 60,
	  "\74\0" PAD6 "\74\0" PAD6 "\74\0" PAD6 "\74\0" PAD6 "\74\0" PAD6
	  "\74\0" PAD6 "\74\0" PAD6 "\74\0" PAD6 "\6\0" PAD6, -EBADMSG, 0, 0,
	  false, 0),
#undef C
};

static void ip6_exts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(exts); i++) {
		for (size_t n = 0; n <= exts[i].len; n++) {
			uint8_t *copy = malloc(n ? n : 1);
			struct rd r = rd_init(copy, n);
			struct ip6_ext x;
			int rc;

			assert_non_null(copy);
			memcpy(copy, exts[i].in, n);
			rc = ip6_ext_parse(&r, exts[i].next, &x);
			free(copy);
			if (n < exts[i].len) {
				assert_true(rc < 0);
				continue;
			}
			if (rc != exts[i].rc)
				fail_msg("%s: %d", exts[i].name, rc);
			if (rc)
				continue;
			assert_int_equal(x.proto, exts[i].proto);
			assert_int_equal(x.proto_at, exts[i].at);
			assert_int_equal(x.len, exts[i].ext);
			assert_int_equal(x.frag, exts[i].frag);
			if (x.frag) {
				assert_int_equal(x.off, exts[i].off);
				assert_int_equal(x.id, 0x01020304);
			}
		}
	}
}

static void ip6_frag(void **state)
{
	uint8_t b[IP6_FRAG_LEN];
	struct wr w = wr_init(b, sizeof(b));
	struct rd r = rd_init(b, sizeof(b));
	struct ip6_ext x;

	(void)state;
	ip6_frag_emit(IPPROTO_UDP, 1448, true, 0xdeadbeef, &w);
	assert_false(w.bad);
	assert_int_equal(ip6_ext_parse(&r, IPPROTO_FRAGMENT, &x), 0);
	assert_true(x.frag && x.mf && !x.atomic);
	assert_int_equal(x.off, 1448);
	assert_int_equal(x.id, 0xdeadbeef);
	assert_int_equal(x.proto, IPPROTO_UDP);
}

static void icmp(void **state)
{
	static const uint8_t b[] = { 8, 0, 0x12, 0x34, 0xab, 0xcd, 0, 7 };
	uint8_t out[16];
	struct wr w = wr_init(out, sizeof(out));
	struct icmp4 m;
	struct icmp6 m6;

	(void)state;
	assert_int_equal(whole_and_torn(b, sizeof(b), p_icmp4, &m), 0);
	assert_int_equal(m.type, ICMP4_ECHO);
	assert_int_equal(m.csum, 0x1234);
	assert_int_equal(m.rest, 0xabcd0007);
	icmp4_emit(&m, &w);
	emitted(&w, b, sizeof(b));

	w = wr_init(out, sizeof(out));
	assert_int_equal(whole_and_torn(b, sizeof(b), p_icmp6, &m6), 0);
	assert_int_equal(m6.rest, 0xabcd0007);
	icmp6_emit(&m6, &w);
	emitted(&w, b, sizeof(b));

	assert_true(icmp4_is_error(ICMP4_UNREACH) && icmp4_is_error(200));
	assert_false(icmp4_is_error(ICMP4_ECHO));
	assert_true(icmp6_is_error(ICMP6_PARAM_PROB));
	assert_false(icmp6_is_error(ICMP6_ECHO));
}

#define TARGET	"\xfd\x42\x6d\x73\0\x62\0\0\0\0\0\0\0\0\0\1"
#define NS	"\x87\0\0\0\0\0\0\0" TARGET

static const struct {
	const char *name, *in;
	size_t len;
	int rc;
	bool has_mac;
} ndps[] = {
#define C(name, in, rc, mac)	{ name, in, sizeof(in) - 1, rc, mac }
	C("ns", NS, 0, false),
	C("ns with source", NS "\1\1\2msb\0\2", 0, true),
	C("unknown option", NS "\xfe\1\0\0\0\0\0\0" "\1\1\2msb\0\2", 0, true),
	C("other option", NS "\2\1\2msb\0\2", 0, false),
	C("length 0", NS "\1\0\2msb\0\2", -EBADMSG, false),
	C("length 2", NS "\1\2\2msb\0\2\0\0\0\0\0\0\0\0", -EBADMSG, false),
	C("torn option", NS "\1\1\2msb\0", -EBADMSG, false),
	C("slack", NS "\1", -EBADMSG, false),
	C("code", "\x87\1\0\0\0\0\0\0" TARGET, -EBADMSG, false),
	C("short", "\x87\0\0\0\0\0\0\0\xfd", -EBADMSG, false),
	C("group", "\x87\0\0\0\0\0\0\0\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1",
	  -EBADMSG, false),
	C("mapped", "\x87\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4",
	  -EBADMSG, false),
	C("na", "\x88\0\0\0\x60\0\0\0" TARGET "\2\1\2msb\0\2", 0, true),
	C("rs", "\x85\0\0\0\0\0\0\0", -ENOTSUP, false),
	C("empty", "", -EBADMSG, false),
#undef C
};

static void ndp(void **state)
{
	uint8_t out[NDP_LEN_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ndps); i++) {
		uint8_t *copy = malloc(ndps[i].len + !ndps[i].len);
		struct ndp m = { 0 };
		int rc;

		assert_non_null(copy);
		memcpy(copy, ndps[i].in, ndps[i].len);
		rc = ndp_parse(rd_init(copy, ndps[i].len), &m);
		free(copy);
		if (rc != ndps[i].rc)
			fail_msg("%s: %d", ndps[i].name, rc);
		if (rc == 0)
			assert_int_equal(m.has_mac, ndps[i].has_mac);
	}
	for (int flags = 0; flags < 16; flags++) {
		struct wr w = wr_init(out, sizeof(out));
		struct ndp m, in = { .type = ICMP6_NA, .router = flags & 1,
				     .solicited = flags & 2,
				     .override = flags & 4,
				     .target = addr("fe80::1"),
				     .has_mac = flags & 8,
				     .mac = { 2, 3, 4, 5, 6, 7 } };

		ndp_emit(&in, &w);
		assert_false(w.bad);
		assert_int_equal(ndp_parse(rd_init(out, wr_len(&w)), &m), 0);
		assert_int_equal(m.type, ICMP6_NA);
		assert_int_equal(m.router, in.router);
		assert_int_equal(m.solicited, in.solicited);
		assert_int_equal(m.override, in.override);
		assert_int_equal(m.has_mac, in.has_mac);
		assert_addr(&m.target, "fe80::1");
		if (m.has_mac)
			assert_memory_equal(m.mac, in.mac, 6);
	}
}

static void udp(void **state)
{
	static const uint8_t b[] = { 0, 53, 0x30, 0x39, 0, 8, 0xbe, 0xef };
	static const uint8_t tiny[] = { 0, 53, 0x30, 0x39, 0, 7, 0, 0 };
	uint8_t out[16];
	struct wr w = wr_init(out, sizeof(out));
	struct udp_hdr h;

	(void)state;
	assert_int_equal(whole_and_torn(b, sizeof(b), p_udp, &h), 0);
	assert_int_equal(h.sport, 53);
	assert_int_equal(h.dport, 12345);
	assert_int_equal(h.len, 8);
	assert_int_equal(h.csum, 0xbeef);
	udp_emit(&h, &w);
	emitted(&w, b, sizeof(b));
	assert_int_equal(whole_and_torn(tiny, sizeof(tiny), p_udp, &h),
			 -EBADMSG);
}

int wire_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eth),
		cmocka_unit_test(arp),
		cmocka_unit_test(ip4),
		cmocka_unit_test(ip4_options),
		cmocka_unit_test(ip6),
		cmocka_unit_test(ip6_exts),
		cmocka_unit_test(ip6_frag),
		cmocka_unit_test(icmp),
		cmocka_unit_test(ndp),
		cmocka_unit_test(udp),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
