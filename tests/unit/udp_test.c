#include "tests/unit/guest.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "gateway/stack/icmp.h"
#include "gateway/stack/udp.h"

int udp_test(void);

#define G4	"100.96.0.2"
#define GW4	"100.96.0.1"
#define GW6	"fd42:6d73:62::1"
#define G6	"fd42:6d73:62::2"
#define FAR4	"198.51.100.7"
#define FAR6	"2001:db8::7"

static struct {
	int calls;
	uint16_t sport, dport, gso_size;
	size_t len;
	uint8_t data[2000];
	struct ipaddr src, dst;
} got;

static void up(void *arg, const struct udp_dgram *d)
{
	size_t at = 0;

	(void)arg;
	got.calls++;
	got.sport = d->sport;
	got.dport = d->dport;
	got.gso_size = d->gso_size;
	got.len = d->len;
	got.src = d->src;
	got.dst = d->dst;
	for (int i = 0; i < d->n; i++) {
		memcpy(got.data + at, d->iov[i].iov_base, d->iov[i].iov_len);
		at += d->iov[i].iov_len;
	}
	assert_int_equal(at, d->len);
	assert_non_null(d->pkt);
}

static struct guest *fresh(struct udp *u, uint32_t features)
{
	struct guest *g = guest_new(features, 1500);

	udp_init(u, &g->n, up, NULL);
	memset(&got, 0, sizeof(got));
	count_reset();
	return g;
}

static void received(void **state)
{
	static const size_t lens[] = { 0, 1, 60, 200, 201, 1400 };
	uint8_t b[2000], l4[1500], pay[1400];
	struct udp u;

	(void)state;
	for (size_t i = 0; i < sizeof(pay); i++)
		pay[i] = (uint8_t)(i * 11);
	for (size_t i = 0; i < ARRAY_SIZE(lens) * 2; i++) {
		bool v6 = i & 1;
		const char *s = v6 ? G6 : G4, *d = v6 ? FAR6 : FAR4;
		struct guest *g = fresh(&u, 0);
		size_t n = guest_udp(l4, s, d, 1111, 2222, pay, lens[i / 2]);
		size_t len = guest_ip(b, s, d, 17, l4, n);
		struct ipaddr src = guest_addr(s), dst = guest_addr(d);

		guest_rx(g, NULL, b, len, 100);
		assert_int_equal(got.calls, 1);
		assert_int_equal(got.sport, 1111);
		assert_int_equal(got.dport, 2222);
		assert_int_equal(got.gso_size, 0);
		assert_int_equal(got.len, lens[i / 2]);
		assert_memory_equal(got.data, pay, got.len);
		assert_true(ipaddr_eq(&got.src, &src));
		assert_true(ipaddr_eq(&got.dst, &dst));
		guest_free(g);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *name;
		bool v6;
		size_t at;		/* in the UDP header */
		uint8_t hi, lo;
		bool fix;		/* the checksum */
		const char *counter;	/* NULL: taken */
	} cases[] = {
		{ "checksum", false, 8, 0xff, 0xff, false, "drop_udp_csum" },
		{ "checksum6", true, 8, 0xff, 0xff, false, "drop_udp_csum" },
		{ "no checksum", false, 6, 0, 0, false, NULL },
		{ "no checksum6", true, 6, 0, 0, false, "drop_udp_no_csum" },
		{ "too long", false, 4, 0, 19, false, "drop_udp_len" },
		{ "too short", false, 4, 0, 7, false, "drop_udp_short" },
		{ "jumbo", true, 4, 0, 0, false, "drop_udp_short" },
		{ "port 0", false, 2, 0, 0, true, "drop_udp_port" },
		{ "from port 0", false, 0, 0, 0, true, NULL },
	};
	uint8_t b[128], l4[64];
	struct udp u;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *s = cases[i].v6 ? G6 : G4;
		const char *d = cases[i].v6 ? FAR6 : FAR4;
		struct guest *g = fresh(&u, 0);
		size_t n = guest_udp(l4, s, d, 1, 2, "0123456789", 10);

		l4[cases[i].at] = cases[i].hi;
		l4[cases[i].at + 1] = cases[i].lo;
		if (cases[i].fix)
			guest_l4_csum(s, d, 17, l4, n, 6);
		guest_rx(g, NULL, b, guest_ip(b, s, d, 17, l4, n), 0);
		if (got.calls != !cases[i].counter ||
		    (cases[i].counter && count_get(cases[i].counter) != 1))
			fail_msg("%s", cases[i].name);
		guest_free(g);
	}
	for (size_t n = 0; n < 8; n++) {
		struct guest *g = fresh(&u, 0);

		guest_rx(g, NULL, b, guest_ip(b, G4, FAR4, 17, l4, n), 0);
		assert_int_equal(count_get("drop_udp_short"), 1);
		guest_free(g);
	}
}

/* Bytes after the datagram, but within the packet, are no part of it */
static void trailing(void **state)
{
	uint8_t b[128], l4[64];
	struct udp u;
	struct guest *g = fresh(&u, 0);
	size_t n = guest_udp(l4, G4, FAR4, 1, 2, "0123456789", 10);

	(void)state;
	memset(l4 + n, 0xee, 7);
	guest_rx(g, NULL, b, guest_ip(b, G4, FAR4, 17, l4, n + 7), 50);
	assert_int_equal(got.calls, 1);
	assert_int_equal(got.len, 10);
	guest_free(g);
}

static void offload(void **state)
{
	static const struct link_vnet uso = { 1, 5, 42, 100, 34, 6 };
	static const struct link_vnet crumbs = { 1, 5, 42, 1, 34, 6 };
	static const struct link_vnet small = { 1, 5, 42, 2, 34, 6 };
	static const struct link_vnet csum = { 1, 0, 0, 0, 34, 6 };
	static const struct link_vnet csum6 = { 1, 0, 0, 0, 54, 6 };
	uint8_t b[512], l4[400], pay[250] = { 1, 2, 3 };
	struct udp u;
	struct guest *g = fresh(&u, LINK_F_CSUM | LINK_F_USO4);
	size_t n = guest_udp(l4, G4, FAR4, 1, 2, pay, sizeof(pay));

	(void)state;
	l4[6] = l4[7] = 0;	/* a checksum to complete may be 0 */
	guest_rx(g, &uso, b, guest_ip(b, G4, FAR4, 17, l4, n), 0);
	assert_int_equal(got.calls, 1);
	assert_int_equal(got.gso_size, 100);
	assert_int_equal(got.len, 250);
	guest_rx(g, &csum, b, guest_ip(b, G4, FAR4, 17, l4, n), 0);
	assert_int_equal(got.calls, 2);
	assert_int_equal(got.gso_size, 0);
	guest_rx(g, &csum6, b, guest_ip(b, G6, FAR6, 17, l4, n), 0);
	assert_int_equal(got.calls, 3);
	guest_rx(g, &crumbs, b, guest_ip(b, G4, FAR4, 17, l4, n), 0);
	assert_int_equal(got.calls, 3);		/* 250 datagrams in one */
	guest_rx(g, &small, b, guest_ip(b, G4, FAR4, 17, l4, n), 0);
	assert_int_equal(got.calls, 4);
	guest_free(g);
}

static void sent(void **state)
{
	static uint8_t pay[65536];
	struct udp u;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct guest *g = fresh(&u, 0);
		struct ipaddr s = guest_addr(v6 ? FAR6 : FAR4);
		struct ipaddr d = guest_addr(v6 ? G6 : G4);
		size_t max = v6 ? 65527 : 65507;
		struct iovec iov[2] = { { pay, 3 }, { pay + 3, 98 } };
		const uint8_t *l4;

		pay[100] = 0x5a;
		assert_int_equal(udp_send(&u, &s, 53, &d, 4000, iov, 2), 0);
		assert_int_equal(guest_check_ip(&g->out[0], v6 ? FAR6 : FAR4,
						v6 ? G6 : G4, 17, &l4), 109);
		assert_memory_equal(l4, "\0\x35\x0f\xa0\0\x6d", 6);
		assert_memory_equal(l4 + 8, pay, 101);
		assert_int_equal(udp_send(&u, &s, 53, &d, 4000, NULL, 0), 0);
		guest_clear(g);

		iov[1].iov_len = max - 3;
		assert_int_equal(udp_send(&u, &s, 53, &d, 4000, iov, 2), 0);
		assert_int_equal(g->nout, v6 ? 46 : 45);
		guest_clear(g);
		iov[1].iov_len++;
		assert_int_equal(udp_send(&u, &s, 53, &d, 4000, iov, 2),
				 -EMSGSIZE);
		g->mem.refuse = true;
		assert_int_equal(udp_send(&u, &s, 53, &d, 4000, iov, 1),
				 -EAGAIN);
		guest_free(g);
	}
}

/* One frame where the link cuts it, else one for each datagram */
static void train(void **state)
{
	static const struct {
		const char *name;
		uint32_t features;
		uint16_t size, mtu;
		size_t len;
		int frames;
		uint16_t gso;		/* of the first frame */
	} cases[] = {
#define USO	(LINK_F_CSUM | LINK_F_USO4 | LINK_F_USO6)
		{ "one datagram", USO, 0, 1500, 500, 1, 0 },
		{ "empty", USO, 0, 1500, 0, 1, 0 },
		{ "one frame", USO, 1000, 1500, 3001, 1, 1000 },
		{ "no more than one", USO, 1000, 1500, 1000, 1, 0 },
		{ "two frames", USO, 1000, 1500, 66500, 2, 1000 },
		{ "a rest of one", USO, 1000, 1500, 65600, 2, 1000 },
		{ "no offload", 0, 1000, 1500, 3001, 4, 0 },
		{ "csum only", LINK_F_CSUM, 1000, 1500, 3000, 3, 0 },
		{ "too long for a frame", USO, 1400, 1280, 2800, 4, 0 },
#undef USO
	};
	static uint8_t pay[70000];
	struct udp u;

	(void)state;
	for (size_t i = 0; i < sizeof(pay); i++)
		pay[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		const size_t c = i / 2, hlen = i & 1 ? 48 : 28;
		struct guest *g = guest_new(cases[c].features, cases[c].mtu);
		struct udp_train t = {
			.src = guest_addr(i & 1 ? FAR6 : FAR4),
			.dst = guest_addr(i & 1 ? G6 : G4),
			.sport = 53, .dport = 4000, .tos = 0xb9,
			.gso_size = cases[c].size, .data = pay,
			.len = cases[c].len };
		size_t at = 0;

		udp_init(&u, &g->n, up, NULL);
		assert_int_equal(udp_send_train(&u, &t), 0);
		assert_int_equal(t.off, t.len);
		if (g->nout != cases[c].frames ||
		    g->out[0].vh.gso_size != cases[c].gso ||
		    g->out[0].vh.gso_type != (cases[c].gso ?
					      LINK_VNET_GSO_UDP_L4 : 0))
			fail_msg("%s: %d frames", cases[c].name, g->nout);
		for (int k = 0; k < g->nout && cases[c].mtu == 1500; k++) {
			const struct guest_frame *f = &g->out[k];
			size_t n = f->len - 14 - hlen;

			assert_memory_equal(f->b + 14 + hlen, pay + at, n);
			assert_int_equal(f->b[14 + hlen - 4] << 8 |
					 f->b[14 + hlen - 3], n + 8);
			assert_true(i & 1 ? f->b[14] == 0x6b && f->b[15] >> 4 ==
				    9 : f->b[15] == 0xb9);
			at += n;
		}
		assert_true(cases[c].mtu != 1500 || at == t.len);
		guest_free(g);
	}
}

/* What was sent before the link was full is not sent again */
static void train_goes_on(void **state)
{
	static uint8_t pay[3000];
	struct udp u;
	struct guest *g = fresh(&u, 0);
	struct udp_train t = { .src = guest_addr(FAR4), .dst = guest_addr(G4),
			       .sport = 1, .dport = 2, .gso_size = 1000,
			       .data = pay, .len = 3000, .off = 1000 };

	(void)state;
	g->mem.refuse = true;
	assert_int_equal(udp_send_train(&u, &t), -EAGAIN);
	assert_int_equal(t.off, 1000);
	g->mem.refuse = false;
	assert_int_equal(udp_send_train(&u, &t), 0);
	assert_int_equal(g->nout, 2);
	netif_detach(&g->n);
	t.off = 0;
	assert_int_equal(udp_send_train(&u, &t), -ENOTCONN);
	guest_free(g);
}

/* Routers count down; a datagram for the gateway itself has arrived */
static void time_to_live(void **state)
{
	static const struct {
		const char *dst;
		uint8_t ttl;
		bool up;
	} cases[] = {
		{ FAR4, 2, true }, { FAR4, 1, false }, { FAR4, 0, false },
		{ FAR6, 2, true }, { FAR6, 1, false }, { FAR6, 0, false },
		{ GW4, 1, true }, { GW6, 1, true },
	};
	uint8_t b[128], l4[64];
	struct icmp ic;
	struct udp u;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool v6 = strchr(cases[i].dst, ':');
		struct guest *g = fresh(&u, 0);
		size_t n = guest_udp(l4, v6 ? G6 : G4, cases[i].dst, 7, 9,
				     "0123", 4);
		size_t len = guest_ip(b, v6 ? G6 : G4, cases[i].dst, 17, l4,
				      n);
		const uint8_t *e;

		icmp_init(&ic, &g->n, NULL, NULL);
		b[v6 ? 21 : 22] = cases[i].ttl;
		if (!v6)
			guest_ip4_fix(b);
		guest_rx(g, NULL, b, len, 0);
		assert_int_equal(got.calls, cases[i].up);
		assert_int_equal(g->nout, !cases[i].up);
		if (g->nout) {
			n = guest_check_ip(&g->out[0], v6 ? GW6 : GW4,
					   v6 ? G6 : G4, v6 ? 58 : 1, &e);
			assert_int_equal(n, 8 + len - 14);
			assert_int_equal(e[0], v6 ? 3 : 11);
			assert_memory_equal(e + 8, b + 14, len - 14);
			assert_int_equal(count_get("drop_ttl"), 1);
		}
		guest_free(g);
	}
}

int udp_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received),
		cmocka_unit_test(refused),
		cmocka_unit_test(trailing),
		cmocka_unit_test(offload),
		cmocka_unit_test(sent),
		cmocka_unit_test(train),
		cmocka_unit_test(train_goes_on),
		cmocka_unit_test(time_to_live),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
