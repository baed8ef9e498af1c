#ifndef TESTS_TCP_RIG_H
#define TESTS_TCP_RIG_H

#include "base/timer.h"
#include "gateway/stack/tcp.h"
#include "gateway/wire/tcp.h"
#include "link/memlink.h"

/*
 * tcp_rig - the TCP engine between a scripted guest and a scripted owner
 *
 * The engine runs on a netif over a memory link and a virtual clock.  The test
 * plays the guest segment by segment: rig_in() sends one, rig_out() takes the
 * next one that the engine sent.  The owner is struct rig_conn, one for each
 * connection, made by @open: it takes what comes into a buffer, and offers
 * bytes of a pattern.
 *
 * Sequence numbers in struct rig_seg are relative: 0 is the SYN of either side,
 * if rig_isn() told or the handshake showed where that is.
 */

#define RIG_QUEUE	512
#define RIG_CONNS	256
#define RIG_GUEST_PORT	40000
#define RIG_PEER_PORT	80

/* Short names for a script */
#define S	TCP_FLAG_SYN
#define A	TCP_FLAG_ACK
#define F	TCP_FLAG_FIN
#define R	TCP_FLAG_RST
#define P	TCP_FLAG_PSH

/**
 * struct rig_conf - What a test starts with; zeroed means the default
 * @features:	LINK_F_*
 * @mtu:	1500
 * @max_conns:	16
 * @max_window:	4 MiB
 * @manual:	@open does nothing; else it accepts
 */
struct rig_conf {
	uint32_t features, max_conns, max_window, keepalive_s;
	uint16_t mtu;
	enum tcp_cong congestion;
	bool v6, manual;
};

/** struct rig_seg - A segment in either direction */
struct rig_seg {
	uint8_t flags;
	uint32_t seq, ack;
	uint16_t wnd, urg;
	size_t len;
	struct tcp_opts opt;
	uint16_t gso_size;
	uint16_t gport, pport;	/* 0: the default */
	uint8_t *data;		/* out: owned by the rig */
};

/** struct rig_conn - The owner's side of a connection */
struct rig_conn {
	struct tcp *c;
	struct slab_id id;
	uint16_t gport;
	uint8_t *rx;
	size_t rx_len, rx_cap;
	size_t room;		/* shrinks by what came, unless @room_fixed */
	bool room_fixed;	/* @room does not shrink */
	uint64_t tx_off;	/* acknowledged */
	uint64_t tx_len;	/* offered in all, acknowledged included */
	bool tx_eof, got_fin, closed, opened;
	int why, fail_recv, fail_peek;
	unsigned int peeks, recvs, closes;
	bool abort_in_peek, abort_in_recv, abort_in_connected;
	bool connected, established;
	size_t recv_max;	/* take at most so much at once; 0: no limit */
};

struct rig {
	struct rig_conf conf;
	struct timerq tq;
	struct netif netif;
	struct memlink link;
	struct tcp_stack *ts;
	struct rig_seg out[RIG_QUEUE];
	unsigned int head, tail;
	uint32_t gisn, pisn;	/* what relative 0 is */
	bool pisn_known, mute;
	bool pieces;		/* frames come in as many as a link may give */
	struct rig_conn conn[RIG_CONNS];
	unsigned int nconn, wakes;
	bool pending;		/* what the last flush said */
	enum tcp_admit admit;	/* what becomes of a SYN */
};

void rig_init(struct rig *r, const struct rig_conf *conf);

/** rig_done() - Release; fails the test if segments are left, unless @mute */
void rig_done(struct rig *r);

/** rig_in() - A segment of the guest, and the flush after it */
void rig_in(struct rig *r, const struct rig_seg *s);

/** rig_in_only() - The same without the flush */
void rig_in_only(struct rig *r, const struct rig_seg *s);

/**
 * rig_in_batch() - Several in one batch of a link that keeps its frames
 * @done:	The link says that the batch is over; else it goes down
 */
void rig_in_batch(struct rig *r, const struct rig_seg *s, size_t n, bool done);

/** rig_flush() - Flush until nothing is pending */
void rig_flush(struct rig *r);

/** rig_out() - Next segment from the engine; fails the test if there is none */
struct rig_seg *rig_out(struct rig *r);

/** rig_quiet() - Fails the test if the engine has sent something */
void rig_quiet(struct rig *r);

/** rig_drain() - Drop what the engine has sent; returns how many */
unsigned int rig_drain(struct rig *r);

/** rig_expect() - Next segment has these flags, numbers and length */
#define rig_expect(r, f, s, a, l)					\
	rig_expect_at(r, f, s, a, l, __FILE__, __LINE__)
void rig_expect_at(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack,
		   size_t len, const char *file, int line);

/** rig_run() - Let time pass, timers fire, and flush at each */
void rig_run(struct rig *r, uint64_t ms);

/** rig_seg() - Short for rig_in() of the default flow without options */
void rig_seg(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack,
	     size_t len);

/** rig_established() - Handshake; options as in @syn (may be NULL) */
struct rig_conn *rig_established(struct rig *r, const struct tcp_opts *syn,
				 uint16_t wnd);

/* Most scripts count in segments of so many bytes; AT(n) is where n begins */
#define MSS	1000
#define AT(n)	(1 + MSS * (n))
extern const struct tcp_opts rig_plain, rig_sacking;

/** rig_in_flight() - A new rig, where @n segments are out; returns the owner */
struct rig_conn *rig_in_flight(struct rig *r, const struct tcp_opts *o,
			       unsigned int n);

/** rig_ack() - An empty ACK of all before @at */
void rig_ack(struct rig *r, uint32_t at, uint16_t wnd);

/** rig_sack() - The same, window 65535, and @from to @to is there as well */
void rig_sack(struct rig *r, uint32_t at, uint32_t from, uint32_t to);

/** rig_frame() - Build the guest's frame; returns its length */
size_t rig_frame(struct rig *r, const struct rig_seg *s, uint8_t *buf,
		 size_t size, struct link_vnet *vh);

/** rig_byte() - Pattern of the bytes in each direction */
static inline uint8_t rig_byte(uint64_t off)
{
	return (uint8_t)(off ^ off >> 8 ^ off >> 16);
}

/** rig_rx_ok() - Whether all that the owner got is the pattern */
bool rig_rx_ok(const struct rig_conn *k);

/** rig_connect() - tcp_connect() to the default flow, and flush; NULL if not */
struct rig_conn *rig_connect(struct rig *r, int *err);

/** rig_offer() - The owner has @n more bytes for the guest; and flush */
void rig_offer(struct rig *r, struct rig_conn *k, size_t n);

/** rig_eof() - The owner is done sending; and flush */
void rig_eof(struct rig *r, struct rig_conn *k);

#endif /* TESTS_TCP_RIG_H */
