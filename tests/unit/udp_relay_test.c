#include "tests/unit/guest.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/ev.h"
#include "gateway/relay/udp_relay.h"

int udp_relay_test(void);

/* The guest speaks to the gateway's address, which means the host's loopback */
#define G4	"100.96.0.2"
#define G6	"fd42:6d73:62::2"
#define GW4	"100.96.0.1"
#define GW6	"fd42:6d73:62::1"

struct rig {
	struct guest *g;
	struct ev *ev;
	struct icmp icmp;
	struct udp udp;
	struct policy policy;
	struct dial dial;
	struct udp_relay *r;
	int fd[2];		/* the host's servers */
	uint16_t port[2];
	bool v6;
};

static void up(void *arg, const struct udp_dgram *d)
{
	struct rig *t = arg;

	udp_relay_input(t->r, d);
}

static void room(void *arg)
{
	struct rig *t = arg;

	udp_relay_room(t->r);
}

static int server(bool v6, uint16_t *port)
{
	struct ipaddr a = guest_addr(v6 ? "::1" : "127.0.0.1");
	struct sockaddr_storage ss;
	socklen_t len = ipaddr_to_sa(&a, 0, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	const int buf = 1 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buf, sizeof(buf));
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(ipaddr_from_sa(&ss, &a, port), 0);
	return fd;
}

static void rig_up(struct rig *t, bool v6, uint32_t flows, uint32_t features)
{
	const struct udp_relay_cfg cfg = { .max_flows = flows,
					   .max_peers = 4 * flows };

	memset(t, 0, sizeof(*t));
	count_reset();
	t->v6 = v6;
	t->g = guest_new(features, 1500);
	t->g->n.arg = t;
	t->g->n.room = room;
	t->ev = ev_new(256);
	assert_non_null(t->ev);
	t->policy.egress_default = true;
	t->dial = (struct dial){ .policy = &t->policy, .v4 = true, .v6 = true,
				 .gw4 = guest_addr(GW4),
				 .gw6 = guest_addr(GW6) };
	icmp_init(&t->icmp, &t->g->n, NULL, NULL);
	udp_init(&t->udp, &t->g->n, up, t);
	t->r = udp_relay_new(t->ev, &t->udp, &t->icmp, &t->dial, &cfg);
	assert_non_null(t->r);
	for (int i = 0; i < 2; i++)
		t->fd[i] = server(v6, &t->port[i]);
}

static void rig_down(struct rig *t)
{
	udp_relay_free(t->r);
	ev_free(t->ev);
	guest_free(t->g);
	close(t->fd[0]);
	close(t->fd[1]);
}

/* From a port of the guest to a server; every byte is @fill */
static void say(struct rig *t, uint16_t sport, int to, uint8_t fill,
		size_t len)
{
	const char *s = t->v6 ? G6 : G4, *d = t->v6 ? GW6 : GW4;
	uint8_t pay[4096], l4[4200], b[4300];
	size_t n;

	assert_true(len <= sizeof(pay));
	memset(pay, fill, len);
	n = guest_udp(l4, s, d, sport, t->port[to], pay, len);
	guest_rx(t->g, NULL, b, guest_ip(b, s, d, IPPROTO_UDP, l4, n), 100);
}

static void turn(struct rig *t)
{
	assert_int_equal(ev_turn(t->ev, 0), 0);
}

/* The next datagram at a server, and from whom */
static void hears(struct rig *t, int at, uint8_t fill, size_t len,
		  struct sockaddr_storage *who)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t slen = sizeof(ss);
	uint8_t b[4096];
	ssize_t n = recvfrom(t->fd[at], b, sizeof(b), 0,
			     (struct sockaddr *)&ss, &slen);

	assert_int_equal(n, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(b[i], fill);
	if (who)
		*who = ss;
}

static void hears_nothing(struct rig *t, int at)
{
	uint8_t b[4];

	assert_int_equal(recv(t->fd[at], b, sizeof(b), 0), -1);
}

/* Whatever is batched: each datagram whole, those of one endpoint in order */
static void order(void **state)
{
	static const struct {
		uint16_t len;
		uint8_t to, sport;
	} seq[] = {
		{ 100, 0, 1 }, { 100, 0, 1 }, { 100, 0, 1 }, { 40, 0, 1 },
		{ 100, 0, 1 }, { 0, 0, 1 }, { 0, 0, 1 }, { 100, 0, 1 },
		{ 100, 1, 1 }, { 100, 0, 1 }, { 101, 0, 1 }, { 3000, 0, 1 },
		{ 100, 0, 1 }, { 100, 1, 2 }, { 100, 0, 1 }, { 1472, 1, 2 },
		{ 1472, 1, 2 }, { 1472, 1, 2 }, { 1, 1, 2 }, { 1, 1, 2 },
	};

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct sockaddr_storage who, first[3] = { { 0 } };
		struct udp_relay_stats st;
		struct rig t;

		rig_up(&t, v6, 8, 0);
		for (size_t i = 0; i < ARRAY_SIZE(seq); i++)
			say(&t, seq[i].sport, seq[i].to, (uint8_t)i,
			    seq[i].len);
		turn(&t);
		for (size_t i = 0; i < ARRAY_SIZE(seq); i++) {
			struct sockaddr_storage *f = &first[seq[i].sport];

			memset(&who, 0, sizeof(who));
			hears(&t, seq[i].to, (uint8_t)i, seq[i].len, &who);
			if (!f->ss_family)
				*f = who;
			assert_memory_equal(&who, f, sizeof(who));
		}
		assert_memory_not_equal(&first[1], &first[2], sizeof(who));
		hears_nothing(&t, 0);
		hears_nothing(&t, 1);
		udp_relay_stats(t.r, &st);
		assert_int_equal(st.up_dgrams, ARRAY_SIZE(seq));
		assert_int_equal(st.active, 2);
		rig_down(&t);
	}
}

/* More than a train, a system call and the buffer hold */
static void many(void **state)
{
	struct rig t;

	(void)state;
	rig_up(&t, false, 8, 0);
	for (int i = 0; i < 150; i++)
		say(&t, 1, 0, (uint8_t)i, 1000);
	turn(&t);
	for (int i = 0; i < 150; i++)
		hears(&t, 0, (uint8_t)i, 1000, NULL);
	for (int i = 0; i < 90; i++)	/* no two of them are a train */
		say(&t, 1, 0, (uint8_t)i, (size_t)i + 1);
	turn(&t);
	for (int i = 0; i < 90; i++)
		hears(&t, 0, (uint8_t)i, (size_t)i + 1, NULL);
	hears_nothing(&t, 0);
	rig_down(&t);
}

/* A flow that makes room for another one has not lost what waited */
static void evicted_with_its_batch(void **state)
{
	struct rig t;

	(void)state;
	rig_up(&t, false, 2, 0);
	for (uint8_t i = 1; i <= 5; i++) {
		say(&t, i, 0, i, 10);
		say(&t, i, 0, i, 10);
	}
	turn(&t);
	for (uint8_t i = 1; i <= 5; i++) {
		hears(&t, 0, i, 10, NULL);
		hears(&t, 0, i, 10, NULL);
	}
	assert_int_equal(count_get("udp_flow_evicted"), 3);
	rig_down(&t);
}

static void answer(struct rig *t, const struct sockaddr_storage *who,
		   uint8_t fill, size_t len)
{
	uint8_t b[2000];

	memset(b, fill, len);
	assert_int_equal(sendto(t->fd[0], b, len, 0,
				(const struct sockaddr *)who, sizeof(*who)),
			 len);
}

static void full_link_loses_nothing(void **state)
{
	const uint8_t *l4;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct sockaddr_storage who;
		struct rig t;

		rig_up(&t, v6, 8, 0);
		say(&t, 7, 0, 1, 10);
		turn(&t);
		hears(&t, 0, 1, 10, &who);
		t.g->mem.refuse = true;
		for (uint8_t i = 0; i < 40; i++)
			answer(&t, &who, i, 100u + i);
		for (int i = 0; i < 5; i++)
			turn(&t);
		assert_int_equal(t.g->nout, 0);
		link_drained(&t.g->mem.link);	/* and full again at once */
		assert_int_equal(t.g->nout, 0);
		t.g->mem.refuse = false;
		link_drained(&t.g->mem.link);
		for (int i = 0; i < 5; i++)
			turn(&t);
		/* the first was refused twice, and given up */
		assert_int_equal(t.g->nout, 39);
		for (uint8_t i = 1; i < 40; i++) {
			assert_int_equal(guest_check_ip(
				&t.g->out[i - 1], v6 ? GW6 : GW4,
				v6 ? G6 : G4, IPPROTO_UDP, &l4), 108u + i);
			assert_int_equal(l4[8], i);
		}
		assert_int_equal(count_get("drop_udp_link"), 1);
		rig_down(&t);
	}
}

/* Who waits for room may end meanwhile */
static void ends_while_stalled(void **state)
{
	struct sockaddr_storage who, other;
	struct rig t;

	(void)state;
	rig_up(&t, false, 1, 0);
	say(&t, 7, 0, 1, 10);
	turn(&t);
	hears(&t, 0, 1, 10, &who);
	t.g->mem.refuse = true;
	answer(&t, &who, 5, 50);
	turn(&t);
	say(&t, 8, 0, 2, 20);		/* takes the only place */
	turn(&t);
	hears(&t, 0, 2, 20, &other);
	answer(&t, &other, 6, 60);
	turn(&t);
	t.g->mem.refuse = false;
	link_drained(&t.g->mem.link);
	turn(&t);
	assert_int_equal(t.g->nout, 1);
	assert_int_equal(t.g->out[0].b[14 + 28], 6);
	rig_down(&t);
}

/* A train that the host put together is one frame for the guest, if it can */
static void train_to_the_guest(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		const bool v6 = i & 1, uso = i & 2;
		const int size = 500, off = 0;
		struct sockaddr_storage who;
		struct udp_relay_stats st;
		struct rig t;

		rig_up(&t, v6, 8, uso ? LINK_F_CSUM | LINK_F_USO4 |
			    LINK_F_USO6 : 0);
		say(&t, 7, 0, 1, 10);
		turn(&t);
		hears(&t, 0, 1, 10, &who);
		assert_int_equal(setsockopt(t.fd[0], IPPROTO_UDP, 103, &size,
					    sizeof(size)), 0);
		answer(&t, &who, 9, 1800);
		assert_int_equal(setsockopt(t.fd[0], IPPROTO_UDP, 103, &off,
					    sizeof(off)), 0);
		turn(&t);
		assert_int_equal(t.g->nout, uso ? 1 : 4);
		assert_int_equal(t.g->out[0].vh.gso_size, uso ? 500 : 0);
		udp_relay_stats(t.r, &st);
		assert_int_equal(st.down_dgrams, 4);
		assert_int_equal(st.down_bytes, 1800);
		rig_down(&t);
	}
}

/* The host said no: the guest hears it, from the right one */
static void refused(void **state)
{
	const uint8_t *l4;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		const size_t ip = v6 ? 40 : 20;
		struct rig t;

		rig_up(&t, v6, 8, 0);
		close(t.fd[0]);
		t.fd[0] = dup(t.fd[1]);
		say(&t, 7, 0, 1, 10);
		turn(&t);
		turn(&t);
		assert_int_equal(t.g->nout, 1);
		guest_check_ip(&t.g->out[0], v6 ? GW6 : GW4, v6 ? G6 : G4,
			       v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, &l4);
		assert_memory_equal(l4, v6 ? "\1\4" : "\3\3", 2);
		assert_memory_equal(l4 + 8 + ip, "\0\7", 2);
		assert_int_equal(l4[8 + ip + 2] << 8 | l4[8 + ip + 3],
				 t.port[0]);
		say(&t, 7, 1, 3, 10);		/* and the flow lives on */
		turn(&t);
		hears(&t, 1, 3, 10, NULL);
		rig_down(&t);
	}
}

/* Nobody fetched them in time: they are lost, and it is known how many */
static void slow_to_fetch(void **state)
{
	struct sockaddr_storage who;
	struct udp_relay_stats st;
	struct rig t;

	(void)state;
	rig_up(&t, false, 8, 0);
	say(&t, 7, 0, 1, 10);
	turn(&t);
	hears(&t, 0, 1, 10, &who);
	for (int i = 0; i < 4000; i++)
		answer(&t, &who, 5, 1200);
	for (int i = 0; i < 300; i++) {
		turn(&t);
		guest_clear(t.g);
	}
	answer(&t, &who, 5, 1200);	/* it brings the last of the number */
	turn(&t);
	udp_relay_stats(t.r, &st);
	assert_true(count_get("drop_udp_rcvbuf") > 0);
	assert_int_equal(st.down_dgrams + count_get("drop_udp_rcvbuf"), 4001);
	assert_true(st.down_dgrams > 150);	/* the default holds 92 */
	rig_down(&t);
}

/* What a flow may have for itself, with four flows and sixteen endpoints */
#define OWN	4
#define SERVERS	10

static void speaks(struct rig *t, int fd, const struct sockaddr_storage *to,
		   int heard)
{
	t->g->nout = 0;
	assert_int_equal(sendto(fd, "x", 1, 0, (const struct sockaddr *)to,
				sizeof(*to)), 1);
	turn(t);
	assert_int_equal(t->g->nout, heard);
	guest_clear(t->g);
}

/* A port that talks to everybody gives up its own endpoints, not others' */
static void share_of_endpoints(void **state)
{
	struct sockaddr_storage who, first = { 0 };
	int fd[SERVERS];
	uint16_t port[SERVERS];
	struct udp_relay_stats st;
	struct rig t;

	(void)state;
	rig_up(&t, false, 4, 0);
	for (int i = 0; i < SERVERS; i++)
		fd[i] = server(false, &port[i]);
	say(&t, 1, 0, 1, 10);
	turn(&t);
	hears(&t, 0, 1, 10, &first);
	for (uint16_t sport = 2; sport <= 4; sport++) {
		for (int i = 0; i < SERVERS; i++) {
			t.port[1] = port[i];
			say(&t, sport, 1, 1, 10);
		}
		turn(&t);
		t.fd[1] = (close(t.fd[1]), dup(fd[9]));
		hears(&t, 1, 1, 10, &who);
		for (int i = 0; i < SERVERS; i++)
			speaks(&t, fd[i], &who, i >= SERVERS - OWN);
	}
	assert_int_equal(count_get("udp_peer_evicted"),
			 3 * (SERVERS - OWN));
	/* 13 of 16 are in use, but the rest is for flows that have none */
	speaks(&t, t.fd[0], &first, 1);
	udp_relay_stats(t.r, &st);
	assert_int_equal(st.active, 4);
	assert_int_equal(count_get("udp_flow_evicted"), 0);
	/* and the first may still have what it never used */
	for (int i = 0; i < OWN; i++) {
		t.port[1] = port[i];
		say(&t, 1, 1, 1, 10);
	}
	turn(&t);
	for (int i = 0; i < OWN; i++)
		speaks(&t, fd[i], &first, 1);
	speaks(&t, t.fd[0], &first, 0);
	for (int i = 0; i < SERVERS; i++)
		close(fd[i]);
	rig_down(&t);
}

/* Flows without an answer are held to a rate; an answer gives theirs back */
static void rate_of_flows(void **state)
{
	struct sockaddr_storage who;
	struct udp_relay_stats st;
	int evicted, dropped;
	struct rig t;

	(void)state;
	rig_up(&t, false, 200, 0);
	for (uint16_t i = 1; i <= 2000; i++)
		say(&t, i, 0, 1, 10);
	udp_relay_stats(t.r, &st);
	assert_int_equal(st.active, 200);
	evicted = DIAL_BURST_MIN - 200;
	dropped = 2000 - DIAL_BURST_MIN;
	assert_int_equal(count_get("udp_flow_evicted"), evicted);
	assert_int_equal(count_get("drop_udp_flow_rate"), dropped);
	turn(&t);
	for (int i = 0; i < evicted; i++)
		hears(&t, 0, 1, 10, &who);
	for (int i = 0; i < 200; i++) {
		hears(&t, 0, 1, 10, &who);
		answer(&t, &who, 7, 10);
	}
	for (int i = 0; i < 20; i++) {
		turn(&t);
		guest_clear(t.g);
	}
	for (uint16_t i = 3001; i <= 3100; i++)
		say(&t, i, 0, 1, 10);
	assert_int_equal(count_get("udp_flow_evicted"), evicted + 100);
	assert_int_equal(count_get("drop_udp_flow_rate"), dropped);
	rig_down(&t);
}

/* Many wait for room, and are let in a few at a time, until all have had it */
static void stalled_take_turns(void **state)
{
	struct sockaddr_storage who;
	struct rig t;
	int before;

	(void)state;
	rig_up(&t, false, 60, 0);
	for (uint16_t i = 1; i <= 60; i++)
		say(&t, i, 0, 1, 10);
	turn(&t);
	t.g->mem.refuse = true;
	for (uint8_t i = 0; i < 60; i++) {
		hears(&t, 0, 1, 10, &who);
		answer(&t, &who, i, 20);
	}
	for (int i = 0; i < 5; i++)
		turn(&t);
	t.g->mem.refuse = false;
	link_drained(&t.g->mem.link);
	before = t.g->nout;
	assert_in_range(before, 0, 1);
	turn(&t);
	assert_in_range(t.g->nout, 2, 17);	/* not the whole herd at once */
	for (int i = 0; i < 5; i++)
		turn(&t);
	assert_int_equal(t.g->nout, 60 - count_get("drop_udp_link"));
	assert_in_range(count_get("drop_udp_link"), 0, 1);
	rig_down(&t);
}

/* The guest's kernel about frame @i: no socket has this port */
static void unreachable(struct rig *t, int i, size_t len, int at, uint8_t v)
{
	const char *s = t->v6 ? G6 : G4, *d = t->v6 ? GW6 : GW4;
	const uint8_t proto = t->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	uint8_t l4[128] = { t->v6 ? 1 : 3, t->v6 ? 4 : 3 }, b[200];

	memcpy(l4 + 8, t->g->out[i].b + 14, len);
	if (at >= 0)
		l4[8 + at] = v;
	guest_l4_csum(s, d, proto, l4, 8 + len, 2);
	guest_rx(t->g, NULL, b, guest_ip(b, s, d, proto, l4, 8 + len), 0);
}

static void send_back(struct rig *t, int from, const struct sockaddr_storage *to)
{
	socklen_t len = t->v6 ? sizeof(struct sockaddr_in6) :
				sizeof(struct sockaddr_in);

	assert_int_equal(sendto(t->fd[from], "back", 4, 0,
				(const struct sockaddr *)to, len), 4);
	turn(t);
}

/* RFC 5927: only what quotes a datagram of ours changes anything */
static void guest_closes_its_port(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		const size_t ip = v6 ? 40 : 20, whole = ip + 8 + 4;
		struct sockaddr_storage who;
		struct udp_relay_stats st;
		struct rig t;

		rig_up(&t, v6, 8, 0);
		say(&t, 1, 0, 1, 10);
		say(&t, 1, 1, 2, 10);
		turn(&t);
		hears(&t, 0, 1, 10, &who);
		hears(&t, 1, 2, 10, NULL);
		send_back(&t, 0, &who);
		send_back(&t, 1, &who);
		assert_int_equal(t.g->nout, 2);

		/* of another protocol, cut off, of other addresses and ports */
		unreachable(&t, 0, whole, v6 ? 6 : 9, IPPROTO_TCP);
		for (size_t k = 0; k < ip + 8; k++)
			unreachable(&t, 0, k, -1, 0);
		unreachable(&t, 0, whole, v6 ? 23 : 15, 9);
		unreachable(&t, 0, whole, v6 ? 39 : 19, 9);
		assert_int_equal(count_get("drop_icmp_err_form"), ip + 8 + 3);
		unreachable(&t, 0, whole, (int)ip, 99);
		unreachable(&t, 0, whole, (int)ip + 3, 99);
		assert_int_equal(count_get("drop_udp_unreach"), 2);
		send_back(&t, 0, &who);
		assert_int_equal(t.g->nout, 3);

		/* one endpoint is not wanted any more, the other is */
		unreachable(&t, 0, whole, -1, 0);
		assert_int_equal(count_get("udp_guest_unreach"), 1);
		send_back(&t, 0, &who);
		assert_int_equal(t.g->nout, 3);
		assert_int_equal(count_get("drop_udp_filtered"), 1);
		send_back(&t, 1, &who);
		assert_int_equal(t.g->nout, 4);
		unreachable(&t, 0, whole, -1, 0);	/* again */
		assert_int_equal(count_get("drop_udp_unreach"), 3);

		/* the last one: nobody has the host's port any more */
		unreachable(&t, 1, ip + 8, -1, 0);
		udp_relay_stats(t.r, &st);
		assert_int_equal(st.active, 0);
		turn(&t);
		send_back(&t, 1, &who);
		assert_int_equal(t.g->nout, 4);
		say(&t, 1, 0, 3, 10);			/* and a new one */
		turn(&t);
		hears(&t, 0, 3, 10, NULL);
		rig_down(&t);
	}
}

int udp_relay_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(many),
		cmocka_unit_test(evicted_with_its_batch),
		cmocka_unit_test(full_link_loses_nothing),
		cmocka_unit_test(ends_while_stalled),
		cmocka_unit_test(train_to_the_guest),
		cmocka_unit_test(refused),
		cmocka_unit_test(slow_to_fetch),
		cmocka_unit_test(share_of_endpoints),
		cmocka_unit_test(rate_of_flows),
		cmocka_unit_test(stalled_take_turns),
		cmocka_unit_test(guest_closes_its_port),
	};

	return cmocka_run_group_tests_name("udp_relay", tests, NULL, NULL);
}
