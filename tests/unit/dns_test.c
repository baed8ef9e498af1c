#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/dns.h"

int dns_test(void);

#define HEAD(flags, qd, an, ns, ar)	"\x12\x34" flags qd an ns ar
#define QHEAD	HEAD("\1\0", "\0\1", "\0\0", "\0\0", "\0\0")
#define QHEAD_OPT HEAD("\1\0", "\0\1", "\0\0", "\0\0", "\0\1")
#define WWW	"\3wWw\7EXAMPLE\3com\0"
#define Q_A	WWW "\0\1\0\1"
#define OPT	"\0\0\x29\x04\xd0\0\0\x80\0\0\0"

static struct span heap(const char *in, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, in, len);
	return (struct span){ copy, len };
}

static void drop(struct span s)
{
	free((void *)(uintptr_t)s.p);
}

/* --- names ------------------------------------------------------------------- */

#define L63	"\77" "0123456789abcdef0123456789abcdef0123456789abcdef" \
		"0123456789abcde"
#define T63	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

static const struct {
	const char *name, *in;	/* a message: 12 bytes, then names */
	size_t len, at, after;
	const char *text;	/* NULL: refused */
} names[] = {
#define H12	"...........\0"
#define C(name, in, at, after, text)	{ name, H12 in, sizeof(in) + 11, \
					  12 + (at), 12 + (after), text }
	C("root", "\0", 0, 1, "."),
	C("lower", "\1A\2Bc\0", 0, 6, "a.bc"),
	C("escape", "\4a.b\\\0", 0, 6, "a\\.b\\\\"),
	C("bytes", "\3 \xff\n\0", 0, 5, "\\032\\255\\010"),
	C("pointer", "\1a\0\1b\xc0\x0c", 3, 7, "b.a"),
	C("pointer only", "\1a\0\xc0\x0c", 3, 5, "a"),
	C("two pointers", "\1a\0\1b\xc0\x0c\1c\xc0\x0f", 7, 11, "c.b.a"),
	C("forward again", "\xc0\x0e\xc0\x0c\xc0\x0c", 4, 0, NULL),
	C("to the root", "\0\xc0\x0c", 1, 3, "."),
	C("to itself", "\xc0\x0c", 0, 0, NULL),
	C("forward", "\xc0\x0e\1a\0", 0, 0, NULL),
	C("loop", "\1a\xc0\x0c", 0, 0, NULL),
	C("back and forth", "\xc0\x0e\xc0\x0c", 2, 0, NULL),
	C("into the head", "\1a\0\xc0\x0b", 3, 0, NULL),
	C("beyond the end", "\1a\0\xff\xff", 3, 0, NULL),
	C("torn pointer", "\1a\0\xc0", 3, 0, NULL),
	C("torn label", "\3ab", 0, 0, NULL),
	C("no root", "\1a", 0, 0, NULL),
	C("reserved 01", "\x41" "a\0", 0, 0, NULL),
	C("reserved 10", "\x81" "a\0", 0, 0, NULL),
	C("nothing", "", 0, 0, NULL),
	C("longest label", L63 "\0", 0, 65, T63),
	C("255 bytes", L63 L63 L63 "\75" "0123456789abcdef0123456789abcdef"
	  "0123456789abcdef0123456789abc" "\0", 0, 255,
	  T63 "." T63 "." T63 "." "0123456789abcdef0123456789abcdef"
	  "0123456789abcdef0123456789abc"),
	C("256 bytes", L63 L63 L63 "\76" "0123456789abcdef0123456789abcdef"
	  "0123456789abcdef0123456789abcd" "\0", 0, 0, NULL),
	C("long by pointer", "\1a" L63 L63 L63 "\0" L63 "\xc0\x0c", 195, 0,
	  NULL),
#undef C
};

static void parse_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct span m = heap(names[i].in, names[i].len);
		struct rd r = rd_init(m.p, m.len);
		char text[DNS_TEXT_MAX] = "untouched";
		int rc;

		rd_take(&r, names[i].at);
		rc = dns_name_parse(m, &r, text);
		if (rc != (names[i].text ? 0 : -EBADMSG))
			fail_msg("%s: %d", names[i].name, rc);
		assert_string_equal(text, names[i].text ? names[i].text :
				    "untouched");
		if (rc == 0)
			assert_int_equal(r.p - m.p, names[i].after);
		drop(m);
	}
}

/* One byte of name behind any number of pointers would be work for nothing */
static void pointers_to_pointers(void **state)
{
	uint8_t in[12 + 1 + 2 * 128] = { 0 };
	struct wr w = wr_init(in + 13, sizeof(in) - 13);
	char text[DNS_TEXT_MAX];

	(void)state;
	wr_u16(&w, 0xc000 | 12);
	while (wr_left(&w))
		wr_u16(&w, (uint16_t)(0xc000 | (13 + wr_len(&w) - 2)));
	for (size_t n = 1; n <= 128; n++) {
		struct span m = heap((const char *)in, 13 + 2 * n);
		struct rd r = rd_init(m.p, m.len);

		rd_take(&r, 13 + 2 * (n - 1));
		assert_int_equal(dns_name_parse(m, &r, text),
				 n <= 127 ? 0 : -EBADMSG);
		drop(m);
	}
}

static void worst_name(void **state)
{
	char in[12 + 255], text[DNS_TEXT_MAX];
	struct rd r = rd_init(in, sizeof(in));
	struct span m = { (const uint8_t *)in, sizeof(in) };
	uint8_t out[DNS_NAME_MAX];
	struct wr w = wr_init(out, sizeof(out));

	(void)state;
	memset(in, 0xff, sizeof(in));
	for (size_t i = 0; i < 4; i++)
		in[12 + i * 64] = i < 3 ? 63 : 61;
	in[266] = 0;
	rd_take(&r, 12);
	assert_int_equal(dns_name_parse(m, &r, text), 0);
	assert_int_equal(strlen(text), DNS_TEXT_MAX - 1);
	assert_int_equal(dns_name_emit(text, &w), 0);
	assert_memory_equal(out, in + 12, 255);
}

static void emit_names(void **state)
{
	static const struct {
		const char *text, *out;
		size_t len;
	} cases[] = {
#define C(t, o)	{ t, o, sizeof(o) - 1 }
		C(".", "\0"), C("a", "\1a\0"), C("a.", "\1a\0"),
		C("A.bc", "\1A\2bc\0"), C("a\\.b", "\3a.b\0"),
		C("\\\\", "\1\\\0"), C("\\065\\000", "\2A\0\0"),
		C(T63, L63 "\0"),
		C("", ""), C("..", ""), C(".a", ""), C("a..b", ""),
		C("\\", ""), C("\\25", ""), C("\\256", ""), C("\\1a2", ""),
		C(T63 "x", ""), C(T63 "." T63 "." T63 "." T63, ""),
#undef C
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t out[300];
		struct wr w = wr_init(out, sizeof(out));
		int rc = dns_name_emit(cases[i].text, &w);

		if (rc != (cases[i].len ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].text, rc);
		assert_int_equal(wr_len(&w), cases[i].len);
		assert_memory_equal(out, cases[i].out, cases[i].len);
	}
	assert_true(dns_name_eq("Ex.COM", "eX.com"));
	assert_false(dns_name_eq("ex.com", "ex.co"));
	assert_false(dns_name_eq("ex.co", "ex.com"));
	assert_false(dns_name_eq("a@", "a`"));
}

/* --- queries ----------------------------------------------------------------- */

static const struct {
	const char *name, *in;
	size_t len;
	int rc;
	bool edns;
} queries[] = {
#define C(name, in, rc, edns)	{ name, in, sizeof(in) - 1, rc, edns }
	C("plain", QHEAD Q_A, 0, false),
	C("edns", QHEAD_OPT Q_A OPT, 0, true),
	C("response", HEAD("\x81\0", "\0\1", "\0\0", "\0\0", "\0\0") Q_A,
	  -EBADMSG, false),
	C("response without question",
	  HEAD("\x81\0", "\0\0", "\0\0", "\0\0", "\0\0"), -EBADMSG, false),
	C("no question", HEAD("\1\0", "\0\0", "\0\0", "\0\0", "\0\0"),
	  -EINVAL, false),
	C("two questions", HEAD("\1\0", "\0\2", "\0\0", "\0\0", "\0\0")
	  Q_A Q_A, -EINVAL, false),
	C("two opts", HEAD("\1\0", "\0\1", "\0\0", "\0\0", "\0\2") Q_A OPT OPT,
	  -EINVAL, false),
	C("opt as answer", HEAD("\1\0", "\0\1", "\0\1", "\0\0", "\0\0") Q_A OPT,
	  -EINVAL, false),
	C("opt with a name", QHEAD_OPT Q_A "\1a\0\0\x29\4\xd0\0\0\0\0\0\0",
	  -EINVAL, false),
	C("compressed question", QHEAD "\xc0\x0c\0\1\0\1", -EINVAL, false),
	C("missing record", QHEAD_OPT Q_A, -EINVAL, false),
#undef C
};

static void parse_queries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		for (size_t n = 0; n <= queries[i].len; n++) {
			struct span m = heap(queries[i].in, n);
			struct dns_query q;
			int rc = dns_parse_query(m, &q);

			if (n < 12)
				assert_int_equal(rc, -EBADMSG);
			else if (n < queries[i].len)
				assert_true(rc < 0);
			else if (rc != queries[i].rc)
				fail_msg("%s: %d", queries[i].name, rc);
			if (rc == 0 || rc == -EINVAL) {
				assert_int_equal(q.id, 0x1234);
				assert_true(q.rd);
			}
			if (rc == -EINVAL)
				assert_int_equal(q.question.len, 0);
			if (rc == 0) {
				assert_string_equal(q.qname, "www.example.com");
				assert_int_equal(q.qtype, DNS_TYPE_A);
				assert_int_equal(q.qclass, DNS_CLASS_IN);
				assert_int_equal(q.question.len, 21);
				assert_memory_equal(q.question.p, Q_A, 21);
				assert_int_equal(q.edns, queries[i].edns);
				assert_int_equal(q.dnssec_ok, q.edns);
				assert_int_equal(q.payload, q.edns ? 1232 : 512);
			}
			drop(m);
		}
	}
}

/* --- replies ----------------------------------------------------------------- */

static struct ipaddr addr(const char *text)
{
	struct ipaddr a;

	assert_int_equal(ipaddr_parse(span_str(text), &a), 0);
	return a;
}

static void emit_replies(void **state)
{
	static const struct {
		const char *query;
		size_t len;
		int rcode;
		const char *addr, *out;
		size_t outlen;
	} cases[] = {
#define C(q, rcode, a, o) { q, sizeof(q) - 1, rcode, a, o, sizeof(o) - 1 }
		C(QHEAD Q_A, 0, "192.0.2.1",
		  HEAD("\x85\x80", "\0\1", "\0\1", "\0\0", "\0\0") Q_A
		  "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"),
		C(QHEAD Q_A, 0, "2001:db8::1",
		  HEAD("\x85\x80", "\0\1", "\0\0", "\0\0", "\0\0") Q_A),
		C(QHEAD WWW "\0\x1c\0\1", 0, "2001:db8::1",
		  HEAD("\x85\x80", "\0\1", "\0\1", "\0\0", "\0\0")
		  WWW "\0\x1c\0\1" "\xc0\x0c\0\x1c\0\1\0\0\0\x3c\0\x10"
		  "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"),
		C(QHEAD_OPT Q_A OPT, 3, NULL,
		  HEAD("\x85\x83", "\0\1", "\0\0", "\0\0", "\0\1") Q_A
		  "\0\0\x29\4\xd0\0\0\x80\0\0\0"),
		C(QHEAD_OPT Q_A OPT, 16, NULL,
		  HEAD("\x85\x80", "\0\1", "\0\0", "\0\0", "\0\1") Q_A
		  "\0\0\x29\4\xd0\1\0\x80\0\0\0"),
		C(HEAD("\x21\x10", "\0\0", "\0\0", "\0\0", "\0\0"), 1, NULL,
		  HEAD("\xa5\x91", "\0\0", "\0\0", "\0\0", "\0\0")),
#undef C
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span m = heap(cases[i].query, cases[i].len);
		struct ipaddr a = { { 0 } };
		struct dns_query q;
		uint8_t out[512];

		if (cases[i].addr)
			a = addr(cases[i].addr);
		dns_parse_query(m, &q);
		for (size_t room = 0; room <= cases[i].outlen; room++) {
			struct wr w = wr_init(out, room);
			int rc = dns_emit_reply(&q, cases[i].rcode, true,
						cases[i].addr ? &a : NULL, 60,
						&w);

			assert_int_equal(rc, room < cases[i].outlen ?
					 -ENOSPC : (int)room);
		}
		assert_memory_equal(out, cases[i].out, cases[i].outlen);
		drop(m);
	}
}

/* --- answers ----------------------------------------------------------------- */

#define A_HEAD	HEAD("\x81\x80", "\0\1", "\0\2", "\0\0", "\0\1")
#define A_RRS	"\xc0\x0c\0\5\0\1\0\0\1\0\0\6\3cdn\xc0\x10" \
		"\xc0\x2d\0\1\0\1\0\0\0\x1e\0\4\xc0\0\2\7" OPT
#define ANSWER	A_HEAD Q_A A_RRS

static void check_answers(void **state)
{
	static const struct {
		const char *name, *in;
		size_t len;
		int rc;
	} cases[] = {
#define C(name, in, rc)	{ name, in, sizeof(in) - 1, rc }
		C("good", ANSWER, 0),
		C("other case", A_HEAD "\3WwW\7example\3COM\0\0\1\0\1" A_RRS,
		  0),
		C("query", QHEAD Q_A, -ENOMSG),
		C("other name", A_HEAD "\3wwx\7example\3com\0\0\1\0\1",
		  -ENOMSG),
		C("longer name", A_HEAD "\3www\7example\3com\1a\0\0\1\0\1",
		  -ENOMSG),
		C("dot in label", A_HEAD "\xbwww.example\3com\0\0\1\0\1",
		  -ENOMSG),
		C("other type", A_HEAD WWW "\0\x1c\0\1", -ENOMSG),
		C("other class", A_HEAD WWW "\0\1\0\3", -ENOMSG),
		C("other id", "\x12\x35\x81\x80\0\1\0\0\0\0\0\0" Q_A, -ENOMSG),
		C("other opcode", HEAD("\x91\x80", "\0\1", "\0\0", "\0\0",
		  "\0\0") Q_A, -ENOMSG),
		C("no question", HEAD("\x81\x80", "\0\0", "\0\0", "\0\0",
		  "\0\0"), -EBADMSG),
		C("torn", A_HEAD WWW "\0\1\0", -EBADMSG),
#undef C
	};
	struct span m = heap(QHEAD Q_A, sizeof(QHEAD Q_A) - 1);
	struct dns_query q;

	(void)state;
	assert_int_equal(dns_parse_query(m, &q), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span a = heap(cases[i].in, cases[i].len);
		int rc = dns_check_answer(a, &q);

		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].name, rc);
		drop(a);
	}
	drop(m);
}

static void truncated(void **state)
{
	static const char want[] =
		HEAD("\x83\x80", "\0\1", "\0\0", "\0\0", "\0\1") Q_A OPT;
	static const char without[] =
		HEAD("\x83\x80", "\0\1", "\0\0", "\0\0", "\0\0") Q_A;
	struct span a = heap(ANSWER, sizeof(ANSWER) - 1);
	uint8_t out[512];
	struct wr w = wr_init(out, sizeof(out));

	(void)state;
	assert_int_equal(dns_truncate(a, &w), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
	w = wr_init(out, sizeof(want) - 2);
	assert_int_equal(dns_truncate(a, &w), -ENOSPC);
	/* the record is lost when the way to it is: the rest is as good */
	w = wr_init(out, sizeof(out));
	a.len -= 1;
	assert_int_equal(dns_truncate(a, &w), sizeof(without) - 1);
	assert_memory_equal(out, without, sizeof(without) - 1);
	a.len = 32;
	assert_int_equal(dns_truncate(a, &w), -EBADMSG);
	drop(a);
}

static void records(void **state)
{
	struct span a = heap(ANSWER, sizeof(ANSWER) - 1);
	struct ipaddr got, want = addr("192.0.2.7");
	char text[DNS_TEXT_MAX];
	struct dns_rrs it;
	struct dns_rr rr;

	(void)state;
	assert_int_equal(dns_rrs_init(&it, a), 0);
	assert_int_equal(dns_rrs_next(&it, &rr), 1);
	assert_int_equal(rr.type, DNS_TYPE_CNAME);
	assert_int_equal(rr.section, DNS_SECTION_ANSWER);
	assert_int_equal(rr.ttl_s, 256);
	assert_string_equal(rr.name, "www.example.com");
	assert_int_equal(dns_rr_target(&it, &rr, text), 0);
	assert_string_equal(text, "cdn.example.com");
	assert_int_equal(dns_rr_addr(&rr, &got), -ENOMSG);
	assert_int_equal(dns_rrs_next(&it, &rr), 1);
	assert_string_equal(rr.name, "cdn.example.com");
	assert_int_equal(dns_rr_target(&it, &rr, text), -ENOMSG);
	assert_int_equal(dns_rr_addr(&rr, &got), 0);
	assert_true(ipaddr_eq(&got, &want));
	assert_int_equal(dns_rrs_next(&it, &rr), 1);
	assert_int_equal(rr.section, DNS_SECTION_ADDITIONAL);
	assert_int_equal(rr.type, DNS_TYPE_OPT);
	assert_int_equal(rr.ttl_s, 0x8000);
	assert_int_equal(dns_rrs_next(&it, &rr), 0);
	for (size_t n = 0; n < a.len; n++) {
		struct span cut = heap(ANSWER, n);
		int rc = dns_rrs_init(&it, cut);

		while (rc >= 0 && (rc = dns_rrs_next(&it, &rr)) > 0)
			;
		assert_int_equal(rc, -EBADMSG);
		drop(cut);
	}
	drop(a);
}

static void odd_records(void **state)
{
	static const char in[] =
		HEAD("\x81\x80", "\0\0", "\0\4", "\0\0", "\0\0")
		"\0\0\1\0\1\x80\0\0\1\0\3abc"		/* A of 3 bytes */
		"\0\0\1\0\3\0\0\0\1\0\4abcd"		/* A of Chaos */
		"\0\0\x1c\0\1\0\0\0\1\0\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4"
		"\0\0\5\0\1\0\0\0\1\0\4\1a\0x";		/* slack */
	struct span a = heap(in, sizeof(in) - 1);
	char text[DNS_TEXT_MAX];
	struct ipaddr got;
	struct dns_rrs it;
	struct dns_rr rr;

	(void)state;
	assert_int_equal(dns_rrs_init(&it, a), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dns_rrs_next(&it, &rr), 1);
		assert_int_equal(dns_rr_addr(&rr, &got), -ENOMSG);
		assert_int_equal(rr.ttl_s, i ? 1 : 0);
	}
	assert_int_equal(dns_rrs_next(&it, &rr), 1);
	assert_int_equal(dns_rr_target(&it, &rr, text), -EBADMSG);
	assert_int_equal(dns_rrs_next(&it, &rr), 0);
	drop(a);
}

int dns_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_names),
		cmocka_unit_test(pointers_to_pointers),
		cmocka_unit_test(worst_name),
		cmocka_unit_test(emit_names),
		cmocka_unit_test(parse_queries),
		cmocka_unit_test(emit_replies),
		cmocka_unit_test(check_answers),
		cmocka_unit_test(truncated),
		cmocka_unit_test(records),
		cmocka_unit_test(odd_records),
	};

	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
