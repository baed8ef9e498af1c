#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "gateway/links.h"
#include "gateway/transport/vhost_user.h"
#include "link/framed.h"
#include "link/pcap.h"
#include "link/tap.h"
#include "proto/ports.h"

/* #syscalls accept4 getsockopt setsockopt getpeername dup */

#define PEERS_MAX	4	/* one runs, the others have yet to say who they are */
#define ACCEPT_BUDGET	8
#define ACCEPT_REST	(100 * NS_PER_MS)
/*
 * Several records of 64 KiB a write: 128 to 512 KiB were equally fast over a Unix
 * socket, 1 MiB cost a fifth.  SO_SNDBUF stays as it is: 2 MiB cost two fifths.
 */
#define STREAM_BUF	(256u * 1024)
#define PCAP_SNAPLEN	65549	/* whole frames */

COUNT(link_accepted, "Peers that connected");
COUNT(link_up, "Links that came up");
COUNT(link_replaced, "Links replaced by a hello with the token");
COUNT(link_evicted, "Peers that said nothing, ended to make room for another");
COUNT(drop_link_token, "Hellos refused: token missing or wrong");
COUNT(drop_link_busy, "Peers refused: another one is connected");
COUNT(drop_link_bare, "Bare peers refused: this sandbox has a token");
COUNT(drop_link_cid, "vsock peers refused: not the configured CID");

/**
 * struct peer - Whoever connected
 * @sfd:	Its stream, if it came by a socket
 * @top:	Outermost of framed, fault, pcap: what the netif uses; NULL while
 *		it waits
 */
struct peer {
	struct links *links;
	struct stream_fd sfd;
	struct framed framed;
	struct tap tap;
	struct fault *fault;
	struct pcap *pcap;
	struct link *base, *top;
	struct ev_task reap;
	uint32_t serial;
	bool dead;
};

enum token_state {
	TOKEN_STATE_NONE,
	TOKEN_STATE_KEEPING,	/* the monitor has yet to say that it has it */
	TOKEN_STATE_KEPT,	/* but no peer has heard it */
	TOKEN_STATE_TOLD,
};

struct links {
	struct ev *ev;
	struct links_cfg cfg;
	enum token_state token_state;
	struct ev_src listener;
	struct timer rest;
	struct vhost_user *vu;
	struct peer *peer[PEERS_MAX];
	struct peer *running;
	uint32_t serial;
	int pcap_fd;
};

/* ---- leaving -------------------------------------------------------------- */

static void peer_free(struct peer *p)
{
	struct links *l = p->links;

	if (l->running == p) {
		l->running = NULL;
		netif_detach(l->cfg.netif);
	}
	if (p->pcap)
		pcap_free(p->pcap);
	if (p->fault)
		fault_free(p->fault);
	if (p->base)
		link_close(p->base);
	ev_undefer(l->ev, &p->reap);
	for (unsigned int i = 0; i < PEERS_MAX; i++)
		if (l->peer[i] == p)
			l->peer[i] = NULL;
	free(p);
}

static void peer_reap(struct ev_task *t)
{
	peer_free(container_of(t, struct peer, reap));
}

/* Nothing is freed before the end of the turn: a handler may still hold it */
static void peer_end(struct peer *p)
{
	struct links *l = p->links;

	if (p->dead)
		return;
	p->dead = true;
	if (l->running == p) {
		l->running = NULL;
		netif_detach(l->cfg.netif);
	}
	ev_defer(l->ev, &p->reap);
}

static const char *why_text(int why)
{
	return why == -ECONNRESET ? "the peer closed it" :
	       why == -ETIMEDOUT ? "nothing heard for too long" :
	       why == -EMSGSIZE ? "a record of impossible length" :
	       strerror(-why);
}

/* A guest may come and go as often as it likes, and the log is the host's */
static bool may_say(enum log_level level)
{
	static struct log_limit limit = { .burst = 20 };

	return log_enabled(level) && log_ratelimit(&limit);
}

static void peer_down(struct link *link, int why)
{
	struct peer *p = link->owner;

	if (!p->top && !p->framed.asked)
		log_debug("peer gone before its link was up: %s",
			  why_text(why));
	else if (!p->top && may_say(LOG_LEVEL_WARN))
		log_warn("peer gone before the monitor had kept the token: %s",
			 why_text(why));
	else if (p->top && may_say(LOG_LEVEL_INFO))
		log_info("link down: %s", why_text(why));
	peer_end(p);
}

/* ---- coming up ------------------------------------------------------------ */

/* Every byte is looked at, wherever the first difference is */
static bool token_equal(const uint8_t *a, const uint8_t *b)
{
	unsigned int diff = 0;

	for (size_t i = 0; i < HELLO_TOKEN_LEN; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

static int token_make(struct links *l)
{
	int rc;

	if (getrandom(l->cfg.token, HELLO_TOKEN_LEN, 0) != HELLO_TOKEN_LEN)
		return -EIO;
	rc = l->cfg.on_token(l->cfg.arg, l->cfg.token);
	if (rc < 0) {
		log_err("the token could not be kept: %s", strerror(-rc));
		return rc;
	}
	l->token_state = TOKEN_STATE_KEEPING;
	return 0;
}

/* Those that wait come in the order of their slots, not of their hellos */
void links_token_kept(struct links *l)
{
	if (l->token_state != TOKEN_STATE_KEEPING)
		return;
	l->token_state = TOKEN_STATE_KEPT;
	for (unsigned int i = 0; i < PEERS_MAX; i++)
		if (l->peer[i] && !l->peer[i]->dead)
			framed_hello_again(&l->peer[i]->framed);
}

static int on_hello(struct framed *f, const struct hello *in,
		    struct hello *answer)
{
	static struct log_limit limit = { .burst = 3 };
	struct links *l = ((struct peer *)f->link.owner)->links;
	const struct gw_conf *c = l->cfg.conf;
	int rc;

	if (l->token_state == TOKEN_STATE_TOLD &&
	    !token_equal(in->token, l->cfg.token)) {
		count_inc(drop_link_token);
		if (log_ratelimit(&limit))
			log_warn("refused a hello %s", hello_has_token(in) ?
				 "with a wrong token" : "without the token");
		return -EACCES;
	}
	if (l->token_state == TOKEN_STATE_NONE) {
		rc = token_make(l);
		if (rc < 0)
			return rc;
	}
	if (l->token_state == TOKEN_STATE_KEEPING)
		return -EINPROGRESS;
	answer->version = HELLO_VERSION;
	answer->features = c->no_offload ? 0 : HELLO_F_ALL;
	answer->mtu = c->net.mtu;
	memcpy(answer->mac, c->net.mac, sizeof(answer->mac));
	memcpy(answer->boot_id, in->boot_id, sizeof(answer->boot_id));
	memcpy(answer->token, l->cfg.token, sizeof(answer->token));
	if (in->mtu && in->mtu != c->net.mtu && may_say(LOG_LEVEL_WARN))
		log_warn("the guest's MTU is %u, ours is %u: give both the "
			 "same", in->mtu, c->net.mtu);
	return 0;
}

/* Put --fault and --pcap around the link, then hand it to the netif */
static void peer_run(struct peer *p)
{
	struct links *l = p->links;
	const struct gw_conf *c = l->cfg.conf;

	p->top = p->base;
	if (c->fault_on) {
		p->fault = fault_new(p->top, ev_timerq(l->ev), &c->fault);
		if (p->fault)
			p->top = fault_link(p->fault);
	}
	if (l->pcap_fd >= 0) {
		/* Each link has its own wrapper; the file goes on */
		int fd = dup(l->pcap_fd);

		p->pcap = fd < 0 ? NULL : pcap_new(p->top, fd, PCAP_SNAPLEN);
		if (p->pcap)
			p->top = pcap_link(p->pcap);
		else
			fd_close(&fd);
	}
	p->top->owner = p;
	p->top->down = peer_down;
	l->running = p;
	count_inc(link_up);
	netif_attach(l->cfg.netif, p->top);
}

static void on_up(struct framed *f)
{
	struct peer *p = f->link.owner;
	struct links *l = p->links;
	bool bare = f->state == FRAMED_STATE_BARE;

	bool token = l->token_state != TOKEN_STATE_NONE;

	if (bare && (token || l->running)) {
		if (token)
			count_inc(drop_link_bare);
		else
			count_inc(drop_link_busy);
		link_down(&f->link, -EACCES);
		return;
	}
	if (l->running) {
		count_inc(link_replaced);
		if (may_say(LOG_LEVEL_INFO))
			log_info("link replaced by a new hello of the guest");
		peer_end(l->running);
	}
	if (!bare)		/* the answer with it went out */
		l->token_state = TOKEN_STATE_TOLD;
	peer_run(p);
	if (!may_say(LOG_LEVEL_INFO))
		return;
	log_info("link up: %s, offloads toward the guest:%s%s%s%s%s",
		 bare ? "bare frames" : "native",
		 f->link.can_send & LINK_F_CSUM ? " csum" : " none",
		 f->link.can_send & LINK_F_TSO4 ? " tso4" : "",
		 f->link.can_send & LINK_F_TSO6 ? " tso6" : "",
		 f->link.can_send & LINK_F_USO4 ? " uso4" : "",
		 f->link.can_send & LINK_F_USO6 ? " uso6" : "");
}

/*
 * Of those that have not said who they are, the one that came first goes: silent
 * peers cannot keep the agent out
 */
static void evict(struct links *l)
{
	struct peer *oldest = NULL;

	for (unsigned int i = 0; i < PEERS_MAX; i++) {
		struct peer *p = l->peer[i];

		if (p && !p->top && !p->dead &&
		    (!oldest || (int32_t)(p->serial - oldest->serial) < 0))
			oldest = p;
	}
	count_inc(link_evicted);
	if (oldest)
		peer_free(oldest);	/* no handler of it is running */
}

static struct peer *peer_new(struct links *l)
{
	unsigned int i = 0;
	struct peer *p;

	while (i < PEERS_MAX && l->peer[i])
		i++;
	if (i == PEERS_MAX) {
		evict(l);
		for (i = 0; i < PEERS_MAX && l->peer[i]; i++)
			;
	}
	if (i == PEERS_MAX)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->links = l;
	p->serial = l->serial++;
	p->reap.run = peer_reap;
	l->peer[i] = p;
	return p;
}

/* The stream is @p's, or the vhost-user device's, and is closed on failure */
static int peer_frames(struct peer *p, struct stream *s)
{
	const struct gw_conf *c = p->links->cfg.conf;
	const struct framed_cfg cfg = {
		.server = true,
		.mtu = c->net.mtu,
		.features = c->no_offload ? 0 : HELLO_F_ALL,
		.hello = on_hello,
		.up = on_up,
	};
	int rc;

	p->framed.link.owner = p;
	p->framed.link.down = peer_down;
	rc = framed_init(&p->framed, s, ev_timerq(p->links->ev), &cfg);
	if (rc < 0) {
		stream_close(s);
		return rc;
	}
	p->base = &p->framed.link;
	count_inc(link_accepted);
	return 0;
}

/* ---- who may connect ------------------------------------------------------ */

static bool cid_ok(struct links *l, int fd)
{
	struct sockaddr_vm a;
	socklen_t len = sizeof(a);

	if (getpeername(fd, (struct sockaddr *)&a, &len) == 0 &&
	    a.svm_family == AF_VSOCK && a.svm_cid == l->cfg.conf->cid)
		return true;
	count_inc(drop_link_cid);
	return false;
}

static void note_uid(int fd)
{
	static struct log_limit limit = { .burst = 20 };
	struct ucred u;
	socklen_t len = sizeof(u);

	/* With hybrid vsock any process of the guest can have this written */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) == 0 &&
	    log_enabled(LOG_LEVEL_INFO) && log_ratelimit(&limit))
		log_info("peer connected: pid %d, uid %u", (int)u.pid, u.uid);
}

static void accept_one(struct links *l, int fd)
{
	struct peer *p;

	if (l->cfg.conf->way == CONF_WAY_VSOCK) {
		if (!cid_ok(l, fd)) {
			close(fd);
			return;
		}
	} else {
		note_uid(fd);
	}
	p = peer_new(l);
	if (!p) {
		close(fd);
		return;
	}
	if (stream_fd_init(&p->sfd, l->ev, fd, STREAM_BUF, STREAM_BUF) < 0 ||
	    peer_frames(p, &p->sfd.stream) < 0)
		peer_free(p);
}

/* Without a descriptor for it, whoever waits would wake us without end */
static void listener_rest(struct links *l)
{
	ev_mod(l->ev, &l->listener, 0);
	timer_set(ev_timerq(l->ev), &l->rest, ev_now(l->ev) + ACCEPT_REST);
}

static void on_rest(struct timer *t)
{
	struct links *l = container_of(t, struct links, rest);

	ev_mod(l->ev, &l->listener, EPOLLIN);
}

static void listener_ready(struct ev_src *src, uint32_t events)
{
	struct links *l = container_of(src, struct links, listener);

	(void)events;
	for (int i = 0; i < ACCEPT_BUDGET; i++) {
		int fd = accept4(src->fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED)
				listener_rest(l);
			return;
		}
		accept_one(l, fd);
	}
}

static int vu_accept(void *arg, struct stream *s, uint32_t port)
{
	struct links *l = arg;
	struct peer *p = peer_new(l);
	int rc;

	(void)port;
	if (!p)
		return -EBUSY;
	rc = peer_frames(p, s);
	if (rc < 0)
		peer_free(p);
	return rc;
}

static void vu_vmm(void *arg, bool here)
{
	(void)arg;
	if (may_say(LOG_LEVEL_INFO))
		log_info("VMM %s", here ? "connected" : "gone");
}

/* ---- */

static int open_tap(struct links *l)
{
	struct peer *p = peer_new(l);
	uint32_t features = 0;
	int fd = l->cfg.conf->fd.link, rc;

	if (!p)
		return -ENOMEM;
	rc = tap_features(fd, &features);
	if (rc == 0)
		rc = tap_init(&p->tap, l->ev, fd,
			      l->cfg.conf->no_offload ? 0 : features);
	if (rc < 0) {
		peer_free(p);
		return rc;
	}
	p->base = &p->tap.link;
	peer_run(p);
	return 0;
}

static int open_way(struct links *l)
{
	static const uint32_t ports[] = { PROTO_PORT_FRAMES };
	const struct gw_conf *c = l->cfg.conf;
	const struct vhost_user_cfg vu = {
		.guest_cid = c->guest_cid,
		.ports = ports,
		.nports = ARRAY_SIZE(ports),
		.accept = vu_accept,
		.vmm = vu_vmm,
		.arg = l,
	};

	switch (c->way) {
	case CONF_WAY_VHOST_USER:
		l->vu = vhost_user_new(l->ev, c->fd.link, &vu);
		return l->vu ? 0 : -errno;
	case CONF_WAY_UDS:
	case CONF_WAY_UNIX:
	case CONF_WAY_VSOCK:
		l->listener.fd = c->fd.link;
		return ev_add(l->ev, &l->listener, EPOLLIN);
	case CONF_WAY_TAP:
		return open_tap(l);
	case CONF_WAY_NONE:
		break;
	}
	return -EINVAL;
}

struct links *links_new(struct ev *ev, const struct links_cfg *cfg)
{
	struct links *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return NULL;
	l->ev = ev;
	l->cfg = *cfg;
	l->token_state = cfg->has_token ? TOKEN_STATE_TOLD : TOKEN_STATE_NONE;
	l->pcap_fd = cfg->conf->fd.pcap;
	l->listener.fd = -1;
	l->listener.ready = listener_ready;
	l->rest.fire = on_rest;
	rc = open_way(l);
	if (rc < 0) {
		links_free(l);
		errno = -rc;
		return NULL;
	}
	return l;
}

void links_free(struct links *l)
{
	for (unsigned int i = 0; i < PEERS_MAX; i++)
		if (l->peer[i])
			peer_free(l->peer[i]);
	if (l->vu)
		vhost_user_free(l->vu);
	timer_del(ev_timerq(l->ev), &l->rest);
	ev_del(l->ev, &l->listener);
	fd_close(&l->listener.fd);
	fd_close(&l->pcap_fd);
	free(l);
}
