#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "link/framed.h"

#define PREFIX		4
#define VLAN_TAG	4
#define NATIVE_HEAD	(PREFIX + LINK_VNET_LEN)
#define RECORD_MAX	(LINK_VNET_LEN + LINK_FRAME_MAX + VLAN_TAG)

static_assert(NATIVE_HEAD + LINK_HEAD_MIN <= STREAM_HEAD_MIN,
	      "a room keeps its contiguous head behind the record's own");
static_assert(LINK_F_CSUM == HELLO_F_CSUM && LINK_F_TSO4 == HELLO_F_TSO4 &&
	      LINK_F_TSO6 == HELLO_F_TSO6 && LINK_F_USO4 == HELLO_F_USO4 &&
	      LINK_F_USO6 == HELLO_F_USO6, "features pass through as they are");

COUNT(drop_framed_vnet, "frames with offload metadata that cannot be used");
COUNT(framed_bad_length, "links ended by a record length out of range");
COUNT(framed_bad_hello, "links ended by a malformed hello");
COUNT(framed_refused_hello, "links ended because the hello was refused");
COUNT(framed_timeout, "links ended by silence");

static struct framed *framed_of(struct link *l)
{
	return container_of(l, struct framed, link);
}

static bool is_up(const struct framed *f)
{
	return f->state == FRAMED_STATE_NATIVE ||
	       f->state == FRAMED_STATE_BARE;
}

static size_t head_len(const struct framed *f)
{
	return f->state == FRAMED_STATE_NATIVE ? NATIVE_HEAD : PREFIX;
}

static const char *state_str(enum framed_state s)
{
	switch (s) {
	case FRAMED_STATE_FIRST:
		return "FIRST";
	case FRAMED_STATE_HELLO:
		return "HELLO";
	case FRAMED_STATE_NATIVE:
		return "NATIVE";
	case FRAMED_STATE_BARE:
		return "BARE";
	}
	return "?";
}

static void set_state(struct framed *f, enum framed_state to)
{
	ASSERT(!is_up(f));		/* no way leads out of those */
	ASSERT(f->state != FRAMED_STATE_HELLO || to == FRAMED_STATE_NATIVE);
	log_debug("framed: %s -> %s", state_str(f->state), state_str(to));
	f->state = to;
}

static void framed_stop(struct framed *f)
{
	timer_del(f->tq, &f->keepalive);
	timer_del(f->tq, &f->dead);
}

static void framed_fail(struct framed *f, int why)
{
	framed_stop(f);
	stream_pause(f->stream, true);	/* nobody wants the rest */
	link_down(&f->link, why);
}

/* --- sending -------------------------------------------------------------- */

/**
 * put_head() - Write what stands before the frame
 * @b:		head_len() bytes
 * @len:	Length of the frame
 */
static void put_head(const struct framed *f, uint8_t *b,
		     const struct link_vnet *vh, size_t len)
{
	bool native = f->state == FRAMED_STATE_NATIVE;
	struct link_vnet v = vh ? *vh : (struct link_vnet){ 0 };
	struct wr w = wr_init(b, head_len(f));

	if (!(f->link.can_send & LINK_F_CSUM))
		v.flags = 0;		/* "valid" is no news to such a peer */
	wr_u32(&w, (uint32_t)(native ? LINK_VNET_LEN + len : len));
	if (native)
		link_vnet_put(&v, b + PREFIX);
}

static int framed_send(struct link *l, const struct link_vnet *vh,
		       const struct iovec *iov, int n)
{
	struct framed *f = framed_of(l);
	struct iovec out[1 + LINK_IOV_MAX];
	uint8_t head[NATIVE_HEAD];
	int rc;

	ASSERT(!f->room_head);
	if (!is_up(f))
		return -EAGAIN;
	if (n > LINK_IOV_MAX)
		return -EMSGSIZE;
	put_head(f, head, vh, iov_len(iov, n));
	out[0].iov_base = head;
	out[0].iov_len = head_len(f);
	memcpy(&out[1], iov, (size_t)n * sizeof(*iov));
	rc = stream_send(f->stream, out, n + 1);
	if (rc == 0)
		f->last_tx_ns = timerq_now(f->tq);
	return rc;
}

static int framed_reserve(struct link *l, size_t len, struct link_room *room)
{
	struct framed *f = framed_of(l);
	size_t head = head_len(f);
	int rc;

	ASSERT(!f->room_head);
	if (!is_up(f))
		return -EAGAIN;
	rc = stream_reserve(f->stream, head + len, room);
	if (rc < 0)
		return rc;
	f->room_head = room->iov[0].iov_base;
	room->iov[0].iov_base = f->room_head + head;
	room->iov[0].iov_len -= head;
	room->len -= head;
	return 0;
}

static int framed_commit(struct link *l, struct link_room *room,
			 const struct link_vnet *vh, size_t len)
{
	struct framed *f = framed_of(l);
	size_t head = head_len(f);
	int rc;

	ASSERT(f->room_head);
	room->iov[0].iov_base = f->room_head;
	room->iov[0].iov_len += head;
	room->len += head;
	f->room_head = NULL;
	if (len == 0)
		return stream_commit(f->stream, room, 0);
	put_head(f, room->iov[0].iov_base, vh, len);
	rc = stream_commit(f->stream, room, head + len);
	if (rc == 0)
		f->last_tx_ns = timerq_now(f->tq);
	return rc;
}

static void framed_flush(struct link *l)
{
	stream_flush(framed_of(l)->stream);
}

static void framed_pause(struct link *l, bool on)
{
	struct framed *f = framed_of(l);

	if (f->paused == on)
		return;
	f->paused = on;
	f->last_rx_ns = timerq_now(f->tq);	/* silence was ours */
	stream_pause(f->stream, on);
}

static void framed_close(struct link *l)
{
	struct framed *f = framed_of(l);

	framed_stop(f);
	if (f->stream)
		stream_close(f->stream);
	f->stream = NULL;
	free(f->framer.hold);
	free(f->framer.spare);
	f->framer.hold = f->framer.spare = NULL;
}

static const struct link_ops framed_ops = {
	.send = framed_send,
	.reserve = framed_reserve,
	.commit = framed_commit,
	.flush = framed_flush,
	.pause = framed_pause,
	.close = framed_close,
};

/* --- timers --------------------------------------------------------------- */

/*
 * Records only note the time.  A timer that fires looks at it, and sleeps on if
 * there was one: nothing is armed anew for each record.
 */

static void framed_keepalive(struct timer *t)
{
	static uint8_t zero[PREFIX];
	struct framed *f = container_of(t, struct framed, keepalive);
	struct iovec iov = { .iov_base = zero, .iov_len = sizeof(zero) };
	uint64_t now = timerq_now(f->tq);

	if (f->link.is_down)
		return;
	if (now - f->last_tx_ns >= FRAMED_KEEPALIVE_S * NS_PER_S) {
		/* A stream that is full carries news of us without this */
		if (!f->room_head && stream_send(f->stream, &iov, 1) == 0)
			stream_flush(f->stream);
		f->last_tx_ns = now;
	}
	if (!f->link.is_down)
		timer_set(f->tq, t,
			  f->last_tx_ns + FRAMED_KEEPALIVE_S * NS_PER_S);
}

static void framed_dead(struct timer *t)
{
	struct framed *f = container_of(t, struct framed, dead);
	uint64_t now = timerq_now(f->tq);

	if (f->link.is_down)
		return;
	if (f->paused)
		f->last_rx_ns = now;
	if (!is_up(f) || now - f->last_rx_ns >= FRAMED_DEAD_S * NS_PER_S) {
		count_inc(framed_timeout);
		framed_fail(f, -ETIMEDOUT);
		return;
	}
	timer_set(f->tq, t, f->last_rx_ns + FRAMED_DEAD_S * NS_PER_S);
}

/* --- coming up ------------------------------------------------------------ */

/* Frames flow from here on; @mtu is the smaller one of both sides */
static void come_up(struct framed *f, enum framed_state to, uint16_t mtu)
{
	const size_t plain = (size_t)f->cfg.mtu + LINK_FRAME_MIN + VLAN_TAG;
	size_t rx_max = f->link.can_recv ? LINK_FRAME_MAX : plain;
	uint64_t now = timerq_now(f->tq);

	set_state(f, to);
	f->link.max_frame = f->link.can_send ? LINK_FRAME_MAX :
			    (size_t)mtu + LINK_FRAME_MIN + VLAN_TAG;
	f->last_tx_ns = f->last_rx_ns = now;
	f->framer.have = 0;
	f->framer.keepalive = to == FRAMED_STATE_NATIVE;
	f->framer.min = LINK_FRAME_MIN;
	f->framer.max = MIN(rx_max, LINK_FRAME_MAX + VLAN_TAG);
	if (to == FRAMED_STATE_NATIVE) {
		f->framer.min += LINK_VNET_LEN;
		f->framer.max += LINK_VNET_LEN;
		timer_set(f->tq, &f->keepalive,
			  now + FRAMED_KEEPALIVE_S * NS_PER_S);
		timer_set(f->tq, &f->dead, now + FRAMED_DEAD_S * NS_PER_S);
	} else {
		timer_del(f->tq, &f->dead);
	}
	if (f->cfg.up)
		f->cfg.up(f);
	link_drained(&f->link);
}

static int send_hello(struct framed *f, const struct hello *h)
{
	uint8_t buf[HELLO_LEN];
	struct wr w = wr_init(buf, sizeof(buf));
	struct iovec iov = { .iov_base = buf };
	int rc;

	hello_emit(&w, h);
	ASSERT(!w.bad);
	iov.iov_len = wr_len(&w);
	rc = stream_send(f->stream, &iov, 1);
	secure_zero(buf, sizeof(buf));	/* the token */
	if (rc == 0)
		stream_flush(f->stream);
	return rc;
}

/* The peer's hello is whole: answer it, or take it as the answer */
static int accept_hello(struct framed *f, const struct hello *in)
{
	struct hello answer = { .version = HELLO_VERSION, .mtu = f->cfg.mtu };
	uint16_t mtu = in->mtu ? MIN(in->mtu, f->cfg.mtu) : f->cfg.mtu;
	uint32_t accepted = in->features & HELLO_F_ALL;
	int rc = 0;

	if (f->cfg.server) {
		ASSERT(f->cfg.hello);
		rc = f->cfg.hello(f, in, &answer);
		answer.features &= f->cfg.features & HELLO_F_ALL;
		accepted = answer.features;
	} else if (f->cfg.hello) {
		rc = f->cfg.hello(f, in, NULL);
	}
	if (rc == 0 && f->cfg.server)
		rc = send_hello(f, &answer);
	if (rc == 0 && f->link.is_down)		/* nobody was there to hear it */
		rc = -ENOTCONN;
	secure_zero(&answer, sizeof(answer));
	if (rc < 0) {
		if (rc != -EINPROGRESS)
			count_inc(framed_refused_hello);
		return rc;
	}
	f->link.can_recv = f->cfg.features & accepted;
	f->link.can_send = in->features & HELLO_F_ALL & accepted;
	come_up(f, FRAMED_STATE_NATIVE, mtu);
	return 0;
}

/* The hello that lies in first[]; it stays there while it waits */
static int judge_hello(struct framed *f)
{
	struct hello h;
	int rc = hello_parse(rd_init(f->first, f->first_len), &h);

	if (rc < 0)
		count_inc(framed_bad_hello);
	else
		rc = accept_hello(f, &h);
	secure_zero(&h, sizeof(h));
	f->asked = rc == -EINPROGRESS;
	if (f->asked) {
		framed_pause(&f->link, true);
		return 0;
	}
	secure_zero(f->first, sizeof(f->first));
	return rc;
}

void framed_hello_again(struct framed *f)
{
	int rc;

	if (!f->asked || f->link.is_down)
		return;
	rc = judge_hello(f);
	if (rc < 0)
		framed_fail(f, rc);
	else if (!f->asked && !f->link.is_down)
		framed_pause(&f->link, false);
}

/* Append input to what came before, up to @want bytes in all */
static void collect(struct framed *f, const struct iovec *iov, int n,
		    size_t *off, size_t want)
{
	if (want > f->first_len) {
		size_t got = iov_copy_out(iov, n, *off, f->first + f->first_len,
					  want - f->first_len);

		f->first_len += got;
		*off += got;
	}
}

/**
 * hello_input() - Bytes of a hello; not one more than it has is taken
 *
 * Return: 0, and the state is NATIVE if it was whole; -errno to end the link
 */
static int hello_input(struct framed *f, const struct iovec *iov, int n,
		       size_t *off)
{
	size_t before;
	int need;

	do {	/* the length comes within the first 8 bytes */
		need = hello_need((struct span){ f->first, f->first_len });
		if (need < 0) {
			count_inc(framed_bad_hello);
			return need;
		}
		ASSERT(need <= HELLO_MAX);
		if (need && f->first_len == (size_t)need)
			break;
		before = f->first_len;
		collect(f, iov, n, off,
			need ? (size_t)need : f->first_len + 1);
	} while (f->first_len > before);
	if (!need || f->first_len < (size_t)need)
		return 0;

	return judge_hello(f);
}

static int framed_record(const struct iovec *iov, int n, size_t len,
			 void *arg);

static int bare_input(struct framed *f)
{
	struct iovec iov = { .iov_base = f->first, .iov_len = f->first_len };

	come_up(f, FRAMED_STATE_BARE, f->cfg.mtu);
	return framer_input(&f->framer, &iov, 1, framed_record, f);
}

/**
 * first_input() - Input while no frames flow
 * @off:	Set to the bytes of it that were taken: not all only if is_up(),
 *		or if the hello waits
 *
 * Return: 0; -errno to end the link
 */
static int first_input(struct framed *f, const struct iovec *iov, int n,
		       size_t *off)
{
	*off = 0;
	if (!timer_armed(&f->dead))
		timer_set(f->tq, &f->dead, timerq_now(f->tq) +
					   FRAMED_HELLO_S * NS_PER_S);
	if (f->state == FRAMED_STATE_FIRST) {
		collect(f, iov, n, off, PREFIX);
		if (f->first_len < PREFIX)
			return 0;
		if (memcmp(f->first, HELLO_MAGIC, PREFIX))
			return bare_input(f);
		set_state(f, FRAMED_STATE_HELLO);
	}
	return hello_input(f, iov, n, off);
}

/* --- input ---------------------------------------------------------------- */

/* One record, in pieces that may change while we look: copy, then judge */
static int framed_record(const struct iovec *iov, int n, size_t len, void *arg)
{
	struct framed *f = arg;
	struct link_vnet vh = { 0 };
	struct iovec frame[LINK_IOV_MAX];
	uint8_t head[LINK_VNET_LEN];

	f->last_rx_ns = timerq_now(f->tq);
	if (len == 0)
		return 0;		/* keepalive */
	if (f->state == FRAMED_STATE_NATIVE) {
		iov_copy_out(iov, n, 0, head, sizeof(head));
		link_vnet_get(head, &vh);
		len -= sizeof(head);
		n = iov_slice(iov, n, sizeof(head), len, frame, LINK_IOV_MAX);
		ASSERT(n > 0);
		iov = frame;
		if (link_vnet_check(&vh, len, f->link.can_recv) < 0) {
			count_inc(drop_framed_vnet);
			return 0;
		}
	}
	link_input(&f->link, &vh, iov, n);
	return f->link.is_down || f->paused;
}

/**
 * framed_records() - Input once frames flow
 *
 * Return: how many bytes were taken
 */
static size_t framed_records(struct framed *f, const struct iovec *iov, int n)
{
	int rc = framer_input(&f->framer, iov, n, framed_record, f);

	if (rc < 0) {
		count_inc(framed_bad_length);
		framed_fail(f, rc);
	}
	return f->framer.taken;
}

static size_t framed_input(struct stream *s, const struct iovec *iov, int n)
{
	struct framed *f = s->user;
	size_t all = iov_len(iov, n), off = 0, part;
	struct iovec rest;
	int rc;

	if (!is_up(f) && !f->link.is_down) {
		rc = first_input(f, iov, n, &off);
		if (rc < 0)
			framed_fail(f, rc);
		/* Go on in the middle of a piece, then with the others */
		for (part = off; n && part >= iov->iov_len; iov++, n--)
			part -= iov->iov_len;
		if (n && part && is_up(f) && !f->paused &&
		    !f->link.is_down) {
			rest.iov_base = (uint8_t *)iov->iov_base + part;
			rest.iov_len = iov->iov_len - part;
			off += framed_records(f, &rest, 1);
			iov++;
			n--;
		}
	}
	if (n && is_up(f) && !f->paused && !f->link.is_down)
		off += framed_records(f, iov, n);
	return f->link.is_down ? all : off;
}

static void framed_input_done(struct stream *s)
{
	struct framed *f = s->user;

	link_input_done(&f->link);
}

static void framed_drained(struct stream *s)
{
	struct framed *f = s->user;

	if (is_up(f))
		link_drained(&f->link);
}

static void framed_down(struct stream *s, int why)
{
	struct framed *f = s->user;

	framed_stop(f);
	link_down(&f->link, why);
}

int framed_hello(struct framed *f, const struct hello *h)
{
	int rc;

	ASSERT(!f->cfg.server && f->state == FRAMED_STATE_HELLO);
	rc = send_hello(f, h);
	if (rc == 0)
		timer_set(f->tq, &f->dead, timerq_now(f->tq) +
					   FRAMED_HELLO_S * NS_PER_S);
	return rc;
}

int framed_init(struct framed *f, struct stream *s, struct timerq *tq,
		const struct framed_cfg *cfg)
{
	struct link callbacks = f->link;

	*f = (struct framed){
		.link = callbacks,
		.stream = s,
		.tq = tq,
		.cfg = *cfg,
		.state = cfg->server ? FRAMED_STATE_FIRST : FRAMED_STATE_HELLO,
		.framer.cap = PREFIX + RECORD_MAX,
		.keepalive.fire = framed_keepalive,
		.dead.fire = framed_dead,
	};
	f->link.ops = &framed_ops;
	f->link.can_send = f->link.can_recv = 0;
	f->link.max_frame = (size_t)cfg->mtu + LINK_FRAME_MIN + VLAN_TAG;
	f->link.is_down = f->link.full = false;
	f->framer.hold = malloc(f->framer.cap);
	f->framer.spare = s->keeps ? malloc(f->framer.cap) : NULL;
	f->link.keeps = f->framer.spare != NULL;
	s->input = framed_input;
	s->input_done = framed_input_done;
	s->drained = framed_drained;
	s->eof = NULL;			/* half a stream carries no link */
	s->down = framed_down;
	s->user = f;
	if (f->framer.hold)
		return 0;
	stream_close(s);
	f->stream = NULL;
	return -ENOMEM;
}
