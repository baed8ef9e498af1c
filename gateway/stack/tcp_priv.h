#ifndef STACK_TCP_PRIV_H
#define STACK_TCP_PRIV_H

#include "base/hash.h"
#include "base/slab.h"
#include "base/timer.h"
#include "base/util.h"
#include "gateway/stack/ip.h"
#include "gateway/stack/tcp.h"
#include "gateway/wire/tcp.h"

/*
 * What the files of the TCP engine share; nobody else includes this.
 *
 *	tcp.c		table, states, lists, the interface
 *	tcp_in.c	segment arrival (RFC 9293 3.10.7)
 *	tcp_ack.c	what an ACK tells: window, round trip, loss
 *	tcp_sack.c	scoreboard of what the guest has, beyond snd_una
 *	tcp_again.c	what was sent again, and was lost again
 *	tcp_ooo.c	segments that came too early
 *	tcp_cong.c	congestion window, if it is configured
 *	tcp_gather.c	payload of a batch, for one @recv
 *	tcp_delay.c	which ACKs wait for the answer that they can go with
 *	tcp_out.c	everything that is sent
 *	tcp_timer.c	deadlines
 *
 * A connection is in at most one list: dirty (work to do), embryo (of the
 * guest's, not established, nothing to do; longest waiting first), time-wait
 * (oldest first), or dead (to be freed at the next flush).  What follows a call that
 * may run a callback of the owner's checks for TCP_STATE_CLOSED.
 */

#define TCP_RTO_INIT_MS		1000	/* RFC 6298 2.1 */
#define TCP_RTO_MIN_MS		200	/* the link is local */
#define TCP_RTO_MAX_MS		60000
#define TCP_R1			3	/* at least so many, and */
#define TCP_RETRIES		15	/* R2 of RFC 9293 3.8.3: */
#define TCP_GIVE_UP_NS		(100 * NS_PER_S)
#define TCP_SYNACK_RETRIES	5	/* 63 s: the guest asks again */
#define TCP_SYN_RETRIES		7	/* 183 s; RFC 9293 3.8.3 wants 180 */
#define TCP_RTO_SYN_LOST_MS	3000	/* RFC 6298 5.7 */
#define TCP_TIME_WAIT_NS	(10 * NS_PER_S)
#define TCP_FIN_WAIT_NS		(60 * NS_PER_S)
#define TCP_GATHER		8	/* connections that gather at once */
#define TCP_GATHER_IOV		64	/* and frames of each */
#define TCP_DELACK_MS		10	/* see tcp_delay.c */
#define TCP_DELACK_CLEAN	16
#define TCP_DELACK_DESTS	256
#define TCP_CHALLENGE_MS	500	/* at most one for each connection */
#define TCP_KEEPALIVE_PROBES	9
#define TCP_KEEPALIVE_STEP_NS	(75 * NS_PER_S)
#define TCP_PAWS_IDLE_S		(24u * 86400)	/* RFC 7323 5.5 */
#define TCP_DUPTHRESH		3	/* RFC 5681 3.2 */
#define TCP_MSS_MIN		48
#define TCP_MSS_V4		536	/* RFC 9293 3.7.1: none was named */
#define TCP_MSS_V6		1220

#define TCP_SACKED_FEW		6	/* ranges of any connection's own */
#define TCP_SACKED_MAX		128	/* and of one that has a sheet */
#define TCP_SHEETS		64	/* of them, per stack; bits of a word */
#define TCP_SHEET_NONE		UINT8_MAX
#define TCP_OOO_SEGS		64	/* pieces that came early, per stack */
#define TCP_OOO_CONN		16	/* and of them per connection */
#define TCP_OOO_BYTES		65536	/* in one piece */
#define TCP_OOO_NONE		UINT8_MAX

enum tcp_state {
	TCP_STATE_CLOSED,
	TCP_STATE_DIALLING,	/* the SYN waits for the owner's answer */
	TCP_STATE_SYN_SENT,	/* by tcp_connect() */
	TCP_STATE_SYN_RECEIVED,
	TCP_STATE_ESTABLISHED,
	TCP_STATE_FIN_WAIT_1,
	TCP_STATE_FIN_WAIT_2,
	TCP_STATE_CLOSE_WAIT,
	TCP_STATE_CLOSING,
	TCP_STATE_LAST_ACK,
	TCP_STATE_TIME_WAIT,
	TCP_STATE_NUM,
};

enum tcp_where {
	TCP_WHERE_NONE,
	TCP_WHERE_DIRTY,
	TCP_WHERE_EMBRYO,
	TCP_WHERE_TIME_WAIT,
	TCP_WHERE_DEAD,
	TCP_WHERE_NUM,
};

/* How what was lost is being repaired */
enum tcp_recovery {
	TCP_RECOVERY_NONE,
	TCP_RECOVERY_FAST,	/* duplicate ACKs or SACK; new data goes on */
	TCP_RECOVERY_RTO,	/* a timeout; no new data until it is over */
};

/**
 * struct tcp - One connection
 * @prev, @next, @where: The list that it is in
 * @rtx_due:	Retransmission or, with @probing, window probe; 0 is never
 * @life_due:	Keepalive, FIN-WAIT-2, TIME-WAIT; 0 is never
 * @ack_due:	An ACK waits until then for an answer; 0 if none does
 * @rtx_ns:	When what is unanswered was first sent
 * @rtt_ns:	When the segment that ends at @rtt_seq was sent, if @timing
 * @snd_una:	First byte not acknowledged; offset 0 of @peek
 * @snd_max:	One past the last byte ever sent; a FIN that was sent is the
 *		last
 * @snd_wl1, @snd_wl2: Segment of the last window update
 * @snd_wnd_max: Largest window that the guest ever offered
 * @recover:	@snd_max as recovery began: where it ends; and until more than
 *		that is acknowledged, duplicate ACKs may be echoes of it
 * @rtx_nxt:	Next byte to look at in recovery
 * @again_nxt, @again_end, @again_mark: See tcp_again.c
 * @rtx_wnd:	How far beyond @snd_una to retransmit, without SACK
 * @acked:	Acknowledged, the owner has not been told yet
 * @cwnd, @ssthresh: See tcp_cong.c
 * @sent_ms:	When new data last went out
 * @rcv_adv:	Right edge of the window offered; never moves back
 * @rcv_acked:	@rcv_nxt as last sent (Last.ACK.sent of RFC 7323)
 * @flush:	Number of the flush before it began, or before its TIME-WAIT
 * @room_max:	Most that @room ever said: the size of the owner's buffer
 * @fin_seq:	Where the guest's FIN stands, if @fin_seen
 * @mss:	Payload of a full segment to the guest, options allowed for
 * @mss_own:	What we announced
 * @gather:	Where payload waits for the end of the batch, index + 1; 0 if
 *		none does
 * @few:	Scoreboard while it is short, see tcp_sacked()
 * @sheet:	Where it is otherwise, or TCP_SHEET_NONE
 * @ask_ms:	When the guest's first segment since our last came
 * @asked:	Segments with payload since then, saturated
 * @clean:	Exchanges in a row that a delayed ACK would have served
 * @ooo:	First piece that came early, index into the stack's store
 * @ooo_seen:	A byte of each of the runs that changed last, the latest first:
 *		the order of a SACK option (RFC 2018 4)
 * @twice:	What came although it was there, to be reported once (RFC 2883)
 */
struct tcp {
	struct tcp_stack *ts;
	struct tcp_tuple tuple;
	void *user;
	struct tcp *prev, *next;
	struct timer timer;
	uint64_t rtx_due, life_due, ack_due, rtx_ns, rtt_ns;

	uint32_t snd_una, snd_max, snd_wnd, snd_wl1, snd_wl2, snd_wnd_max;
	uint32_t recover, rtx_nxt, rtx_wnd, rtt_seq, acked;
	uint32_t again_nxt, again_end, again_mark;
	uint32_t cwnd, ssthresh, sent_ms;
	uint32_t srtt_us, rttvar_us, rto_ms;
	uint32_t rcv_nxt, rcv_adv, rcv_acked, room_max, fin_seq;
	uint32_t ts_recent, ts_recent_s, ts_off;
	uint32_t rx_ms, challenge_ms, flush, ask_ms;
	uint32_t ooo_seen[TCP_SACK_MAX];
	struct tcp_range few[TCP_SACKED_FEW], twice;
	uint16_t mss, mss_own;

	uint8_t state, where, recovery;
	uint8_t snd_shift, rcv_shift;
	uint8_t retries, backoff, dupacks, nsacked, sheet;
	uint8_t ooo, nooo;
	uint8_t asked, clean, gather;

	bool accepted : 1;	/* our initial sequence number is chosen */
	bool active : 1;	/* by tcp_connect() */
	bool synced : 1;	/* the handshake was completed */
	bool ts_ok : 1, sack_ok : 1, scale_ok : 1;
	bool timing : 1;	/* a round trip is being measured */
	bool rexmitted : 1;	/* since the last new ACK: Karn */
	bool probing : 1;
	bool readable : 1;	/* @peek may have something */
	bool fin_sent : 1, fin_seen : 1, fin_taken : 1;
	bool fin_waits : 1;	/* @ack_due is that of the guest's FIN */
	bool no_recv : 1;
	bool challenged : 1;	/* @challenge_ms is set */
	/* to do at the next flush */
	bool do_ack : 1, do_syn : 1, do_probe : 1, do_rst : 1;
	bool do_window : 1;	/* ask @room */
	bool do_force : 1;	/* send into a window that is silly */
	bool do_ooo : 1;	/* offer again what the owner did not take */
	bool do_rtx : 1;	/* the timer fired while the link was full */
};

_Static_assert(sizeof(struct tcp) <= 376, "an idle flow stays below 1 KiB");

struct tcp_list {
	struct tcp *head, *tail;
	uint32_t n;
};

struct tcp_ooo;

/**
 * struct tcp_gather - Payload in order that @recv has not been offered yet
 * @c:		NULL if this place is free
 * @len:	Bytes, which begin at the connection's rcv_nxt
 */
struct tcp_gather {
	struct tcp *c;
	size_t len;
	int n;
	struct iovec iov[TCP_GATHER_IOV];
};

/**
 * struct tcp_dest - What connections to one destination were like
 * @clean:	As of struct tcp, with which a new connection begins
 * @clean_fin:	The same, of FINs that were answered by one
 */
struct tcp_dest {
	uint8_t clean, clean_fin;
};

/**
 * struct tcp_stack - All connections of one guest
 * @blocked:	The link was full: nothing is sent until tcp_link_up()
 * @down:	There was no link: tcp_link_up() retransmits everything
 * @room_out:	A room of the link is out: nothing else can be sent now
 */
struct tcp_stack {
	struct netif *netif;
	const struct tcp_ops *ops;
	void *arg;
	struct tcp_conf conf;
	struct slab slab;
	struct hash hash;
	struct tcp_list dirty, embryo, time_wait, dead;
	struct timer tw_timer;
	struct tcp_ooo *ooo;
	struct tcp_range *sheets;
	uint64_t sheets_used;
	struct tcp_dest dest[TCP_DELACK_DESTS];
	struct tcp_gather gather[TCP_GATHER];
	unsigned int gather_next;	/* whose turn it is to make room */
	void (*wake)(void *arg);
	void *wake_arg;
	uint32_t flushes;
	uint32_t share;			/* connections of the latest flush */
	uint8_t isn_key[16];
	uint8_t rcv_shift;
	bool blocked, down, room_out, flushing;
};

/**
 * struct tcp_seg - One segment of the guest
 * @syn:	It had SYN set, which is processed already: @h begins behind it,
 *		and its window is not scaled (RFC 7323 2.2)
 * @len:	Payload
 */
struct tcp_seg {
	struct tcp_hdr h;
	bool syn;
	const struct pkt *p;
	size_t len;
};

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? a : b;
}

static inline bool tcp_closed(const struct tcp *c)
{
	return c->state == TCP_STATE_CLOSED;
}

static inline uint64_t tcp_now(const struct tcp_stack *ts)
{
	return timerq_now(ts->netif->tq);
}

static inline uint32_t tcp_now_ms(const struct tcp_stack *ts)
{
	return (uint32_t)(tcp_now(ts) / NS_PER_MS);
}

/* The window that a segment offers, bytes */
static inline uint32_t tcp_seg_wnd(const struct tcp *c,
				   const struct tcp_seg *s)
{
	return (uint32_t)s->h.wnd << (s->syn ? 0 : c->snd_shift);
}

static inline bool tcp_is4(const struct tcp *c)
{
	return ipaddr_is4(&c->tuple.guest);
}

/* tcp.c */

/** tcp_find() - Connection of a tuple; NULL if none */
struct tcp *tcp_find(struct tcp_stack *ts, const struct tcp_tuple *tuple);

/**
 * tcp_new() - Claim an entry in its first state; NULL if the table is full
 *
 * With DIALLING no callback may be running: it can end a connection to make room.
 */
struct tcp *tcp_new(struct tcp_stack *ts, const struct tcp_tuple *tuple,
		    enum tcp_state first);

/** tcp_set_state() - Change state; only along the edges of RFC 9293 3.3.2 */
void tcp_set_state(struct tcp *c, enum tcp_state to);

/** tcp_dirty() - There is something to do for @c at the next flush */
void tcp_dirty(struct tcp *c);

/**
 * tcp_end() - The connection is over
 * @why:	For @closed
 * @rst:	Tell the guest, now or at the next flush; unless it has not answered
 *		our SYN
 */
void tcp_end(struct tcp *c, int why, bool rst);

/** tcp_time_wait() - Both directions are done: TIME-WAIT, tell the owner */
void tcp_time_wait(struct tcp *c);

/** tcp_tw_restart() - Another 10 s: the guest's FIN came again */
void tcp_tw_restart(struct tcp *c);

/** tcp_tw_drop() - End a TIME-WAIT early */
void tcp_tw_drop(struct tcp *c);

/* tcp_in.c */

/** tcp_own_mss() - What fits into the link's MTU, and so what we announce */
uint16_t tcp_own_mss(const struct tcp *c);

/** tcp_input() - Handler of NETIF_L4_TCP; @arg is the stack */
void tcp_input(void *arg, const struct pkt *p);

/**
 * tcp_deliver() - Offer payload that is next in order
 *
 * Return: bytes taken; -ECONNABORTED if the connection has ended
 */
ssize_t tcp_deliver(struct tcp *c, const struct iovec *iov, int n, size_t len);

/** tcp_fin_check() - Take the guest's FIN if everything before it was taken */
void tcp_fin_check(struct tcp *c);

/* tcp_ack.c */

/**
 * tcp_ack_in() - Take in the ACK field, the window and SACK blocks
 *
 * Return: whether the rest of the segment is to be processed
 */
bool tcp_ack_in(struct tcp *c, const struct tcp_seg *s);

/** tcp_rtt_sample() - A round trip was measured (RFC 6298 2) */
void tcp_rtt_sample(struct tcp *c, uint64_t rtt_us);

/** tcp_rtt_of() - Measure by what this ACK answers, if it can be told */
void tcp_rtt_of(struct tcp *c, const struct tcp_seg *s);

/* tcp_sack.c */

/** tcp_sheets_new() - Make room for long scoreboards; 0 or -ENOMEM */
int tcp_sheets_new(struct tcp_stack *ts);
void tcp_sheets_free(struct tcp_stack *ts);

/**
 * tcp_sacked() - The scoreboard: @nsacked ranges, sorted, disjoint, between
 *		  @snd_una and @snd_max
 *
 * Return: borrowed until the scoreboard changes
 */
const struct tcp_range *tcp_sacked(const struct tcp *c);

/** tcp_sack_clear() - Forget all of it */
void tcp_sack_clear(struct tcp *c);

/** tcp_sack_add() - A block that the guest reports; whether it is news */
bool tcp_sack_add(struct tcp *c, struct tcp_range r);

/** tcp_sack_trim() - Forget what lies before snd_una */
void tcp_sack_trim(struct tcp *c);

/**
 * tcp_sack_limit() - How far holes count as lost (RFC 6675, IsLost)
 *
 * Return: the first byte that does not; snd_una if none does
 */
uint32_t tcp_sack_limit(const struct tcp *c);

/**
 * tcp_sack_hole() - Next byte at or after @seq that the guest lacks
 * @end:	Set to the end of the hole, at most @limit
 */
uint32_t tcp_sack_hole(const struct tcp *c, uint32_t seq, uint32_t limit,
		       uint32_t *end);

/* tcp_again.c */

/** tcp_again_start() - Recovery begins: nothing was sent again so far */
void tcp_again_start(struct tcp *c);

/** tcp_again_sent() - Holes were sent, as far as it goes; @all of a second look */
void tcp_again_sent(struct tcp *c, bool all);

/** tcp_again_look() - SACK came: look at the holes once more if it tells so */
void tcp_again_look(struct tcp *c);

/** tcp_again_ns() - When to look if nothing comes; 0 if that is a timeout */
uint64_t tcp_again_ns(const struct tcp *c);

/** tcp_again_all() - Nothing came: what was sent again is lost */
void tcp_again_all(struct tcp *c);

/* tcp_cong.c */

/** tcp_cong_on() - Whether a congestion window is kept */
bool tcp_cong_on(const struct tcp *c);

/** tcp_cong_init() - The handshake is done */
void tcp_cong_init(struct tcp *c);

/** tcp_cong_room() - Bytes that may go out now; UINT32_MAX without a window */
uint32_t tcp_cong_room(const struct tcp *c);

/** tcp_cong_send() - New data is about to go out */
void tcp_cong_send(struct tcp *c);

/** tcp_cong_acked() - @n bytes more were acknowledged; @recovery as before */
void tcp_cong_acked(struct tcp *c, uint32_t n);

/** tcp_cong_dup() - A duplicate ACK */
void tcp_cong_dup(struct tcp *c);

/** tcp_cong_loss() - Recovery is about to begin */
void tcp_cong_loss(struct tcp *c, enum tcp_recovery how);

/* tcp_ooo.c */

/** tcp_ooo_new() - Make the store of a stack; NULL if memory is short */
struct tcp_ooo *tcp_ooo_new(void);
void tcp_ooo_free(struct tcp_ooo *o);

/** tcp_ooo_used() - Pieces in use */
unsigned int tcp_ooo_used(const struct tcp_ooo *o);

/** tcp_ooo_put() - Keep a segment that came early, as far as there is room */
void tcp_ooo_put(struct tcp *c, uint32_t seq, const struct iovec *iov, int n,
		 size_t len);

/** tcp_ooo_deliver() - Offer the owner what is in order now */
void tcp_ooo_deliver(struct tcp *c);

/** tcp_ooo_drop() - Forget what is kept for a connection */
void tcp_ooo_drop(struct tcp *c);

/**
 * tcp_ooo_twice() - Bytes came that were there; from @end on they were not
 *
 * An ACK is due, for the caller.  One that was due for others goes out now: a
 * guest that has sent again what was only late takes that back when it knows of
 * each (RFC 2883 4, RFC 3708).
 */
void tcp_ooo_twice(struct tcp *c, uint32_t start, uint32_t end);

/**
 * tcp_ooo_blocks() - SACK blocks: what came twice, then the latest first
 *
 * Return: how many
 */
unsigned int tcp_ooo_blocks(const struct tcp *c, struct tcp_range *out,
			    unsigned int max);

/* tcp_gather.c */

/** tcp_gather_goes_on() - Whether a segment only adds to the payload in order */
bool tcp_gather_goes_on(const struct tcp *c, const struct tcp_seg *s);

/** tcp_gather_put() - Keep its payload for the end of the batch
 *
 * Return: false if it is to be offered now, in the usual way
 */
bool tcp_gather_put(struct tcp *c, const struct tcp_seg *s);

/**
 * tcp_gather_end() - Offer what a connection has gathered
 *
 * Return: 0; -ECONNABORTED if that has ended the connection
 */
int tcp_gather_end(struct tcp *c);

/** tcp_gather_done() - The same for all; @arg is the stack */
void tcp_gather_done(void *arg);

/** tcp_gather_drop() - Forget it: it comes again, or nobody wants it */
void tcp_gather_drop(struct tcp *c);

/** tcp_gather_clear() - Forget all: the frames may be gone */
void tcp_gather_clear(struct tcp_stack *ts);

/* tcp_delay.c */

/** tcp_delay_open() - A new connection: what is known of its destination? */
void tcp_delay_open(struct tcp *c);

/** tcp_delay_asked() - Payload was taken: acknowledge it now, or soon */
void tcp_delay_asked(struct tcp *c, bool all);

/** tcp_delay_fin() - The guest's FIN was taken: the same */
void tcp_delay_fin(struct tcp *c);

/** tcp_delay_answered() - New payload, or our FIN, is on its way */
void tcp_delay_answered(struct tcp *c);

/** tcp_delay_over() - It was in vain: acknowledge now */
void tcp_delay_over(struct tcp *c);

/* tcp_out.c; negative returns are -EAGAIN (the link is full), -ENOTCONN */

/** tcp_send_ack() - A bare ACK now; stays to be done if it cannot be sent */
void tcp_send_ack(struct tcp *c);

/** tcp_challenge() - As tcp_send_ack(), rate limited (RFC 5961 7) */
void tcp_challenge(struct tcp *c);

/** tcp_send_rst() - RST of a connection; 0 or negative */
int tcp_send_rst(struct tcp *c);

/** tcp_reply_rst() - RST for a segment that belongs to no connection */
void tcp_reply_rst(struct tcp_stack *ts, const struct tcp_seg *s);

/**
 * tcp_work() - Do what is to be done for a dirty connection
 *
 * Return: 0; 1 if the budget ended it; negative if the link did
 */
int tcp_work(struct tcp *c);

/** tcp_window_init() - First window, of the SYN or SYN-ACK */
void tcp_window_init(struct tcp *c);

/* tcp_timer.c */

/** tcp_timer_fire() - The one timer of a connection */
void tcp_timer_fire(struct timer *t);

/** tcp_alive() - The guest was heard: start to wait for its next silence */
void tcp_alive(struct tcp *c);

/** tcp_timer_arm() - Make sure that the timer fires by the next deadline */
void tcp_timer_arm(struct tcp *c);

/**
 * tcp_timer_relax() - The next deadline is off: do not wake up for it
 *
 * Only for what is short.  A loop that waits for less than the kernel's tick
 * makes it program the clock, which in a virtual machine is slow.
 */
void tcp_timer_relax(struct tcp *c);

/** tcp_rto_start() - Something that wants an answer was sent */
void tcp_rto_start(struct tcp *c);

/** tcp_rto_restart() - Progress: from now on, or stop if all is answered */
void tcp_rto_restart(struct tcp *c);

/** tcp_rtx_late() - The link has room: do what the timer could not */
void tcp_rtx_late(struct tcp *c);

/** tcp_persist_start() - The window is closed, and there is data to send */
void tcp_persist_start(struct tcp *c);

/** tcp_recover() - Begin to repair a loss */
void tcp_recover(struct tcp *c, enum tcp_recovery how);

#endif /* STACK_TCP_PRIV_H */
