#include "tests/unit/guest.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/icmp.h"
#include "gateway/wire/icmp4.h"
#include "gateway/wire/icmp6.h"

int icmp_test(void);

#define G4	"100.96.0.2"
#define GW4	"100.96.0.1"
#define G6	"fd42:6d73:62::2"
#define GW6	"fd42:6d73:62::1"
#define FAR4	"198.51.100.7"
#define FAR6	"2001:db8::7"

static struct {
	bool allow;
	int echoes;
	uint16_t id, seq;
	uint8_t data[4096];
	size_t len;
} got;

static bool ping(void *arg, const struct pkt *p)
{
	(void)arg;
	(void)p;
	return got.allow;
}

static void echo(void *arg, const struct pkt *p, uint16_t id, uint16_t seq,
		 const struct iovec *data, int n)
{
	(void)arg;
	(void)p;
	got.echoes++;
	got.id = id;
	got.seq = seq;
	got.len = 0;
	for (int i = 0; i < n; i++) {
		memcpy(got.data + got.len, data[i].iov_base, data[i].iov_len);
		got.len += data[i].iov_len;
	}
}

static const struct icmp_ops ops = { .ping = ping, .echo = echo };

static struct guest *fresh(struct icmp *ic, uint32_t features)
{
	struct guest *g = guest_new(features, 1500);

	icmp_init(ic, &g->n, &ops, NULL);
	memset(&got, 0, sizeof(got));
	got.allow = true;
	count_reset();
	return g;
}

static size_t request(uint8_t *b, bool v6, const char *dst, size_t len)
{
	uint8_t l4[1400] = { v6 ? ICMP6_ECHO : ICMP4_ECHO, 0, 0, 0, 0x12, 0x34,
			     0, 9 };
	const char *src = v6 ? G6 : G4;
	uint8_t proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;

	for (size_t i = 0; i < len; i++)
		l4[8 + i] = (uint8_t)(i * 3);
	guest_l4_csum(src, dst, proto, l4, 8 + len, 2);
	return guest_ip(b, src, dst, proto, l4, 8 + len);
}

static void echo_of_the_gateway(void **state)
{
	uint8_t b[1500];
	const uint8_t *l4;
	struct icmp ic;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct guest *g = fresh(&ic, v6 ? LINK_F_CSUM : 0);
		const char *gw = v6 ? GW6 : GW4;
		uint8_t proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
		size_t len = request(b, v6, gw, 999);

		guest_rx(g, NULL, b, len, 100);
		assert_int_equal(g->nout, 1);
		assert_int_equal(guest_check_ip(&g->out[0], gw, v6 ? G6 : G4,
						proto, &l4), 8 + 999);
		assert_int_equal(l4[0], v6 ? ICMP6_ECHO_REPLY :
				 ICMP4_ECHO_REPLY);
		assert_memory_equal(l4 + 4, b + (v6 ? 58 : 38), 4 + 999);
		assert_int_equal(got.echoes, 0);

		got.allow = false;
		guest_rx(g, NULL, b, len, 0);
		assert_int_equal(g->nout, 1);
		assert_int_equal(count_get("drop_icmp_ping_denied"), 1);
		guest_free(g);
	}
}

static void echo_of_others(void **state)
{
	uint8_t b[1500];
	struct icmp ic;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct guest *g = fresh(&ic, 0);
		size_t len = request(b, v6, v6 ? FAR6 : FAR4, 700);

		guest_rx(g, NULL, b, len, 64);
		assert_int_equal(got.echoes, 1);
		assert_int_equal(got.id, 0x1234);
		assert_int_equal(got.seq, 9);
		assert_int_equal(got.len, 700);
		assert_memory_equal(got.data, b + (v6 ? 62 : 42), 700);
		b[len - 1] ^= 1;
		guest_rx(g, NULL, b, len, 0);
		assert_int_equal(count_get("drop_icmp_csum"), 1);
		for (size_t k = 0; k < 8; k++)
			guest_rx(g, NULL, b, guest_ip(b, v6 ? G6 : G4,
				 v6 ? FAR6 : FAR4, v6 ? 58 : 1, b + 900, k), 0);
		assert_int_equal(count_get("drop_icmp_short"), 8);
		assert_int_equal(got.echoes, 1);
		assert_int_equal(g->nout, 0);
		guest_free(g);
	}
}

static void echo_beyond_its_time_to_live(void **state)
{
	uint8_t b[200];
	const uint8_t *l4;
	struct icmp ic;

	(void)state;
	for (int i = 0; i < 4; i++) {
		const bool v6 = i & 1, gw = i & 2;
		struct guest *g = fresh(&ic, 0);
		size_t len = request(b, v6, gw ? (v6 ? GW6 : GW4) :
				     (v6 ? FAR6 : FAR4), 30);

		b[v6 ? 21 : 22] = 1;
		if (!v6)
			guest_ip4_fix(b);
		guest_rx(g, NULL, b, len, 0);
		assert_int_equal(got.echoes, 0);
		assert_int_equal(g->nout, 1);
		guest_check_ip(&g->out[0], v6 ? GW6 : GW4, v6 ? G6 : G4,
			       v6 ? 58 : 1, &l4);
		if (gw) {
			assert_int_equal(l4[0], v6 ? 129 : 0);
		} else {
			assert_int_equal(l4[0], v6 ? 3 : 11);
			assert_memory_equal(l4 + 8, b + 14, len - 14);
		}
		guest_free(g);
	}
}

static void other_types(void **state)
{
	static const uint8_t types4[] = { 0, 3, 4, 5, 9, 10, 11, 12, 13, 17,
					  42, 255 };
	static const uint8_t types6[] = { 1, 2, 3, 4, 100, 129, 138, 200 };
	struct icmp ic;
	struct guest *g = fresh(&ic, 0);
	uint8_t b[128], l4[16];

	(void)state;
	for (size_t i = 0; i < sizeof(types4) + sizeof(types6); i++) {
		bool v6 = i >= sizeof(types4);
		const char *s = v6 ? G6 : G4, *d = v6 ? FAR6 : FAR4;
		uint8_t proto = v6 ? 58 : 1;

		memset(l4, 0, sizeof(l4));
		l4[0] = v6 ? types6[i - sizeof(types4)] : types4[i];
		guest_l4_csum(s, d, proto, l4, sizeof(l4), 2);
		guest_rx(g, NULL, b, guest_ip(b, s, d, proto, l4, 16), 0);
		assert_int_equal(count_get("drop_icmp_type"), i + 1);
	}
	count_reset();
	memset(l4, 0, sizeof(l4));
	l4[0] = ICMP4_ECHO;
	l4[1] = 1;
	guest_l4_csum(G4, FAR4, 1, l4, sizeof(l4), 2);
	guest_rx(g, NULL, b, guest_ip(b, G4, FAR4, 1, l4, 16), 0);
	assert_int_equal(count_get("drop_icmp_type"), 1);
	assert_int_equal(g->nout + got.echoes, 0);
	guest_free(g);
}

static void errors(void **state)
{
	static const struct {
		enum icmp_err what;
		uint32_t mtu;
		const char *v4, *v6;
	} cases[] = {
		{ ICMP_ERR_NET_UNREACH, 0, "\3\0", "\1\0" },
		{ ICMP_ERR_HOST_UNREACH, 0, "\3\1", "\1\3" },
		{ ICMP_ERR_PORT_UNREACH, 0, "\3\3", "\1\4" },
		{ ICMP_ERR_PROTO_UNREACH, 0, "\3\2", "\4\1" },
		{ ICMP_ERR_ADMIN, 0, "\3\15", "\1\1" },
		{ ICMP_ERR_TOO_BIG, 1400, "\3\4", "\2\0" },
		{ ICMP_ERR_TTL, 0, "\13\0", "\3\0" },
		{ ICMP_ERR_REASSEMBLY, 0, "\13\1", "\3\1" },
	};
	uint8_t b[2000], pay[1400] = { 0, 7, 0, 8, 5, 120 };
	const uint8_t *l4;
	struct icmp ic;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		size_t c = i / 2, iph = i & 1 ? 40 : 20, n;
		bool v6 = i & 1;
		struct guest *g = fresh(&ic, 0);
		struct ipaddr from = guest_addr(v6 ? FAR6 : FAR4);
		size_t len = guest_ip(b, v6 ? G6 : G4, v6 ? FAR6 : FAR4, 17,
				      pay, sizeof(pay));

		assert_int_equal(icmp_error(&ic, cases[c].what, &from, b + 14,
					    len - 14, cases[c].mtu), 0);
		assert_int_equal(g->nout, 1);
		n = guest_check_ip(&g->out[0], v6 ? FAR6 : FAR4, v6 ? G6 : G4,
				   v6 ? 58 : 1, &l4);
		assert_memory_equal(l4, v6 ? cases[c].v6 : cases[c].v4, 2);
		assert_int_equal(n + iph, v6 ? 1280 : 576);
		assert_memory_equal(l4 + 8, b + 14, n - 8);
		if (cases[c].mtu)
			assert_memory_equal(l4 + 4, "\0\0\x05\x78", 4);
		guest_free(g);
	}
}

/* Nothing is said about these, and that is no failure */
static void no_errors(void **state)
{
	static const struct {
		const char *name, *src, *dst;
		uint8_t proto, type;
		int at, v;		/* a byte of the frame to change */
	} cases[] = {
		{ "icmp error", G4, FAR4, 1, 3, 0, 0 },
		{ "unknown icmp", G4, FAR4, 1, 99, 0, 0 },
		{ "group", G4, "224.0.0.5", 17, 0, 0, 0 },
		{ "broadcast", G4, "255.255.255.255", 17, 0, 0, 0 },
		{ "not the guest's", FAR4, FAR4, 17, 0, 0, 0 },
		{ "later fragment", G4, FAR4, 17, 0, 21, 9 },
		{ "icmp6 error", G6, FAR6, 58, 1, 0, 0 },
		{ "redirect", G6, FAR6, 58, 137, 0, 0 },
		{ "group6", G6, "ff02::1", 17, 0, 0, 0 },
		{ "any6", "::", FAR6, 17, 0, 0, 0 },
	};
	uint8_t b[256], l4[64];
	struct icmp ic;
	struct guest *g = fresh(&ic, 0);
	struct ipaddr from4 = guest_addr(FAR4), from6 = guest_addr(FAR6);
	size_t len;

	(void)state;
	memset(l4, 0, sizeof(l4));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool v6 = strchr(cases[i].src, ':');

		l4[0] = cases[i].type;
		len = guest_ip(b, cases[i].src, cases[i].dst, cases[i].proto,
			       l4, sizeof(l4));
		if (cases[i].at) {
			b[cases[i].at] = (uint8_t)cases[i].v;
			guest_ip4_fix(b);
		}
		assert_int_equal(icmp_error(&ic, ICMP_ERR_HOST_UNREACH,
					    v6 ? &from6 : &from4, b + 14,
					    len - 14, 0), 0);
		if (g->nout || count_get("drop_icmp_err_quote") != i + 1)
			fail_msg("%s", cases[i].name);
	}
	count_reset();
	/* torn quotations, a wrong family, an MTU that must not be told */
	len = guest_ip(b, G4, FAR4, 17, l4, 8);
	for (size_t k = 0; k < 20; k++)
		icmp_error(&ic, ICMP_ERR_TTL, &from4, b + 14, k, 0);
	icmp_error(&ic, ICMP_ERR_TTL, &from6, b + 14, len - 14, 0);
	icmp_error(&ic, ICMP_ERR_TOO_BIG, &from4, b + 14, len - 14, 67);
	icmp_error(&ic, ICMP_ERR_PARAM, &from4, b + 14, len - 14, 0);
	icmp_error(&ic, ICMP_ERR_FIRST_FRAG, &from4, b + 14, len - 14, 0);
	len = guest_ip(b, G6, FAR6, 17, l4, 8);
	icmp_error(&ic, ICMP_ERR_TOO_BIG, &from6, b + 14, len - 14, 1279);
	assert_int_equal(count_get("drop_icmp_err_quote"), 25);
	assert_int_equal(g->nout, 0);
	icmp_error(&ic, ICMP_ERR_TOO_BIG, &from6, b + 14, len - 14, 1280);
	assert_int_equal(g->nout, 1);
	len = guest_ip(b, G4, FAR4, 17, l4, 8);
	icmp_error(&ic, ICMP_ERR_TOO_BIG, &from4, b + 14, len - 14, 68);
	assert_int_equal(g->nout, 2);
	guest_free(g);
}

static void rate_limit(void **state)
{
	uint8_t b[256], l4[8] = { 0 };
	struct icmp ic;
	struct guest *g = fresh(&ic, 0);
	struct ipaddr from = guest_addr(FAR4);
	size_t len = guest_ip(b, G4, FAR4, 17, l4, 8);
	int sent = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		int rc = icmp_error(&ic, ICMP_ERR_TTL, &from, b + 14, len - 14,
				    0);

		assert_true(rc == 0 || rc == -EBUSY);
		sent += rc == 0;
		guest_clear(g);
	}
	assert_int_equal(sent, 100);
	assert_int_equal(count_get("drop_icmp_err_rate"), 200);
	timerq_set_now(&g->tq, timerq_now(&g->tq) + 5 * NS_PER_MS);
	for (sent = 0; sent < 50; sent++) {
		if (icmp_error(&ic, ICMP_ERR_TTL, &from, b + 14, len - 14, 0))
			break;
		guest_clear(g);
	}
	assert_int_equal(sent, 5);
	/* a long silence is not saved up */
	timerq_set_now(&g->tq, timerq_now(&g->tq) + 60 * NS_PER_S);
	for (sent = 0; sent < 300; sent++) {
		if (icmp_error(&ic, ICMP_ERR_TTL, &from, b + 14, len - 14, 0))
			break;
		guest_clear(g);
	}
	assert_int_equal(sent, 100);
	guest_free(g);
}

static void rebuilt_quotation(void **state)
{
	static const uint8_t syn[8] = { 0x80, 0, 0, 80, 1, 2, 3, 4 };
	const uint8_t *l4;
	struct icmp ic;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct guest *g = fresh(&ic, 0);
		struct ipaddr s = guest_addr(v6 ? G6 : G4);
		struct ipaddr d = guest_addr(v6 ? FAR6 : FAR4);
		size_t iph = v6 ? 40 : 20;

		assert_int_equal(icmp_error_l4(&ic, ICMP_ERR_HOST_UNREACH, &d,
					       &s, &d, IPPROTO_TCP, syn, 8, 0),
				 0);
		assert_int_equal(guest_check_ip(&g->out[0], v6 ? FAR6 : FAR4,
						v6 ? G6 : G4, v6 ? 58 : 1,
						&l4), 8 + iph + 8);
		assert_memory_equal(l4 + 8 + iph, syn, 8);
		assert_int_equal(l4[8 + (v6 ? 6 : 9)], IPPROTO_TCP);
		guest_free(g);
	}
}

static void errno_of_the_host(void **state)
{
	(void)state;
	assert_int_equal(icmp_err_of(ENETUNREACH), ICMP_ERR_NET_UNREACH);
	assert_int_equal(icmp_err_of(EHOSTUNREACH), ICMP_ERR_HOST_UNREACH);
	assert_int_equal(icmp_err_of(ECONNREFUSED), ICMP_ERR_PORT_UNREACH);
	assert_int_equal(icmp_err_of(EACCES), ICMP_ERR_ADMIN);
	assert_int_equal(icmp_err_of(EPERM), ICMP_ERR_ADMIN);
	assert_int_equal(icmp_err_of(EMSGSIZE), ICMP_ERR_TOO_BIG);
	assert_int_equal(icmp_err_of(EIO), ICMP_ERR_HOST_UNREACH);
}

int icmp_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_of_the_gateway),
		cmocka_unit_test(echo_of_others),
		cmocka_unit_test(echo_beyond_its_time_to_live),
		cmocka_unit_test(other_types),
		cmocka_unit_test(errors),
		cmocka_unit_test(no_errors),
		cmocka_unit_test(rate_limit),
		cmocka_unit_test(rebuilt_quotation),
		cmocka_unit_test(errno_of_the_host),
	};

	return cmocka_run_group_tests_name("icmp", tests, NULL, NULL);
}
