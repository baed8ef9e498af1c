#ifndef RELAY_DNS_PRIV_H
#define RELAY_DNS_PRIV_H

#include "base/ring.h"
#include "base/slab.h"
#include "gateway/relay/dns_fwd.h"
#include "gateway/wire/dns.h"

/* dns_priv - shared by dns_fwd.c, dns_up.c and dns_tcp.c, nobody else's */

#define DNS_PORT	53
#define DNS_QUERY_MAX	4096	/* a longer query is refused */
#define DNS_QUESTION_MAX (DNS_NAME_MAX + 4)
#define DNS_CONN_QUERIES 16	/* pipelined on one of them */

struct dns_conn;

/**
 * struct dns_job - One query on its way
 * @conn:	TCP: who asked; goes stale with the connection
 * @guest:	UDP: who asked, and whom
 * @msg:	The query with two bytes of length in front, as for TCP
 * @ans:	TCP: the answer with its length; allocated on first use, owned
 * @done:	The answer is complete and waits for room
 * @newer, @older: In the order in which they began, while not @dead
 */
struct dns_job {
	struct dns_fwd *d;
	struct ev_src src;
	struct timer timer;
	struct slab_id conn;
	struct ipaddr guest, dst;
	uint16_t gport;
	bool tcp, direct, done, dead;
	struct dns_server direct_to;
	unsigned int server;
	uint16_t guest_id, id, payload;
	uint8_t question[DNS_QUESTION_MAX];
	size_t qlen;
	uint8_t msg[2 + DNS_QUERY_MAX];
	size_t msg_len, msg_sent;
	uint8_t *ans;
	size_t ans_len;
	struct dns_job *dead_next, *newer, *older;
};

struct dns_fwd {
	struct ev *ev;
	struct udp *udp;
	const struct dial *dial;
	struct dns_fwd_cfg cfg;
	struct slab jobs, conns;
	struct dns_job *dead, *newest, *oldest;
	bool evicting;			/* no job begins meanwhile */
	struct ev_task reap;
	struct dial_rate rate;
	uint8_t *buf;			/* one message of the largest size */
};

/**
 * dns_handle() - One query of the guest, by either transport
 * @tmpl:	Who asks: transport, addresses or connection
 *
 * The answer comes by dns_answer(), perhaps at once.
 *
 * Return: 0; -EBADMSG if it deserves no answer
 */
int dns_handle(struct dns_fwd *d, struct span msg, const struct dns_job *tmpl);

/** dns_answer() - Bring a message to whoever asked
 *
 * Return: 0; -EAGAIN if a connection has no room: ask again after dns_conn_room
 */
int dns_answer(struct dns_fwd *d, const struct dns_job *who, struct span msg);

/** dns_up_start() - Send a job to its first server; it lives on by itself */
void dns_up_start(struct dns_job *j);

/** dns_up_deliver() - Try again to deliver a job that is @done */
void dns_up_deliver(struct dns_job *j);

/** dns_up_give_up() - Answer SERVFAIL, and forget the job */
void dns_up_give_up(struct dns_job *j);

/** dns_job_end() - Forget a job: it may be another one's from here on */
void dns_job_end(struct dns_job *j);

/** dns_conn_answer() - Queue an answer on a connection; 0 or -EAGAIN */
int dns_conn_answer(struct dns_fwd *d, struct slab_id conn, struct span msg);

/** dns_conn_job() - A job of this connection has begun (+1) or ended (-1) */
void dns_conn_job(struct dns_fwd *d, struct slab_id conn, int delta);

/** dns_conns_init() - Room for the guest's connections; 0 or -ENOMEM */
int dns_conns_init(struct dns_fwd *d);

/** dns_conns_done() - Release them */
void dns_conns_done(struct dns_fwd *d);

#endif /* RELAY_DNS_PRIV_H */
