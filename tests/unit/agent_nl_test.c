#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nl.h"
#include "base/util.h"

int agent_nl_test(void);

/*
 * Messages byte for byte, written for a little-endian machine.  Flags: REQUEST
 * 1, ACK 4, EXCL 0x200, REPLACE 0x100, CREATE 0x400.
 */
static const struct {
	const char *name, *addr;
	unsigned int ifindex;
	uint8_t plen;
	uint16_t flags;
	size_t len;
	const char *want;
} addrs[] = {
	{ "lo", "127.0.0.1", 1, 8, NLM_F_EXCL, 40,
	  "\x28\0\0\0" "\x14\0\x05\x06" "\0\0\0\0" "\0\0\0\0"
	  "\x02\x08\0\0" "\x01\0\0\0"
	  "\x08\0\x01\0" "\x7f\0\0\x01" "\x08\0\x02\0" "\x7f\0\0\x01" },
	{ "/30 has a broadcast address", "172.16.1.2", 2, 30, NLM_F_REPLACE, 48,
	  "\x30\0\0\0" "\x14\0\x05\x05" "\0\0\0\0" "\0\0\0\0"
	  "\x02\x1e\0\0" "\x02\0\0\0"
	  "\x08\0\x01\0" "\xac\x10\x01\x02" "\x08\0\x02\0" "\xac\x10\x01\x02"
	  "\x08\0\x04\0" "\xac\x10\x01\x03" },
	{ "/31 has none", "172.16.1.2", 2, 31, NLM_F_REPLACE, 40,
	  "\x28\0\0\0" "\x14\0\x05\x05" "\0\0\0\0" "\0\0\0\0"
	  "\x02\x1f\0\0" "\x02\0\0\0"
	  "\x08\0\x01\0" "\xac\x10\x01\x02" "\x08\0\x02\0" "\xac\x10\x01\x02" },
	{ "/0", "10.0.0.1", 3, 0, NLM_F_REPLACE, 48,
	  "\x30\0\0\0" "\x14\0\x05\x05" "\0\0\0\0" "\0\0\0\0"
	  "\x02\0\0\0" "\x03\0\0\0"
	  "\x08\0\x01\0" "\x0a\0\0\x01" "\x08\0\x02\0" "\x0a\0\0\x01"
	  "\x08\0\x04\0" "\xff\xff\xff\xff" },
	{ "IPv6, no DAD, flags twice", "fd42:6d73:62:2a::2", 2, 64,
	  NLM_F_REPLACE, 52,
	  "\x34\0\0\0" "\x14\0\x05\x05" "\0\0\0\0" "\0\0\0\0"
	  "\x0a\x40\x02\0" "\x02\0\0\0"
	  "\x14\0\x01\0" "\xfd\x42\x6d\x73\0\x62\0\x2a\0\0\0\0\0\0\0\x02"
	  "\x08\0\x08\0" "\x02\0\0\0" },
};

static const struct {
	const char *name, *gw;
	unsigned int ifindex;
	bool onlink;
	size_t len;
	const char *want;
} routes[] = {
	{ "IPv4", "172.16.1.1", 2, false, 44,
	  "\x2c\0\0\0" "\x18\0\x05\x05" "\0\0\0\0" "\0\0\0\0"
	  "\x02\0\0\0" "\xfe\x04\0\x01" "\0\0\0\0"
	  "\x08\0\x05\0" "\xac\x10\x01\x01" "\x08\0\x04\0" "\x02\0\0\0" },
	{ "IPv4 on link", "172.16.1.1", 2, true, 44,
	  "\x2c\0\0\0" "\x18\0\x05\x05" "\0\0\0\0" "\0\0\0\0"
	  "\x02\0\0\0" "\xfe\x04\0\x01" "\x04\0\0\0"
	  "\x08\0\x05\0" "\xac\x10\x01\x01" "\x08\0\x04\0" "\x02\0\0\0" },
	{ "IPv6", "fd42:6d73:62:2a::1", 2, false, 56,
	  "\x38\0\0\0" "\x18\0\x05\x05" "\0\0\0\0" "\0\0\0\0"
	  "\x0a\0\0\0" "\xfe\x04\0\x01" "\0\0\0\0"
	  "\x14\0\x05\0" "\xfd\x42\x6d\x73\0\x62\0\x2a\0\0\0\0\0\0\0\x01"
	  "\x08\0\x04\0" "\x02\0\0\0" },
};

static struct ipaddr ip(const char *text)
{
	struct ipaddr a;

	assert_int_equal(ipaddr_parse(span_str(text), &a), 0);
	return a;
}

static void test_addr(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		struct nl_addr a = { addrs[i].ifindex, ip(addrs[i].addr),
				     addrs[i].plen };
		void *buf = calloc(1, addrs[i].len);
		void *small = malloc(addrs[i].len);

		assert_int_equal(nl_addr_msg(buf, addrs[i].len, &a,
					     addrs[i].flags), 0);
		if (memcmp(buf, addrs[i].want, addrs[i].len))
			fail_msg("%s", addrs[i].name);
		/* One byte less, and it does not fit */
		for (size_t n = 0; n < addrs[i].len; n++)
			assert_int_equal(nl_addr_msg(small, n, &a, 0),
					 -ENOBUFS);
		a.ifindex = 0;
		assert_int_equal(nl_addr_msg(buf, addrs[i].len, &a, 0),
				 -ENODEV);
		free(buf);
		free(small);
	}
}

static void test_route(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		struct nl_route r = { routes[i].ifindex, ip(routes[i].gw),
				      routes[i].onlink };
		void *buf = calloc(1, routes[i].len);
		void *small = malloc(routes[i].len);

		assert_int_equal(nl_route_msg(buf, routes[i].len, &r), 0);
		if (memcmp(buf, routes[i].want, routes[i].len))
			fail_msg("%s", routes[i].name);
		for (size_t n = 0; n < routes[i].len; n++)
			assert_int_equal(nl_route_msg(small, n, &r), -ENOBUFS);
		r.ifindex = 0;
		assert_int_equal(nl_route_msg(buf, routes[i].len, &r),
				 -ENODEV);
		free(buf);
		free(small);
	}
}

int agent_nl_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_route),
	};

	return cmocka_run_group_tests_name("agent_nl", tests, NULL, NULL);
}
