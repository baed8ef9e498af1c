#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "gateway/relay/dns_priv.h"

/* #syscalls connect sendto recvfrom getsockopt getrandom close */

/*
 * The side of dns_fwd that asks the host's resolvers.  Each job has its own
 * socket, connected to the server it asks, so that its port is random and the
 * kernel drops what comes from elsewhere (RFC 5452).
 */

#define BAD_ANSWERS_MAX	16	/* datagrams looked at in one turn */

COUNT(dns_up_failover, "DNS queries moved to the next server");
COUNT(dns_up_failed, "DNS queries that no server answered");
COUNT(drop_dns_answer, "Messages of DNS servers that answer nothing we asked");

static void up_ready(struct ev_src *src, uint32_t events);

static unsigned int server_count(const struct dns_job *j)
{
	return j->direct ? 1 : j->d->cfg.nservers;
}

static const struct dns_server *server(const struct dns_job *j)
{
	return j->direct ? &j->direct_to : &j->d->cfg.server[j->server];
}

static int up_open(struct dns_job *j)
{
	const struct dns_server *s = server(j);
	struct sockaddr_storage ss;
	socklen_t len = ipaddr_to_sa(&s->addr, s->port, &ss);
	int fd = socket(ss.ss_family, (j->tcp ? SOCK_STREAM : SOCK_DGRAM) |
			SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&ss, len) < 0 &&
	    errno != EINPROGRESS) {
		rc = -errno;
		close(fd);
		return rc;
	}
	j->src = (struct ev_src){ .fd = fd, .ready = up_ready };
	rc = ev_add(j->d->ev, &j->src, j->tcp ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (rc < 0)
		fd_close(&j->src.fd);
	return rc;
}

static int up_ask(struct dns_job *j)
{
	int rc;

	if (getrandom(&j->id, sizeof(j->id), 0) != (ssize_t)sizeof(j->id))
		return -EIO;
	j->msg[2] = (uint8_t)(j->id >> 8);
	j->msg[3] = (uint8_t)j->id;
	j->msg_sent = 0;
	j->ans_len = 0;
	rc = up_open(j);
	if (rc < 0)
		return rc;
	timer_set(ev_timerq(j->d->ev), &j->timer,
		  ev_now(j->d->ev) + j->d->cfg.timeout_ms * NS_PER_MS);
	if (!j->tcp && send(j->src.fd, j->msg + 2, j->msg_len - 2,
			    MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static void up_close(struct dns_job *j)
{
	timer_del(ev_timerq(j->d->ev), &j->timer);
	ev_del(j->d->ev, &j->src);
	fd_close(&j->src.fd);
}

/* So that the client need not wait */
void dns_up_give_up(struct dns_job *j)
{
	uint8_t head[DNS_HDR_LEN + DNS_QUESTION_MAX];
	struct wr w = wr_init(head, sizeof(head));
	const uint16_t flags = (uint16_t)(j->msg[4] << 8 | j->msg[5]);
	const struct dns_msg m = {
		.id = j->guest_id,
		.flags = DNS_F_QR | DNS_F_RA | (flags & DNS_F_RD),
		.rcode = DNS_RCODE_SERVFAIL,
		.count = { 1 },
	};

	dns_msg_emit(&m, &w);
	wr_bytes(&w, j->question, j->qlen);
	dns_answer(j->d, j, (struct span){ .p = head, .len = wr_len(&w) });
	dns_job_end(j);
}

/* Ask the servers from @j->server on, until one can be asked */
static void ask_from(struct dns_job *j)
{
	for (; j->server < server_count(j); j->server++) {
		if (up_ask(j) == 0)
			return;
		up_close(j);
	}
	count_inc(dns_up_failed);
	dns_up_give_up(j);
}

static void next_server(struct dns_job *j)
{
	up_close(j);
	j->server++;
	if (j->server < server_count(j))
		count_inc(dns_up_failover);
	ask_from(j);
}

static void on_timeout(struct timer *t)
{
	next_server(container_of(t, struct dns_job, timer));
}

/* Whether @msg answers what was asked, with the id that was chosen for it */
static bool answers(const struct dns_job *j, struct span msg)
{
	const struct span asked = { .p = j->msg + 2, .len = j->msg_len - 2 };
	struct dns_query q;

	return dns_parse_query(asked, &q) == 0 &&
	       dns_check_answer(msg, &q) == 0;
}

void dns_up_deliver(struct dns_job *j)
{
	const struct span msg = { .p = j->ans + 2, .len = j->ans_len - 2 };

	if (dns_answer(j->d, j, msg) != -EAGAIN)
		dns_job_end(j);
}

static void udp_ready(struct dns_job *j)
{
	struct dns_fwd *d = j->d;
	struct span msg = { .p = d->buf };
	ssize_t n;

	for (int i = 0; i < BAD_ANSWERS_MAX; i++) {
		n = recv(j->src.fd, d->buf, DNS_MSG_MAX, MSG_DONTWAIT);
		if (n < 0) {
			if (errno != EAGAIN)
				next_server(j);
			return;
		}
		msg.len = (size_t)n;
		if (!answers(j, msg)) {
			count_inc(drop_dns_answer);
			continue;
		}
		d->buf[0] = (uint8_t)(j->guest_id >> 8);
		d->buf[1] = (uint8_t)j->guest_id;
		dns_answer(d, j, msg);
		dns_job_end(j);
		return;
	}
}

/* Bytes of the answer that are still missing, as far as we can tell */
static size_t tcp_want(const struct dns_job *j)
{
	size_t total = 2;

	if (j->ans_len >= 2)
		total += (size_t)j->ans[0] << 8 | j->ans[1];
	return total - j->ans_len;
}

static int tcp_read(struct dns_job *j)
{
	if (!j->ans)
		j->ans = malloc(2 + DNS_MSG_MAX);
	if (!j->ans)
		return -ENOMEM;
	while (tcp_want(j)) {
		ssize_t n = recv(j->src.fd, j->ans + j->ans_len, tcp_want(j),
				 MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -ECONNRESET;
		j->ans_len += (size_t)n;
	}
	if (!answers(j, (struct span){ .p = j->ans + 2,
				       .len = j->ans_len - 2 })) {
		count_inc(drop_dns_answer);
		return -EBADMSG;
	}
	return 0;
}

static int tcp_write(struct dns_job *j)
{
	ssize_t n = send(j->src.fd, j->msg + j->msg_sent,
			 j->msg_len - j->msg_sent, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	j->msg_sent += (size_t)n;
	return j->msg_sent < j->msg_len ? 0 :
	       ev_mod(j->d->ev, &j->src, EPOLLIN);
}

static void tcp_ready(struct dns_job *j, uint32_t events)
{
	int rc = 0;

	if (events & EPOLLOUT && j->msg_sent < j->msg_len)
		rc = tcp_write(j);
	if (rc == 0 && events & ~(uint32_t)EPOLLOUT)
		rc = tcp_read(j);
	else if (rc == 0)
		return;
	if (rc == -EAGAIN)
		return;
	if (rc < 0) {
		next_server(j);
		return;
	}
	up_close(j);
	j->ans[2] = (uint8_t)(j->guest_id >> 8);
	j->ans[3] = (uint8_t)j->guest_id;
	j->done = true;
	dns_up_deliver(j);
}

static void up_ready(struct ev_src *src, uint32_t events)
{
	struct dns_job *j = container_of(src, struct dns_job, src);

	if (j->dead)
		return;
	if (j->tcp)
		tcp_ready(j, events);
	else
		udp_ready(j);
}

void dns_up_start(struct dns_job *j)
{
	j->timer.fire = on_timeout;
	j->server = 0;
	ask_from(j);
}
