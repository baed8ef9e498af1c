#include "gateway/transport/vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "gateway/transport/virtq.h"
#include "gateway/transport/vvsock.h"
#include "gateway/wire/vhost.h"

/*
 * Theory of operation
 * -------------------
 * A message is a header, with which its descriptors come, and a payload; each
 * is read on its own, so that the descriptors of two messages never mix.
 *
 * A ring starts with SET_VRING_KICK and stops with GET_VRING_BASE.  If the VMM
 * has acknowledged PROTOCOL_FEATURES it must be enabled as well.  The device
 * runs while both rings do; when one stops, as at a reset or reboot of the
 * guest, all streams go down.
 *
 * Kicks      Edge-triggered: an eventfd that is never read still wakes us at
 *            each write, and that saves a system call for each kick.
 * Not here   Dirty logging, in-flight regions, postcopy, a channel back to the
 *            VMM: QEMU cannot migrate this device.  Memory comes as one table
 *            of at most VHOST_REGIONS_MAX regions.
 */

#define FEATURES	(VHOST_F_VERSION_1 | VHOST_F_EVENT_IDX | \
			 VHOST_F_INDIRECT_DESC | VHOST_F_PROTOCOL_FEATURES)
#define PROTOCOL	(VHOST_PROTOCOL_F_MQ | VHOST_PROTOCOL_F_REPLY_ACK | \
			 VHOST_PROTOCOL_F_CONFIG)

/* The device's configuration space: struct virtio_vsock_config */
#define CONFIG_LEN	8

#define ACCEPT_REST	(100 * NS_PER_MS)

enum vhost_user_queue {
	VHOST_USER_QUEUE_RX,
	VHOST_USER_QUEUE_TX,
	VHOST_USER_QUEUE_EVENT,
	VHOST_USER_QUEUE_NUM,
};

COUNT(drop_vhost_msg, "VMMs dropped for a message that makes no sense");
COUNT(drop_vhost_ring, "VMMs dropped for a ring that makes no sense");
COUNT(drop_vhost_second, "VMMs refused because there is one already");
COUNT(vhost_vmms, "VMMs that have connected");

/**
 * struct ring_state - A ring, and whether it goes
 * @kick:	Its descriptor is -1 while the ring is stopped
 */
struct ring_state {
	struct virtq vq;
	struct ev_src kick;
	struct vhost_user *vu;
	bool enabled;
};

struct vhost_user {
	struct ev *ev;
	struct vhost_user_cfg cfg;
	struct ev_src listen, vmm;	/* vmm.fd is -1 without one */
	struct timer rest;		/* of listen, when accept4() fails */
	struct vvsock *vv;
	struct virtq_mem mem;
	struct ring_state ring[VHOST_USER_QUEUE_NUM];
	uint64_t features, protocol;
	bool running;
	struct log_limit limit;
	/* the message that is coming in */
	uint8_t in[VHOST_HDR_LEN + VHOST_PAYLOAD_MAX];
	size_t in_len;
	struct vhost_hdr hdr;
	int fds[VHOST_REGIONS_MAX], nfds;
};

/* --- rings --------------------------------------------------------------- */

static bool ring_active(const struct ring_state *r)
{
	return r->vq.mapped && r->kick.fd >= 0 && r->enabled;
}

/* Follow from the rings whether the device runs */
static void check_running(struct vhost_user *vu)
{
	bool now = ring_active(&vu->ring[VHOST_USER_QUEUE_RX]) &&
		   ring_active(&vu->ring[VHOST_USER_QUEUE_TX]);

	if (now == vu->running)
		return;
	vu->running = now;
	log_debug("vhost-user: device %s", now ? "runs" : "stopped");
	if (!now)
		vvsock_reset(vu->vv, -ECONNRESET);
	else			/* what the guest has sent before */
		ev_again(vu->ev, &vu->ring[VHOST_USER_QUEUE_TX].kick);
}

static void ring_stop(struct ring_state *r)
{
	ev_del(r->vu->ev, &r->kick);
	fd_close(&r->kick.fd);
	virtq_unmap(&r->vq);
	check_running(r->vu);
}

static void rx_kicked(struct ev_src *src, uint32_t events)
{
	struct ring_state *r = container_of(src, struct ring_state, kick);

	(void)events;
	if (r->vu->running)
		vvsock_rx_ready(r->vu->vv);
}

static void tx_kicked(struct ev_src *src, uint32_t events)
{
	struct ring_state *r = container_of(src, struct ring_state, kick);

	(void)events;
	if (r->vu->running && vvsock_tx_ready(r->vu->vv))
		ev_again(r->vu->ev, src);
}

static void event_kicked(struct ev_src *src, uint32_t events)
{
	(void)src;
	(void)events;
}

/* Start a ring whose size, place and base are known, or give it a new kick */
static int ring_start(struct ring_state *r, int kick_fd)
{
	int rc;

	ev_del(r->vu->ev, &r->kick);
	fd_close(&r->kick.fd);
	r->kick.fd = kick_fd;
	r->vq.event_idx = r->vu->features & VHOST_F_EVENT_IDX;
	r->vq.indirect = r->vu->features & VHOST_F_INDIRECT_DESC;
	if (!(r->vu->features & VHOST_F_PROTOCOL_FEATURES))
		r->enabled = true;
	rc = virtq_map(&r->vq, !r->vq.mapped);
	if (!rc)
		rc = ev_add(r->vu->ev, &r->kick, EPOLLIN | EPOLLET);
	if (rc) {
		virtq_unmap(&r->vq);
		return rc;
	}
	check_running(r->vu);
	return 0;
}

/* --- the VMM comes and goes ---------------------------------------------- */

static void drop_fds(struct vhost_user *vu)
{
	for (int i = 0; i < vu->nfds; i++)
		fd_close(&vu->fds[i]);
	vu->nfds = 0;
}

static void vmm_drop(struct vhost_user *vu)
{
	if (vu->vmm.fd < 0)
		return;
	for (int i = 0; i < VHOST_USER_QUEUE_NUM; i++) {
		struct ring_state *r = &vu->ring[i];

		ring_stop(r);
		fd_close(&r->vq.call_fd);
		r->vq = (struct virtq){ .mem = &vu->mem, .call_fd = -1 };
		r->enabled = false;
	}
	virtq_mem_clear(&vu->mem);
	drop_fds(vu);
	ev_del(vu->ev, &vu->vmm);
	fd_close(&vu->vmm.fd);
	vu->features = vu->protocol = 0;
	vu->in_len = 0;
	if (vu->cfg.vmm)
		vu->cfg.vmm(vu->cfg.arg, false);
}

static void rings_broken(void *arg, int why)
{
	struct vhost_user *vu = arg;

	count_inc(drop_vhost_ring);
	if (log_ratelimit(&vu->limit))
		log_warn("vhost-user: a ring makes no sense (%s): VMM dropped",
			 strerror(-why));
	vmm_drop(vu);
}

/* --- messages ------------------------------------------------------------ */

/* #syscalls sendmsg */
static int reply(struct vhost_user *vu, const struct wr *w)
{
	ASSERT(!w->bad);
	/* A VMM that lets replies pile up is not waiting for them */
	return fd_send(vu->vmm.fd, w->start, wr_len(w), NULL, 0);
}

static int reply_u64(struct vhost_user *vu, uint32_t req, uint64_t v)
{
	uint8_t b[VHOST_HDR_LEN + 8];
	struct wr w = wr_init(b, sizeof(b));

	vhost_reply_u64(&w, req, v);
	return reply(vu, &w);
}

static int get_config(struct vhost_user *vu, const struct vhost_config *in)
{
	uint8_t space[CONFIG_LEN], b[VHOST_HDR_LEN + VHOST_PAYLOAD_MAX];
	struct wr s = wr_init(space, sizeof(space));
	struct wr w = wr_init(b, sizeof(b));
	struct vhost_config c = *in;

	wr_le64(&s, vu->cfg.guest_cid);
	if (c.size <= CONFIG_LEN && c.offset <= CONFIG_LEN - c.size) {
		memcpy(c.data, space + c.offset, c.size);
		vhost_reply_config(&w, &c);
	} else {
		vhost_reply_config(&w, NULL);
	}
	return reply(vu, &w);
}

static int set_features(struct vhost_user *vu, uint64_t v)
{
	if (v & ~FEATURES)
		return -EINVAL;
	vu->features = v;
	return 0;
}

static int set_protocol(struct vhost_user *vu, uint64_t v)
{
	if (v & ~PROTOCOL)
		return -EINVAL;
	vu->protocol = v;
	return 0;
}

/* Memory may change while the rings go: they go on in the new mapping */
static int set_mem(struct vhost_user *vu, const struct vhost_mem *t)
{
	bool was[VHOST_USER_QUEUE_NUM];
	int rc;

	if ((uint32_t)vu->nfds != t->n)
		return -EBADMSG;
	vvsock_rx_moves(vu->vv);
	for (int i = 0; i < VHOST_USER_QUEUE_NUM; i++) {
		was[i] = vu->ring[i].vq.mapped;
		virtq_unmap(&vu->ring[i].vq);
	}
	rc = virtq_mem_set(&vu->mem, t, vu->fds);
	for (int i = 0; !rc && i < VHOST_USER_QUEUE_NUM; i++) {
		if (was[i])
			rc = virtq_map(&vu->ring[i].vq, false);
	}
	return rc;
}

/* The ring that a message is about; NULL if there is no such */
static struct ring_state *ring_at(struct vhost_user *vu, uint64_t index)
{
	return index < VHOST_USER_QUEUE_NUM ? &vu->ring[index] : NULL;
}

/* SET_VRING_KICK, _CALL, _ERR: one descriptor, or word that there is none */
static int set_vring_fd(struct vhost_user *vu, const struct vhost_msg *m)
{
	struct ring_state *r = ring_at(vu, m->u64 & VHOST_VRING_INDEX);
	bool none = m->u64 & VHOST_VRING_NOFD;
	int fd, rc;

	if (!r || m->u64 & ~(uint64_t)(VHOST_VRING_INDEX | VHOST_VRING_NOFD) ||
	    vu->nfds != !none)
		return -EBADMSG;
	if (m->req == VHOST_REQ_SET_VRING_ERR)
		return 0;			/* we have nothing to tell */
	if (m->req == VHOST_REQ_SET_VRING_KICK && none)
		return -EOPNOTSUPP;		/* we do not poll */
	fd = none ? -1 : vu->fds[0];
	if (fd >= 0) {
		rc = fd_nonblock(fd);
		if (rc)
			return rc;
	}
	vu->nfds = 0;				/* it is the ring's now */
	if (m->req == VHOST_REQ_SET_VRING_KICK)
		return ring_start(r, fd);
	fd_close(&r->vq.call_fd);
	r->vq.call_fd = fd;
	if (vu->running)
		virtq_call(&r->vq);		/* a call may have been lost */
	return 0;
}

static int get_vring_base(struct vhost_user *vu, const struct vhost_state *in)
{
	struct ring_state *r = ring_at(vu, in->index);
	uint8_t b[VHOST_HDR_LEN + 8];
	struct wr w = wr_init(b, sizeof(b));
	struct vhost_state s;

	if (!r)
		return -EBADMSG;
	ring_stop(r);
	s = (struct vhost_state){ in->index, r->vq.last_avail };
	vhost_reply_state(&w, VHOST_REQ_GET_VRING_BASE, &s);
	return reply(vu, &w);
}

/* SET_VRING_NUM, _BASE, _ENABLE */
static int set_vring_state(struct vhost_user *vu, const struct vhost_msg *m)
{
	struct ring_state *r = ring_at(vu, m->state.index);
	uint32_t num = m->state.num;

	if (!r)
		return -EBADMSG;
	if (m->req == VHOST_REQ_SET_VRING_ENABLE) {
		if (num > 1)
			return -EBADMSG;
		r->enabled = num;
		check_running(vu);
		return 0;
	}
	if (r->kick.fd >= 0)
		return -EBUSY;
	if (m->req == VHOST_REQ_SET_VRING_BASE) {
		if (num > UINT16_MAX)
			return -EBADMSG;
		r->vq.last_avail = (uint16_t)num;
		return 0;
	}
	if (!num || num > VIRTQ_NUM_MAX || num & (num - 1))
		return -EINVAL;
	r->vq.num = (uint16_t)num;
	return 0;
}

static int set_vring_addr(struct vhost_user *vu, const struct vhost_addr *a)
{
	struct ring_state *r = ring_at(vu, a->index);

	if (!r)
		return -EBADMSG;
	vvsock_rx_moves(vu->vv);
	r->vq.addr = *a;
	return r->vq.mapped ? virtq_map(&r->vq, false) : 0;
}

static void reset_owner(struct vhost_user *vu)
{
	for (int i = 0; i < VHOST_USER_QUEUE_NUM; i++)
		ring_stop(&vu->ring[i]);
}

/* Requests that are answered by what they ask for */
static int serve_get(struct vhost_user *vu, const struct vhost_msg *m)
{
	switch (m->req) {
	case VHOST_REQ_GET_FEATURES:
		return reply_u64(vu, m->req, FEATURES);
	case VHOST_REQ_GET_PROTOCOL_FEATURES:
		return reply_u64(vu, m->req, PROTOCOL);
	case VHOST_REQ_GET_QUEUE_NUM:
		return reply_u64(vu, m->req, VHOST_USER_QUEUE_NUM);
	case VHOST_REQ_GET_VRING_BASE:
		return get_vring_base(vu, &m->state);
	case VHOST_REQ_GET_CONFIG:
		return get_config(vu, &m->config);
	default:
		return -ENOMSG;
	}
}

static int serve_set(struct vhost_user *vu, const struct vhost_msg *m)
{
	switch (m->req) {
	case VHOST_REQ_SET_FEATURES:
		return set_features(vu, m->u64);
	case VHOST_REQ_SET_PROTOCOL_FEATURES:
		return set_protocol(vu, m->u64);
	case VHOST_REQ_SET_OWNER:
		return 0;
	case VHOST_REQ_RESET_OWNER:
		reset_owner(vu);
		return 0;
	case VHOST_REQ_SET_MEM_TABLE:
		return set_mem(vu, &m->mem);
	case VHOST_REQ_SET_VRING_ADDR:
		return set_vring_addr(vu, &m->addr);
	case VHOST_REQ_SET_VRING_NUM:
	case VHOST_REQ_SET_VRING_BASE:
	case VHOST_REQ_SET_VRING_ENABLE:
		return set_vring_state(vu, m);
	case VHOST_REQ_SET_VRING_KICK:
	case VHOST_REQ_SET_VRING_CALL:
	case VHOST_REQ_SET_VRING_ERR:
		return set_vring_fd(vu, m);
	default:
		return -EOPNOTSUPP;
	}
}

/* Which requests come with descriptors */
static bool takes_fds(uint32_t req)
{
	return req == VHOST_REQ_SET_MEM_TABLE ||
	       req == VHOST_REQ_SET_VRING_KICK ||
	       req == VHOST_REQ_SET_VRING_CALL ||
	       req == VHOST_REQ_SET_VRING_ERR;
}

/* A whole message is here.  0; -errno: the VMM is to be dropped */
static int serve(struct vhost_user *vu)
{
	struct vhost_msg m;
	int rc;

	rc = vhost_msg_parse(&vu->hdr,
			     rd_init(vu->in + VHOST_HDR_LEN, vu->hdr.size), &m);
	if (rc)
		return rc;
	if (vu->nfds && !takes_fds(m.req))
		return -EBADMSG;
	rc = serve_get(vu, &m);
	if (rc != -ENOMSG)
		return rc;
	rc = serve_set(vu, &m);
	drop_fds(vu);
	if (!rc && m.flags & VHOST_FLAG_NEED_REPLY &&
	    vu->protocol & VHOST_PROTOCOL_F_REPLY_ACK)
		rc = reply_u64(vu, m.req, 0);
	return rc;
}

/**
 * vmm_read() - Read what is missing of the header, or of the payload
 *
 * Return: 1 if a message is whole; 0 if not yet; -ECONNRESET at the end;
 *	   -errno if it makes no sense
 */
static int vmm_read(struct vhost_user *vu)
{
	bool head = vu->in_len < VHOST_HDR_LEN;
	size_t want = head ? VHOST_HDR_LEN :
		      (size_t)VHOST_HDR_LEN + vu->hdr.size;
	int room = vu->in_len ? 0 : VHOST_REGIONS_MAX, rc;
	ssize_t n;

	if (vu->in_len < want) {
		n = fd_recv(vu->vmm.fd, vu->in + vu->in_len, want - vu->in_len,
			    vu->fds, &room);
		if (n <= 0)
			return n == 0 ? -ECONNRESET : n == -EAGAIN ? 0 : (int)n;
		if (!vu->in_len)
			vu->nfds = room;
		vu->in_len += (size_t)n;
	}
	if (vu->in_len < want)
		return 0;
	if (!head)
		return 1;
	rc = vhost_hdr_parse(rd_init(vu->in, VHOST_HDR_LEN), &vu->hdr);
	if (rc)
		return rc;
	return vu->hdr.size ? 0 : 1;
}

/* #syscalls recvmsg */
static void vmm_ready(struct ev_src *src, uint32_t events)
{
	struct vhost_user *vu = container_of(src, struct vhost_user, vmm);
	int rc;

	(void)events;
	rc = vmm_read(vu);
	if (rc > 0) {
		rc = serve(vu);
		vu->in_len = 0;
	}
	if (rc >= 0)
		return;
	if (rc == -ECONNRESET) {
		log_debug("vhost-user: the VMM has left");
	} else {
		count_inc(drop_vhost_msg);
		if (log_ratelimit(&vu->limit))
			log_warn("vhost-user: message %u: %s: VMM dropped",
				 vu->hdr.req, strerror(-rc));
	}
	vmm_drop(vu);
}

/* The VMM has hung up, and we have not come to its end of stream yet
 *
 * #syscalls poll
 */
static bool vmm_stale(const struct vhost_user *vu)
{
	struct pollfd p = { .fd = vu->vmm.fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLRDHUP);
}

/* Without a descriptor for it, whoever waits would wake us without end */
static void listen_rest(struct vhost_user *vu)
{
	ev_mod(vu->ev, &vu->listen, 0);
	timer_set(ev_timerq(vu->ev), &vu->rest, ev_now(vu->ev) + ACCEPT_REST);
}

static void on_rest(struct timer *t)
{
	struct vhost_user *vu = container_of(t, struct vhost_user, rest);

	ev_mod(vu->ev, &vu->listen, EPOLLIN);
}

/* #syscalls accept4 getsockopt close */
static void listen_ready(struct ev_src *src, uint32_t events)
{
	struct vhost_user *vu = container_of(src, struct vhost_user, listen);
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);
	int fd = accept4(src->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED)
			listen_rest(vu);
		return;
	}
	if (vu->vmm.fd >= 0 && vmm_stale(vu))
		vmm_drop(vu);
	if (vu->vmm.fd >= 0) {
		count_inc(drop_vhost_second);
		if (log_ratelimit(&vu->limit))
			log_warn("vhost-user: a second VMM was refused");
		fd_close(&fd);
		return;
	}
	vu->vmm.fd = fd;
	if (ev_add(vu->ev, &vu->vmm, EPOLLIN)) {
		fd_close(&vu->vmm.fd);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	if (log_enabled(LOG_LEVEL_INFO) && log_ratelimit(&vu->limit))
		log_info("vhost-user: VMM connected, pid %d, uid %u", who.pid,
			 who.uid);
	count_inc(vhost_vmms);
	vu->hdr = (struct vhost_hdr){ 0 };
	if (vu->cfg.vmm)
		vu->cfg.vmm(vu->cfg.arg, true);
}

/* --- the device ---------------------------------------------------------- */

static void rings_init(struct vhost_user *vu)
{
	static void (*const kicked[])(struct ev_src *src, uint32_t events) = {
		[VHOST_USER_QUEUE_RX] = rx_kicked,
		[VHOST_USER_QUEUE_TX] = tx_kicked,
		[VHOST_USER_QUEUE_EVENT] = event_kicked,
	};

	for (int i = 0; i < VHOST_USER_QUEUE_NUM; i++) {
		struct ring_state *r = &vu->ring[i];

		r->vu = vu;
		r->vq = (struct virtq){ .mem = &vu->mem, .call_fd = -1 };
		r->kick = (struct ev_src){ .fd = -1, .ready = kicked[i] };
	}
}

struct vhost_user *vhost_user_new(struct ev *ev, int listen_fd,
				  const struct vhost_user_cfg *cfg)
{
	struct vhost_user *vu = calloc(1, sizeof(*vu));
	struct vvsock_cfg vc = {
		.guest_cid = cfg->guest_cid,
		.ports = cfg->ports,
		.nports = cfg->nports,
		.accept = cfg->accept,
		.accept_arg = cfg->arg,
		.broken = rings_broken,
		.broken_arg = vu,
	};
	int rc = -ENOMEM;

	if (vu) {
		vu->ev = ev;
		vu->cfg = *cfg;
		vu->limit.burst = 10;
		vu->listen = (struct ev_src){ -1, .ready = listen_ready };
		vu->vmm = (struct ev_src){ -1, .ready = vmm_ready };
		vu->rest.fire = on_rest;
		rings_init(vu);
		vc.rx = &vu->ring[VHOST_USER_QUEUE_RX].vq;
		vc.tx = &vu->ring[VHOST_USER_QUEUE_TX].vq;
		vu->vv = vvsock_new(ev, &vc);
	}
	if (vu && vu->vv) {
		vu->listen.fd = listen_fd;
		rc = ev_add(ev, &vu->listen, EPOLLIN);
	}
	if (rc) {
		fd_close(&listen_fd);
		if (vu)
			vu->listen.fd = -1;
		vhost_user_free(vu);
		errno = -rc;
		return NULL;
	}
	return vu;
}

void vhost_user_free(struct vhost_user *vu)
{
	if (!vu)
		return;
	vu->cfg.vmm = NULL;
	vmm_drop(vu);
	vvsock_free(vu->vv);
	timer_del(ev_timerq(vu->ev), &vu->rest);
	ev_del(vu->ev, &vu->listen);
	fd_close(&vu->listen.fd);
	free(vu);
}
