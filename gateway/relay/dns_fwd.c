#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "gateway/relay/dns_priv.h"

#define ALIAS_TTL_S	60
#define REPLY_MAX	1024	/* head, question, one record, OPT */
/* A query costs 30 us in all: 4000 a second are an eighth of a processor */
#define QUERIES_PER_S	4000

COUNT(dns_query, "DNS queries of the guest");
COUNT(dns_query_denied, "DNS queries that the policy denied");
COUNT(dns_query_local, "DNS queries answered by the gateway itself");
COUNT(drop_dns_malformed, "DNS messages of the guest that deserve no answer");
COUNT(drop_dns_too_long, "DNS queries longer than 4096 bytes");
COUNT(dns_query_evicted, "DNS queries that made room for newer ones");
COUNT(drop_dns_rate, "DNS queries not asked: too many a second");
COUNT(drop_dns_link, "DNS answers lost: link full");

/* ---- answers -------------------------------------------------------------- */

static int answer_udp(struct dns_fwd *d, const struct dns_job *who,
		      struct span msg)
{
	uint8_t cut[REPLY_MAX];
	struct wr w = wr_init(cut, sizeof(cut));
	struct iovec iov = { .iov_base = (void *)(uintptr_t)msg.p,
			     .iov_len = msg.len };
	int n;

	if (msg.len > who->payload) {
		n = dns_truncate(msg, &w);
		if (n < 0)
			return 0;
		iov = (struct iovec){ .iov_base = cut, .iov_len = (size_t)n };
	}
	if (udp_send(d->udp, &who->dst, DNS_PORT, &who->guest, who->gport,
		     &iov, 1) < 0)
		count_inc(drop_dns_link);
	return 0;
}

int dns_answer(struct dns_fwd *d, const struct dns_job *who, struct span msg)
{
	return who->tcp ? dns_conn_answer(d, who->conn, msg) :
			  answer_udp(d, who, msg);
}

static int reply(struct dns_fwd *d, const struct dns_job *who,
		 const struct dns_query *q, int rcode, bool aa,
		 const struct ipaddr *addr)
{
	uint8_t buf[REPLY_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	int n = dns_emit_reply(q, rcode, aa, addr, ALIAS_TTL_S, &w);

	if (n < 0)
		return 0;
	count_inc(dns_query_local);
	return dns_answer(d, who, (struct span){ .p = buf, .len = (size_t)n });
}

/* ---- decisions ------------------------------------------------------------ */

static bool is_addr(const struct dns_query *q)
{
	return q->qclass == DNS_CLASS_IN &&
	       (q->qtype == DNS_TYPE_A || q->qtype == DNS_TYPE_AAAA);
}

/* The family that is asked for is not active: no address of it is of any use */
static bool inactive(const struct dns_fwd *d, const struct dns_query *q)
{
	return is_addr(q) && !(q->qtype == DNS_TYPE_A ? d->dial->v4 :
						       d->dial->v6);
}

/**
 * local() - Answer what the gateway knows by itself
 *
 * Return: true if it did
 */
static bool local(struct dns_fwd *d, const struct dns_job *who,
		  const struct dns_query *q)
{
	const struct ipaddr *addr = NULL;

	if (q->opcode) {
		reply(d, who, q, DNS_RCODE_NOTIMP, false, NULL);
		return true;
	}
	if (!policy_dns(d->dial->policy, who->tcp ? POLICY_PROTO_TCP :
						    POLICY_PROTO_UDP).allow) {
		count_inc(dns_query_denied);
		reply(d, who, q, DNS_RCODE_NXDOMAIN, false, NULL);
		return true;
	}
	if (inactive(d, q)) {
		reply(d, who, q, DNS_RCODE_OK, false, NULL);
		return true;
	}
	if (!d->cfg.alias || !dns_name_eq(q->qname, d->cfg.alias))
		return false;
	/* Other types have no records; asking upstream would tell the name */
	if (is_addr(q))
		addr = q->qtype == DNS_TYPE_A ? &d->dial->gw4 : &d->dial->gw6;
	reply(d, who, q, DNS_RCODE_OK, true, addr);
	return true;
}

/* A resolver that the guest chose itself: asked if the policy allows it */
static int choose_direct(struct dns_fwd *d, struct dns_job *j)
{
	struct dial_target to;

	if (dial_is_host(d->dial, &j->dst))
		return 0;
	if (dial_resolve(d->dial, &j->dst, DNS_PORT, j->tcp ? POLICY_PROTO_TCP :
			 POLICY_PROTO_UDP, false, &to) < 0)
		return -EACCES;
	j->direct = true;
	j->direct_to.addr = to.addr[0];
	j->direct_to.port = DNS_PORT;
	return 0;
}

static void reap(struct ev_task *t)
{
	struct dns_fwd *d = container_of(t, struct dns_fwd, reap);

	while (d->dead) {
		struct dns_job *j = d->dead;

		d->dead = j->dead_next;
		slab_del(&d->jobs, j);
	}
}

/*
 * Full: the one that has waited longest gives up its place, since a resolver
 * that answers at all has done so by then.  Whoever asked is told, and does not
 * wait any longer.
 */
static struct dns_job *job_new(struct dns_fwd *d)
{
	struct dns_job *j = slab_new(&d->jobs);

	if (!j && !d->dead) {
		count_inc(dns_query_evicted);
		d->evicting = true;
		dns_up_give_up(d->oldest);
		d->evicting = false;
	}
	if (!j) {
		reap(&d->reap);		/* no handler touches those any more */
		j = slab_new(&d->jobs);
	}
	ASSERT(j);
	j->d = d;
	j->older = d->newest;
	*(d->newest ? &d->newest->newer : &d->oldest) = j;
	d->newest = j;
	return j;
}

static int forward(struct dns_fwd *d, struct span msg,
		   const struct dns_job *tmpl, const struct dns_query *q)
{
	struct dns_job *j;

	ASSERT(q->question.len <= DNS_QUESTION_MAX);	/* it has no pointers */
	if (!dial_rate_take(&d->rate, ev_now(d->ev))) {
		count_inc(drop_dns_rate);
		if (tmpl->tcp)
			return reply(d, tmpl, q, DNS_RCODE_SERVFAIL, false,
				     NULL);
		return 0;	/* the client asks again */
	}
	j = job_new(d);
	j->src.fd = -1;
	j->tcp = tmpl->tcp;
	j->conn = tmpl->conn;
	j->guest = tmpl->guest;
	j->dst = tmpl->dst;
	j->gport = tmpl->gport;
	j->payload = tmpl->payload;
	j->guest_id = q->id;
	j->qlen = q->question.len;
	memcpy(j->question, q->question.p, j->qlen);
	j->msg[0] = (uint8_t)(msg.len >> 8);
	j->msg[1] = (uint8_t)msg.len;
	memcpy(j->msg + 2, msg.p, msg.len);
	j->msg_len = msg.len + 2;
	if (j->tcp)
		dns_conn_job(d, j->conn, 1);
	if (choose_direct(d, j) < 0) {
		count_inc(dns_query_denied);
		reply(d, j, q, DNS_RCODE_NXDOMAIN, false, NULL);
		dns_job_end(j);
		return 0;
	}
	dns_up_start(j);
	return 0;
}

int dns_handle(struct dns_fwd *d, struct span msg, const struct dns_job *tmpl)
{
	struct dns_job who = { .tcp = tmpl->tcp, .conn = tmpl->conn,
			       .guest = tmpl->guest, .dst = tmpl->dst,
			       .gport = tmpl->gport, .payload = DNS_UDP_MAX };
	struct dns_query q;
	int rc;

	/* Its records are not looked at: 64 KiB of them can take 2 ms */
	if (msg.len > DNS_QUERY_MAX) {
		count_inc(drop_dns_too_long);
		msg.len = DNS_HDR_LEN;
	}
	rc = dns_parse_query(msg, &q);
	if (rc == -EBADMSG) {
		count_inc(drop_dns_malformed);
		return rc;
	}
	count_inc(dns_query);
	if (rc < 0)
		return reply(d, &who, &q, DNS_RCODE_FORMERR, false, NULL);
	who.payload = q.payload;
	return local(d, &who, &q) ? 0 : forward(d, msg, &who, &q);
}

void dns_fwd_input(struct dns_fwd *d, const struct udp_dgram *q)
{
	const struct dns_job tmpl = { .guest = q->src, .dst = q->dst,
				      .gport = q->sport };
	size_t step = q->gso_size ? q->gso_size : MAX(q->len, (size_t)1);

	/* What is judged is a copy: guest memory may change under our feet */
	for (size_t off = 0; off < q->len; off += step) {
		size_t n = iov_copy_out(q->iov, q->n, off, d->buf,
					MIN(step, q->len - off));

		dns_handle(d, (struct span){ .p = d->buf, .len = n }, &tmpl);
	}
}

/* ---- */

void dns_job_end(struct dns_job *j)
{
	const struct slab_id conn = j->conn;
	struct dns_fwd *d = j->d;
	const bool tcp = j->tcp;

	if (j->dead)
		return;
	j->dead = true;
	*(j->newer ? &j->newer->older : &d->newest) = j->older;
	*(j->older ? &j->older->newer : &d->oldest) = j->newer;
	timer_del(ev_timerq(d->ev), &j->timer);
	ev_del(d->ev, &j->src);
	fd_close(&j->src.fd);
	free(j->ans);
	j->ans = NULL;
	j->dead_next = d->dead;
	d->dead = j;
	ev_defer(d->ev, &d->reap);
	if (tcp)
		dns_conn_job(d, conn, -1);	/* the next one may take @j */
}

struct dns_fwd *dns_fwd_new(struct ev *ev, struct udp *udp,
			    const struct dial *dial,
			    const struct dns_fwd_cfg *cfg)
{
	struct dns_fwd *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->ev = ev;
	d->udp = udp;
	d->dial = dial;
	d->cfg = *cfg;
	d->reap.run = reap;
	dial_rate_init(&d->rate, QUERIES_PER_S, cfg->max_queries);
	d->buf = malloc(DNS_MSG_MAX);
	if (d->buf && slab_init(&d->jobs, sizeof(struct dns_job),
				cfg->max_queries) == 0) {
		if (dns_conns_init(d) == 0)
			return d;
		slab_done(&d->jobs);
	}
	free(d->buf);
	free(d);
	errno = ENOMEM;
	return NULL;
}

void dns_fwd_free(struct dns_fwd *d)
{
	for (uint32_t i = 0; i < d->jobs.cap; i++) {
		struct dns_job *j = slab_at(&d->jobs, i);

		if (j)
			dns_job_end(j);
	}
	ev_undefer(d->ev, &d->reap);
	reap(&d->reap);
	dns_conns_done(d);
	slab_done(&d->jobs);
	free(d->buf);
	free(d);
}

void dns_fwd_set_servers(struct dns_fwd *d, const struct dns_server *s,
			 unsigned int n)
{
	d->cfg.nservers = MIN(n, DNS_SERVERS_MAX);
	memcpy(d->cfg.server, s, d->cfg.nservers * sizeof(*s));
}
