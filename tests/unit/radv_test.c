#include "tests/unit/guest.h"

#include <netinet/in.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/radv.h"
#include "gateway/wire/icmp6.h"
#include "gateway/wire/ndp.h"

int radv_test(void);

#define G6	"fd42:6d73:62::2"
#define LL6	"fe80::6d:73ff:fe00:2"
#define ROUTERS	"ff02::2"
#define NODES	"ff02::1"
#define US	"fe80::6d:73ff:fe00:1"	/* from 02:6d:73:00:00:01 */

static struct guest *fresh(struct radv *r)
{
	struct guest *g = guest_new(0, 1400);

	radv_init(r, &g->n);
	count_reset();
	return g;
}

static void done(struct guest *g, struct radv *r)
{
	guest_clear(g);
	radv_done(r);
	assert_int_equal(g->nout, 1);
	guest_free(g);
}

static void after(struct guest *g, uint64_t s)
{
	timerq_run(&g->tq, timerq_now(&g->tq) + s * NS_PER_S);
}

static void expect(const struct guest_frame *f, const char *to,
		   uint16_t lifetime)
{
	static const uint8_t want[NDP_RA_LEN] = {
		ICMP6_RA, 0, 0, 0, 64, 0, 0, 0, [16] = 1, 1, 2, 0x6d, 0x73, 0,
		0, 1, 5, 1, 0, 0, 0, 0, 1400 >> 8, 1400 & 255, 3, 4, 64, 0x80,
		0, 0x27, 0x8d, 0, 0, 9, 0x3a, 0x80, 0, 0, 0, 0, 0xfd, 0x42,
		0x6d, 0x73, 0, 0x62, [64] = 25, 3, 0, 0, 0, 0, 0, 0, 0xfd,
		0x42, 0x6d, 0x73, 0, 0x62, [87] = 1,
	};
	uint8_t exact[NDP_RA_LEN];
	const uint8_t *l4;

	assert_int_equal(guest_check_ip(f, US, to, IPPROTO_ICMPV6, &l4),
			 NDP_RA_LEN);
	assert_int_equal(f->b[14 + 7], 255);
	memcpy(exact, want, sizeof(want));
	memcpy(exact + 2, l4 + 2, 2);		/* checked above */
	exact[6] = exact[70] = (uint8_t)(lifetime >> 8);
	exact[7] = exact[71] = (uint8_t)lifetime;
	assert_memory_equal(l4, exact, sizeof(exact));
}

static void solicit(struct guest *g, const char *from, const char *option,
		    size_t len, uint8_t hop)
{
	uint8_t b[128], l4[32] = { ICMP6_RS };
	size_t n;

	memcpy(l4 + 8, option, len);
	guest_l4_csum(from, ROUTERS, IPPROTO_ICMPV6, l4, 8 + len, 2);
	n = guest_ip(b, from, ROUTERS, IPPROTO_ICMPV6, l4, 8 + len);
	b[21] = hop;
	memcpy(b, "\x33\x33\0\0\0\2", 6);
	guest_rx(g, NULL, b, n, 0);
}

static void by_itself(void **state)
{
	struct radv r;
	struct guest *g = fresh(&r);

	(void)state;
	radv_link(&r, true);
	assert_int_equal(g->nout, 1);
	assert_memory_equal(g->out[0].b, "\x33\x33\0\0\0\1", 6);
	expect(&g->out[0], NODES, RADV_LIFETIME_S);
	after(g, RADV_INTERVAL_S - 1);
	assert_int_equal(g->nout, 1);
	after(g, 1);
	assert_int_equal(g->nout, 2);
	after(g, RADV_INTERVAL_S);
	assert_int_equal(g->nout, 3);
	expect(&g->out[2], NODES, RADV_LIFETIME_S);
	radv_link(&r, false);
	assert_int_equal(g->tq.n, 0);
	radv_link(&r, true);
	assert_int_equal(g->nout, 4);
	guest_clear(g);
	radv_done(&r);
	expect(&g->out[0], NODES, 0);
	assert_int_equal(g->tq.n, 0);
	guest_free(g);
}

static void asked(void **state)
{
	struct radv r;
	struct guest *g = fresh(&r);

	(void)state;
	after(g, 10);
	solicit(g, LL6, "\1\1\2\x6d\x73\0\0\2", 8, 255);
	assert_int_equal(g->nout, 1);
	expect(&g->out[0], LL6, RADV_LIFETIME_S);
	assert_memory_equal(g->out[0].b, guest_mac, 6);
	solicit(g, G6, "", 0, 255);
	assert_int_equal(g->nout, 2);
	expect(&g->out[1], G6, RADV_LIFETIME_S);
	/* without an address it is for all: once in a while */
	guest_clear(g);
	solicit(g, "::", "", 0, 255);
	assert_int_equal(g->nout, 1);
	expect(&g->out[0], NODES, RADV_LIFETIME_S);
	for (int i = 0; i < 5; i++)
		solicit(g, "::", "", 0, 255);
	after(g, RADV_GAP_S - 1);
	assert_int_equal(g->nout, 1);
	after(g, 1);
	assert_int_equal(g->nout, 2);
	after(g, RADV_INTERVAL_S - 1);
	assert_int_equal(g->nout, 2);
	done(g, &r);
}

/* RFC 4861 6.1.1 */
static void malformed(void **state)
{
	static const struct {
		const char *from, *option;
		size_t len;
		uint8_t hop;
		const char *counter;
	} cases[] = {
		{ LL6, "", 0, 254, "drop_ndp_hop_limit" },
		{ LL6, "\1\0\2\x6d\x73\0\0\2", 8, 255,
		  "drop_ndp_rs_malformed" },
		{ LL6, "\1\2\2\x6d\x73\0\0\2", 8, 255,
		  "drop_ndp_rs_malformed" },
		{ LL6, "\1", 1, 255, "drop_ndp_rs_malformed" },
		{ "::", "\1\1\2\x6d\x73\0\0\2", 8, 255,
		  "drop_ndp_rs_malformed" },
		{ "2001:db8::9", "", 0, 255, "drop_ip_source" },
	};
	struct radv r;
	struct guest *g = fresh(&r);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		count_reset();
		solicit(g, cases[i].from, cases[i].option, cases[i].len,
			cases[i].hop);
		if (g->nout || count_get(cases[i].counter) != 1)
			fail_msg("case %zu", i);
	}
	/* an option that we do not know is no fault */
	solicit(g, LL6, "\x7f\1\0\0\0\0\0\0", 8, 255);
	assert_int_equal(g->nout, 1);
	guest_clear(g);
	g->mem.refuse = true;
	solicit(g, LL6, "", 0, 255);
	assert_int_equal(count_get("drop_radv_full"), 1);
	g->mem.refuse = false;
	done(g, &r);
}

static void without_link(void **state)
{
	struct radv r;
	struct guest *g = fresh(&r);

	(void)state;
	netif_detach(&g->n);
	radv_done(&r);
	assert_int_equal(g->nout, 0);
	guest_free(g);
}

int radv_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_itself),
		cmocka_unit_test(asked),
		cmocka_unit_test(malformed),
		cmocka_unit_test(without_link),
	};

	return cmocka_run_group_tests_name("radv", tests, NULL, NULL);
}
