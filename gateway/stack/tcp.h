#ifndef STACK_TCP_H
#define STACK_TCP_H

#include <sys/types.h>

#include "base/slab.h"
#include "gateway/stack/netif.h"

/*
 * tcp - the gateway's end of the guest's TCP connections (RFC 9293)
 *
 * Theory of operation
 * -------------------
 * A connection begins with the guest's SYN.  The owner (a relay) is told by
 * @open, dials, and answers later with tcp_accept() or tcp_refuse(); until then
 * the SYN stays unanswered.  The engine keeps no payload: what the guest sends
 * goes to @recv in order, and counts as acknowledged as far as @recv took it;
 * what goes to the guest is fetched with @peek, at an offset from the first
 * unacknowledged byte, straight into the frame, and fetched again when it has
 * to be retransmitted; @acked says how much may be forgotten.  The window
 * offered to the guest is what @room says.
 *
 * Work is batched: input marks a connection as dirty, and tcp_flush() at the
 * end of the batch sends data, one acknowledgement for all of it, window
 * updates. Every call here that gives the engine something to do only marks;
 * see tcp_set_wake().  The frames are in the link then, netif_flush() is up to
 * the caller.
 *
 *	DIALLING --tcp_accept()--> SYN-RECEIVED --> ESTABLISHED --> ...
 *	         --tcp_refuse(), tcp_drop()--> CLOSED
 *
 * Toward a service in the guest the owner begins with tcp_connect(), and is told
 * by @connected; from there on there is no difference.
 *
 *	SYN-SENT --SYN-ACK--> ESTABLISHED --> ...
 *	         --SYN------> SYN-RECEIVED	(simultaneous open)
 *
 * Sending    Limited by the guest's window, the link's room and, if it is
 *            configured, a congestion window.  Frames carry
 *            up to ip_gso_max() bytes, cut by the link into segments of the
 *            guest's MSS, at most TCP_BUDGET of them per connection and flush,
 *            or what a flush has of TCP_BUDGET_BYTES if they are short.
 *            A full link stops everything until tcp_link_up().
 * Loss       Fast retransmit by duplicate ACKs or SACK (RFC 6582, 6675), else
 *            by time (RFC 6298, 200 ms to 60 s); what the guest has reported by
 *            SACK is not sent again.  A connection dies after 100 s or 15
 *            retransmissions without an answer, a SYN-ACK after 5, a SYN after
 *            7, 183 s.  A closed window is probed for as long as the guest
 *            answers.
 * Receiving  Segments that come early are kept, in a store that all connections
 *            of a stack share and that is bounded; beyond it they are dropped.
 *            What @recv did not take is dropped and comes again.
 * TIME-WAIT  10 s, in the table but without owner or timer; a new SYN gets in
 *            earlier by RFC 6191 and 1122 4.2.2.13.
 * Full table A new connection takes the place of the oldest in TIME-WAIT; else
 *            of the dial that has waited longest, or the SYN-ACK (@closed with
 *            -ECONNABORTED, the guest hears nothing, and its next SYN or ACK
 *            finds no connection); what is established is never touched.  Only
 *            then a SYN gets RST.
 * FIN-WAIT-2 Lasts as long as the guest likes, since a half-closed connection
 *            is a legal way to work; 60 s once the owner said tcp_no_recv().
 *
 * Time       Only timerq_now(); the engine runs on a virtual clock.  The
 *            netif's timerq must have room for @max_conns + 1 timers.
 * Names      Callbacks get the struct tcp; whoever keeps one across a turn
 *            keeps its slab_id and uses tcp_get().
 * Freeing    After @closed the connection is freed at the next tcp_flush(), or
 *            at once if it made room for another one, from tcp_input();
 *            @closed is called exactly once for each @open and tcp_connect(),
 *            unless tcp_refuse() or tcp_drop() came first.  It may be called from within
 *            tcp_abort().
 * Callbacks  may call anything here except tcp_flush() and tcp_stack_free().
 */

/*
 * Frames of a connection and flush: 1 starves us, 32 long ones starve ACKs.  Of
 * short ones, as many as have so many bytes: with 8 the gateway made 200 000
 * system calls for each GB of 1500-byte frames, and took 0.50 s of CPU; with 45
 * 57 000, and 0.43.  All connections of a flush share these bytes: where each of
 * eight had them, what waited left the caches, and the box took a fifth more.
 */
#define TCP_BUDGET		8
#define TCP_BUDGET_BYTES	(64 * 1024)

struct tcp;
struct tcp_stack;
struct tcp_tuple;

/** enum tcp_admit - What is to become of a SYN */
enum tcp_admit {
	TCP_ADMIT_OPEN,
	TCP_ADMIT_RST,
	TCP_ADMIT_DROP,
};

/**
 * struct tcp_ops - What the owner of connections does
 * @admit:	A SYN would begin a connection, and perhaps end another one to
 *		make room: may it? NULL: it may. If so @open follows, unless
 *		the table is full
 * @open:	A SYN that starts a connection. The owner may call tcp_accept(),
 *		tcp_refuse() or nothing yet
 * @room:	How many more bytes @recv would take now: the window
 * @recv:	Payload in order. Returns the bytes taken, fewer than offered
 *		when full (the rest comes again by retransmission, after
 *		tcp_room_changed()); negative errno resets the connection and
 *		counts as tcp_abort()
 * @recv_fin:	The guest has ended its direction; everything before it was
 *		taken
 * @peek:	Fill the pieces from @off bytes after the first unacknowledged
 *		one. Returns the bytes written; 0 if there are none now (call
 *		tcp_readable() when there are); -ENODATA at the end of the
 *		stream: a FIN goes out; another negative errno resets the
 *		connection and counts as tcp_abort(). After fewer than @len the
 *		engine asks once more, behind them, until one of those answers.
 *		@off goes back for a retransmission, and bytes that were written
 *		are not always sent
 * @acked:	The guest has acknowledged @n bytes: drop them; called once per
 *		flush, always before the next @peek
 * @established: The guest has answered the SYN-ACK; may be NULL
 * @connected:	The guest has accepted what tcp_connect() began; NULL if nobody
 *		calls that
 * @closed:	It is over: 0 after both FINs; -ECONNRESET by the guest, or
 *		-ECONNREFUSED if that was its answer to tcp_connect();
 *		-ECONNABORTED by tcp_abort(), or because a callback failed;
 *		-ETIMEDOUT
 */
struct tcp_ops {
	enum tcp_admit (*admit)(void *arg, const struct tcp_tuple *tuple);
	void (*open)(void *arg, struct tcp *c);
	size_t (*room)(void *arg, struct tcp *c);
	ssize_t (*recv)(void *arg, struct tcp *c, const struct iovec *iov,
			int n, size_t len);
	void (*recv_fin)(void *arg, struct tcp *c);
	ssize_t (*peek)(void *arg, struct tcp *c, size_t off,
			const struct iovec *iov, int n, size_t len);
	void (*acked)(void *arg, struct tcp *c, size_t n);
	void (*established)(void *arg, struct tcp *c);
	void (*connected)(void *arg, struct tcp *c);
	void (*closed)(void *arg, struct tcp *c, int why);
};

/** enum tcp_cong - Congestion control toward the guest (RFC 5681) */
enum tcp_cong {
	TCP_CONG_NONE,		/* the guest's window alone limits us */
	TCP_CONG_RENO,
};

/**
 * struct tcp_conf - Sizes and choices
 * @max_conns:	Table size; see "Full table"
 * @max_window:	Largest window offered, bytes (4 MiB: 256 KiB to 16 MiB measured
 *		alike on a local link)
 * @keepalive_s: Probe a silent guest after so many seconds (RFC 9293 3.8.4); 0
 *		is never
 */
struct tcp_conf {
	uint32_t max_conns;
	uint32_t max_window;
	uint32_t keepalive_s;
	enum tcp_cong congestion;
};

/**
 * struct tcp_tuple - Who talks to whom; ports in host order
 * @guest:	The guest's address
 * @peer:	The address that the guest connected to
 */
struct tcp_tuple {
	struct ipaddr guest, peer;
	uint16_t guest_port, peer_port;
};

/** tcp_stack_new() - Take over NETIF_L4_TCP of @n; NULL if memory is short */
struct tcp_stack *tcp_stack_new(struct netif *n, const struct tcp_conf *conf,
				const struct tcp_ops *ops, void *arg);

/** tcp_stack_free() - Forget every connection, silently, without callbacks */
void tcp_stack_free(struct tcp_stack *ts);

/**
 * tcp_set_wake() - Be told when there is something to flush
 * @wake:	Called when the list of dirty connections becomes non-empty,
 *		from within whatever call or timer did it: arrange for
 *		tcp_flush() at the end of this turn. NULL, the default, tells
 *		nobody
 */
void tcp_set_wake(struct tcp_stack *ts, void (*wake)(void *arg), void *arg);

/** tcp_tuple() - Addresses and ports of a connection; borrowed */
const struct tcp_tuple *tcp_tuple(const struct tcp *c);

/** tcp_id() - Name that outlives the connection */
struct slab_id tcp_id(const struct tcp *c);

/** tcp_get() - Resolve; NULL if it is gone or closed */
struct tcp *tcp_get(struct tcp_stack *ts, struct slab_id id);

/** tcp_srtt_us() - Smoothed round trip to the guest; 0 if none was measured */
uint32_t tcp_srtt_us(const struct tcp *c);

/**
 * tcp_turn() - What @c may send in a flush, for an owner that fetches ahead
 * @off:	As of @peek
 *
 * Return: bytes from @off on, in whole segments; 0 if that is less than one
 */
size_t tcp_turn(const struct tcp *c, size_t off);

/** tcp_user() - The owner's pointer, NULL at first; tcp_set_user() sets it */
void *tcp_user(const struct tcp *c);
void tcp_set_user(struct tcp *c, void *user);

/** tcp_syn_header() - First 8 bytes of the guest's SYN, for an ICMP error */
void tcp_syn_header(const struct tcp *c, uint8_t out[static 8]);

/**
 * tcp_connect() - Open a connection to the guest
 * @tuple:	@peer is whom the guest sees, and @guest where it listens. It is
 *		up to the caller that @peer is an address that the guest answers
 * @user:	For tcp_user()
 * @err:	Set if there is no connection: -EADDRINUSE if the table has this
 *		tuple, in TIME-WAIT perhaps; -ENOBUFS if it is full
 *
 * Then @connected, or @closed with -ECONNREFUSED or, after 183 s of silence,
 * -ETIMEDOUT; tcp_abort() ends the waiting, without a RST while there was no
 * answer.
 *
 * Return: the connection, SYN-SENT; NULL with @err set
 */
struct tcp *tcp_connect(struct tcp_stack *ts, const struct tcp_tuple *tuple,
			void *user, int *err);

/** tcp_accept() - Answer the SYN: the upstream side is connected */
void tcp_accept(struct tcp *c);

/** tcp_refuse() - Answer the SYN with RST; @closed is not called */
void tcp_refuse(struct tcp *c);

/** tcp_drop() - Forget an unanswered SYN silently; @closed is not called */
void tcp_drop(struct tcp *c);

/** tcp_readable() - @peek may have data, or the end of the stream, again */
void tcp_readable(struct tcp *c);

/** tcp_room_changed() - @room may say more than before: update the window */
void tcp_room_changed(struct tcp *c);

/** tcp_abort() - RST to the guest, forget; @closed(-ECONNABORTED) is called */
void tcp_abort(struct tcp *c);

/**
 * tcp_no_recv() - The owner takes no more
 *
 * @recv and @recv_fin are not called again; payload that comes is answered by
 * RST (RFC 9293 3.6.1), and FIN-WAIT-2 ends after 60 s with -ETIMEDOUT.
 */
void tcp_no_recv(struct tcp *c);

/**
 * tcp_flush() - End of a batch: do the work of every dirty connection
 *
 * Return: whether work is left that the link has room for: some connection has
 *	   used up its budget. Call again in the next turn, after its input
 */
bool tcp_flush(struct tcp_stack *ts);

/**
 * tcp_link_up() - The link came back, or has room again: send what waits
 *
 * Only marks, like everything else: tcp_flush() sends.  After a time without a
 * link everything unacknowledged is retransmitted, without waiting for timers.
 */
void tcp_link_up(struct tcp_stack *ts);

/** tcp_count() - Connections in the table, those in TIME-WAIT included */
uint32_t tcp_count(const struct tcp_stack *ts);

/** tcp_each() - Call @fn for every connection that is not closed */
void tcp_each(struct tcp_stack *ts, void (*fn)(void *arg, struct tcp *c),
	      void *arg);

/** tcp_state_name() - "ESTABLISHED", ... of RFC 9293 3.3.2; and "DIALLING" */
const char *tcp_state_name(const struct tcp *c);

#endif /* STACK_TCP_H */
