#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/inet.h"
#include "base/util.h"

static struct ipaddr ip(const char *text)
{
	struct ipaddr a = { { 0 } };

	assert_int_equal(ipaddr_parse(span_str(text), &a), 0);
	return a;
}

static void test_text(void **state)
{
	/* RFC 5952: what is read, and how it is written */
	static const char *const cases[][2] = {
		{ "0.0.0.0", NULL },
		{ "255.255.255.255", NULL },
		{ "100.96.0.2", NULL },
		{ "::", NULL },
		{ "::1", NULL },
		{ "1::", NULL },
		{ "fe80::1", NULL },
		{ "FD42:6D73:62:2a::2", "fd42:6d73:62:2a::2" },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "2001:0db8::0001", "2001:db8::1" },
		{ "2001:db8:0:1:1:1:1:1", NULL },	/* a lone zero stays */
		{ "0:1:1:1:1:1:1:0", "0:1:1:1:1:1:1:0" },
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
		{ "0:0:1:0:0:0:0:0", "0:0:1::" },
		{ "1:2:3:4:5:6:7:8", NULL },
		{ "1:2:3:4:5:6::", "1:2:3:4:5:6::" },
		{ "::3:4:5:6:7:8", NULL },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
		{ "::1.2.3.4", "::102:304" },
		{ "::ffff:1.2.3.4", "1.2.3.4" },	/* one form for both */
		{ "64:ff9b::1.2.3.4", "64:ff9b::102:304" },
	};
	char buf[IPADDR_STRLEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ipaddr a = ip(cases[i][0]), b;

		assert_ptr_equal(ipaddr_fmt(&a, buf), buf);
		assert_string_equal(buf, cases[i][1] ? cases[i][1] :
							cases[i][0]);
		b = ip(buf);
		assert_true(ipaddr_eq(&a, &b));
	}
}

static void test_bad_text(void **state)
{
	static const char *const cases[] = {
		"", " ", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4",
		"1.2.3.04", "0x7f.0.0.1", "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4",
		"+1.2.3.4", "1..2.3", "1.2.3.", "2130706433", "1.2.3.4/8",
		"fe80::1%eth0", "[fe80::1]", "0001::00002", ":::", "1:::2",
		"1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1::", "g::", "::1/64",
		":1", "1:", "::1.2.3", "1:2:3:4:5:6:7:1.2.3.4", "::01.2.3.4",
		"1.2.3.4::", "localhost",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};
	struct ipaddr a, keep;

	(void)state;
	memset(&a, 7, sizeof(a));
	keep = a;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(ipaddr_parse(span_str(cases[i]), &a), -EINVAL);
	assert_int_equal(ipaddr_parse((struct span){
		(const uint8_t *)"1.2.3.4\0x", 9 }, &a), -EINVAL);
	assert_int_equal(ipaddr_parse((struct span){ 0 }, &a), -EINVAL);
	assert_true(ipaddr_eq(&a, &keep));
}

static void test_classes(void **state)
{
	enum { ANY = 1, LO = 2, MC = 4, LL = 8, BC = 16, V4 = 32 };
	static const struct {
		const char *text;
		int is;
	} cases[] = {
		{ "0.0.0.0", V4 | ANY }, { "0.0.0.1", V4 }, { "::", ANY },
		{ "127.0.0.1", V4 | LO }, { "127.255.255.255", V4 | LO },
		{ "128.0.0.0", V4 }, { "::1", LO }, { "::2", 0 },
		{ "224.0.0.1", V4 | MC }, { "239.255.255.255", V4 | MC },
		{ "240.0.0.0", V4 }, { "223.255.255.255", V4 },
		{ "ff02::1", MC }, { "fe80::1", LL }, { "febf::1", LL },
		{ "fec0::1", 0 }, { "169.254.0.1", V4 | LL },
		{ "169.253.0.1", V4 }, { "255.255.255.255", V4 | BC },
		{ "10.0.0.1", V4 }, { "2001:db8::1", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ipaddr a = ip(cases[i].text);
		int is = (ipaddr_is_any(&a) ? ANY : 0) |
			 (ipaddr_is_loopback(&a) ? LO : 0) |
			 (ipaddr_is_multicast(&a) ? MC : 0) |
			 (ipaddr_is_linklocal(&a) ? LL : 0) |
			 (ipaddr_is_broadcast4(&a) ? BC : 0) |
			 (ipaddr_is4(&a) ? V4 : 0);

		assert_int_equal(is, cases[i].is);
	}
}

static void test_in(void **state)
{
	static const struct {
		const char *a, *net;
		unsigned int plen;
		bool in;
	} cases[] = {
		{ "10.1.2.3", "10.0.0.0", 8, true },
		{ "11.1.2.3", "10.0.0.0", 8, false },
		{ "10.1.2.3", "10.1.2.3", 32, true },
		{ "10.1.2.2", "10.1.2.3", 32, false },
		{ "10.1.2.2", "10.1.2.3", 31, true },
		{ "10.1.2.3", "0.0.0.0", 0, true },
		{ "172.31.255.255", "172.16.0.0", 12, true },
		{ "172.32.0.0", "172.16.0.0", 12, false },
		{ "10.1.2.3", "10.0.0.0", 33, false },
		{ "10.1.2.3", "10.0.0.0", 104, false },
		{ "fd42::1", "fd42::", 16, true },
		{ "fd42:1::1", "fd42::", 32, false },
		{ "fd42::1", "fd42::1", 128, true },
		{ "fd42::1", "fd42::", 129, false },
		{ "2001:db8::1", "::", 0, true },
		{ "10.1.2.3", "::", 0, false },		/* never across */
		{ "::1", "0.0.0.0", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ipaddr a = ip(cases[i].a), net = ip(cases[i].net);

		assert_int_equal(ipaddr_in(&a, &net, cases[i].plen),
				 cases[i].in);
	}
}

static void test_forms(void **state)
{
	const uint8_t b4[4] = { 1, 2, 3, 4 };
	const uint8_t b6[16] = { 0xfd, [15] = 9 };
	struct ipaddr a = ipaddr_v4(b4), b = ipaddr_host4(0x01020304);

	(void)state;
	assert_true(ipaddr_eq(&a, &b));
	assert_int_equal(ipaddr_to_host4(&a), 0x01020304);
	assert_memory_equal(ipaddr_bytes(&a), b4, 4);
	assert_int_equal(a.b[10], 0xff);
	a = ipaddr_v6(b6);
	assert_false(ipaddr_eq(&a, &b));
	assert_memory_equal(ipaddr_bytes(&a), b6, 16);
}

static void test_sockaddr(void **state)
{
	static const char *const texts[] = { "1.2.3.4", "fd42::2" };
	struct sockaddr_storage ss;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct ipaddr a = ip(texts[i]), b;
		uint16_t port = 0;
		socklen_t len = ipaddr_to_sa(&a, 53, &ss);

		assert_int_equal(len, i ? sizeof(struct sockaddr_in6) :
					  sizeof(struct sockaddr_in));
		assert_int_equal(ss.ss_family, i ? AF_INET6 : AF_INET);
		assert_int_equal(ipaddr_from_sa(&ss, &b, &port), 0);
		assert_int_equal(port, 53);
		assert_true(ipaddr_eq(&a, &b));
		assert_int_equal(ipaddr_from_sa(&ss, &b, NULL), 0);
	}
	/* A dual-stack socket reports IPv4 peers as mapped */
	assert_int_equal(inet_pton(AF_INET6, "::ffff:1.2.3.4", &in6.sin6_addr),
			 1);
	memcpy(&ss, &in6, sizeof(in6));
	{
		struct ipaddr a, b = ip("1.2.3.4");

		assert_int_equal(ipaddr_from_sa(&ss, &a, NULL), 0);
		assert_true(ipaddr_eq(&a, &b));
		ss.ss_family = AF_UNIX;
		assert_int_equal(ipaddr_from_sa(&ss, &a, NULL), -EAFNOSUPPORT);
	}
}

static void test_mac(void **state)
{
	const uint8_t mac[6] = { 0x02, 0x6d, 0x73, 0, 0xff, 0x0a };
	char buf[MAC_STRLEN];

	(void)state;
	assert_string_equal(mac_fmt(mac, buf), "02:6d:73:00:ff:0a");
}

int inet_test(void);
int inet_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_in),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_mac),
	};

	return cmocka_run_group_tests_name("inet", tests, NULL, NULL);
}
