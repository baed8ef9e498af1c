#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/span.h"
#include "base/util.h"
#include "link/fault.h"

#define PPM	1000000U

COUNT(fault_lost, "frames lost on purpose");
COUNT(fault_doubled, "frames doubled on purpose");
COUNT(fault_corrupted, "frames corrupted on purpose");
COUNT(fault_reordered, "frames reordered on purpose");
COUNT(drop_fault_queue, "late frames beyond what is kept");
COUNT(drop_fault_memory, "late frames for which memory was short");
COUNT(drop_fault_full, "late frames when the link was full");
COUNT(drop_fault_refused, "late frames that the link refused");

enum dir {
	DIR_IN,
	DIR_OUT,
	DIR_NUM,
};

/**
 * struct late - A frame that is on its way
 * @prev:	Due earlier, or as early and sent before
 */
struct late {
	struct late *prev, *next;
	uint64_t due_ns;
	struct link_vnet vh;
	size_t len;
	uint8_t frame[];
};

struct queue {
	struct late *first, *last;
};

/*
 * This is for tests: late frames are allocated one by one, bounded in number.
 * A queue is sorted by due time and filled from its end, which is where nearly
 * every frame belongs.
 */
struct fault {
	struct link link;
	struct link *inner;
	struct timerq *tq;
	struct fault_cfg cfg;
	uint64_t rng[DIR_NUM];	/* one each: the directions do not interleave */
	struct queue late[DIR_NUM];
	unsigned int nlate;
	struct timer timer;
	bool paused;
	uint8_t work[LINK_FRAME_MAX + 4];	/* a frame being corrupted */
	uint8_t room[LINK_FRAME_MAX + 4];	/* a frame being written */
};

/* What befalls a frame */
struct fate {
	bool lost, doubled, corrupted;
	uint64_t delay_ns, delay2_ns;
	uint64_t bit;
};

static struct fault *fault_of(struct link *l)
{
	return container_of(l, struct fault, link);
}

static void sync_limits(struct fault *f)
{
	f->link.can_send = f->inner->can_send;
	f->link.can_recv = f->inner->can_recv;
	f->link.max_frame = MIN(f->inner->max_frame, sizeof(f->room));
}

/* splitmix64: one word of state, and any seed will do */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static bool chance(uint64_t *state, uint32_t ppm)
{
	return draw(state) % PPM < ppm;
}

/* Always as many draws: one frame's fate does not shift the next one's */
static struct fate draw_fate(struct fault *f, enum dir d)
{
	const struct fault_cfg *c = &f->cfg;
	uint64_t *s = &f->rng[d];
	struct fate t;

	t.lost = chance(s, c->loss_ppm);
	t.corrupted = chance(s, c->corrupt_ppm);
	t.doubled = chance(s, c->dup_ppm);
	t.delay_ns = c->delay_ns;
	t.delay_ns += chance(s, c->reorder_ppm) ? c->reorder_ns : 0;
	t.delay2_ns = c->delay_ns;
	t.delay2_ns += chance(s, c->reorder_ppm) ? c->reorder_ns : 0;
	t.bit = draw(s);
	return t;
}

/* --- corruption ----------------------------------------------------------- */

/* Do what NEEDS_CSUM asks for, so that a flipped bit is noticed */
static void complete_csum(uint8_t *frame, size_t len,
			  const struct link_vnet *vh)
{
	size_t at = (size_t)vh->csum_start + vh->csum_offset;
	uint64_t sum = 0;

	if (!(vh->flags & LINK_VNET_F_NEEDS_CSUM) || at + 2 > len)
		return;
	for (size_t i = vh->csum_start; i < len; i += 2)
		sum += (uint64_t)frame[i] << 8 |
		       (i + 1 < len ? frame[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	if (!sum)
		sum = 0xffff;		/* 0 would be "none" to UDP */
	frame[at] = (uint8_t)(sum >> 8);
	frame[at + 1] = (uint8_t)sum;
}

static void corrupt(uint8_t *frame, size_t len, struct link_vnet *vh,
		    uint64_t bit)
{
	complete_csum(frame, len, vh);
	*vh = (struct link_vnet){ 0 };
	if (len > LINK_FRAME_MIN) {
		bit %= (len - LINK_FRAME_MIN) * 8;
		frame[LINK_FRAME_MIN + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	count_inc(fault_corrupted);
}

/* --- late frames ---------------------------------------------------------- */

static void arm(struct fault *f)
{
	uint64_t due = TIMERQ_NEVER;

	if (f->late[DIR_OUT].first)
		due = f->late[DIR_OUT].first->due_ns;
	if (f->late[DIR_IN].first && !f->paused)
		due = MIN(due, f->late[DIR_IN].first->due_ns);
	if (due == TIMERQ_NEVER || f->link.is_down)
		timer_del(f->tq, &f->timer);
	else
		timer_set(f->tq, &f->timer, due);
}

static void insert(struct queue *q, struct late *e)
{
	struct late *after = q->last;

	while (after && after->due_ns > e->due_ns)
		after = after->prev;
	e->prev = after;
	e->next = after ? after->next : q->first;
	if (after)
		after->next = e;
	else
		q->first = e;
	if (e->next)
		e->next->prev = e;
	else
		q->last = e;
}

static struct late *take_first(struct fault *f, enum dir d)
{
	struct queue *q = &f->late[d];
	struct late *e = q->first;

	q->first = e->next;
	if (q->first)
		q->first->prev = NULL;
	else
		q->last = NULL;
	f->nlate--;
	return e;
}

static void keep(struct fault *f, enum dir d, uint64_t delay_ns,
		 const struct link_vnet *vh, const struct iovec *iov, int n)
{
	size_t len = iov_len(iov, n);
	struct late *e;

	if (f->nlate >= FAULT_QUEUE) {
		count_inc(drop_fault_queue);
		return;
	}
	e = malloc(sizeof(*e) + len);
	if (!e) {
		count_inc(drop_fault_memory);
		return;
	}
	e->due_ns = timerq_now(f->tq) + delay_ns;
	e->vh = *vh;
	e->len = iov_copy_out(iov, n, 0, e->frame, len);
	insert(&f->late[d], e);
	f->nlate++;
	if (e == f->late[d].first)
		arm(f);
}

/**
 * pass() - Hand a frame on, now
 *
 * Return: 0, and always for DIR_IN; errors of link_send()
 */
static int pass(struct fault *f, enum dir d, const struct link_vnet *vh,
		const struct iovec *iov, int n)
{
	if (d == DIR_OUT)
		return link_send(f->inner, vh, iov, n);
	link_input(&f->link, vh, iov, n);
	return 0;
}

static void pass_late(struct fault *f, enum dir d, const struct link_vnet *vh,
		      const struct iovec *iov, int n)
{
	int rc = pass(f, d, vh, iov, n);

	if (rc == -EAGAIN)
		count_inc(drop_fault_full);
	else if (rc < 0)
		count_inc(drop_fault_refused);
}

static void fault_fire(struct timer *t)
{
	struct fault *f = container_of(t, struct fault, timer);
	uint64_t now = timerq_now(f->tq);
	bool some[DIR_NUM] = { false };

	for (int d = 0; d < DIR_NUM; d++) {
		while (f->late[d].first && f->late[d].first->due_ns <= now) {
			struct late *e;
			struct iovec iov;

			if (f->link.is_down || (d == DIR_IN && f->paused))
				break;
			e = take_first(f, d);
			iov.iov_base = e->frame;
			iov.iov_len = e->len;
			pass_late(f, d, &e->vh, &iov, 1);
			free(e);
			some[d] = true;
		}
	}
	if (some[DIR_IN])
		link_input_done(&f->link);
	if (some[DIR_OUT])
		link_flush(f->inner);
	arm(f);
}

/* --- the link ------------------------------------------------------------- */

/**
 * suffer() - Let a frame meet its fate
 *
 * Return: 0; -errno of the inner link, and then the frame has met nothing yet:
 *	   whoever tries again gets the same faults
 */
static int suffer(struct fault *f, enum dir d, const struct link_vnet *in,
		  const struct iovec *iov, int n)
{
	uint64_t before = f->rng[d];
	struct fate t = draw_fate(f, d);
	struct link_vnet vh = in ? *in : (struct link_vnet){ 0 };
	struct iovec one = { .iov_base = f->work };
	int rc = 0;

	if (t.lost) {
		count_inc(fault_lost);
		return 0;
	}
	if (t.corrupted) {
		one.iov_len = iov_copy_out(iov, n, 0, f->work, sizeof(f->work));
		iov = &one;
		n = 1;
		corrupt(f->work, one.iov_len, &vh, t.bit);
	}
	if (t.delay_ns)
		keep(f, d, t.delay_ns, &vh, iov, n);
	else
		rc = pass(f, d, &vh, iov, n);
	if (rc < 0) {
		f->rng[d] = before;
		return rc;
	}
	if (t.delay_ns > f->cfg.delay_ns)
		count_inc(fault_reordered);
	if (t.doubled) {
		count_inc(fault_doubled);
		if (t.delay2_ns)
			keep(f, d, t.delay2_ns, &vh, iov, n);
		else
			pass_late(f, d, &vh, iov, n);
	}
	return 0;
}

static int fault_send(struct link *l, const struct link_vnet *vh,
		      const struct iovec *iov, int n)
{
	return suffer(fault_of(l), DIR_OUT, vh, iov, n);
}

/* Ours, not the inner link's: nobody knows yet when the frame will go */
static int fault_reserve(struct link *l, size_t len, struct link_room *room)
{
	struct fault *f = fault_of(l);

	if (f->inner->is_down)
		return -ENOTCONN;
	if (f->inner->full)
		return -EAGAIN;
	room->iov[0].iov_base = f->room;
	room->iov[0].iov_len = len;
	room->n = 1;
	room->len = len;
	return 0;
}

/* No room in the inner link was taken, so that it can be full now: a loss */
static int fault_commit(struct link *l, struct link_room *room,
			const struct link_vnet *vh, size_t len)
{
	struct fault *f = fault_of(l);
	struct iovec iov = { .iov_base = f->room, .iov_len = len };
	int rc;

	(void)room;
	if (!len)
		return 0;
	rc = suffer(f, DIR_OUT, vh, &iov, 1);
	if (rc == -EAGAIN) {
		f->link.full = true;
		count_inc(drop_fault_full);
		return 0;
	}
	return rc;
}

static void fault_flush(struct link *l)
{
	link_flush(fault_of(l)->inner);
}

static void fault_pause(struct link *l, bool on)
{
	struct fault *f = fault_of(l);

	f->paused = on;
	link_pause(f->inner, on);
	arm(f);
}

static void fault_close(struct link *l)
{
	struct fault *f = fault_of(l);

	timer_del(f->tq, &f->timer);
	link_close(f->inner);
}

static const struct link_ops fault_ops = {
	.send = fault_send,
	.reserve = fault_reserve,
	.commit = fault_commit,
	.flush = fault_flush,
	.pause = fault_pause,
	.close = fault_close,
};

static void inner_input(struct link *l, const struct link_vnet *vh,
			const struct iovec *iov, int n)
{
	struct fault *f = l->user;

	sync_limits(f);
	suffer(f, DIR_IN, vh, iov, n);
}

static void inner_input_done(struct link *l)
{
	struct fault *f = l->user;

	link_input_done(&f->link);
}

static void inner_drained(struct link *l)
{
	struct fault *f = l->user;

	sync_limits(f);
	link_drained(&f->link);
}

static void inner_down(struct link *l, int why)
{
	struct fault *f = l->user;

	timer_del(f->tq, &f->timer);
	link_down(&f->link, why);
}

struct fault *fault_new(struct link *inner, struct timerq *tq,
			const struct fault_cfg *cfg)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->link.ops = &fault_ops;
	f->inner = inner;
	f->tq = tq;
	f->cfg = *cfg;
	for (int d = 0; d < DIR_NUM; d++)
		f->rng[d] = cfg->seed ^ (uint64_t)d << 63;
	f->timer.fire = fault_fire;
	sync_limits(f);
	inner->input = inner_input;
	inner->input_done = inner_input_done;
	inner->drained = inner_drained;
	inner->down = inner_down;
	inner->user = f;
	return f;
}

struct link *fault_link(struct fault *f)
{
	return &f->link;
}

void fault_free(struct fault *f)
{
	if (!f)
		return;
	timer_del(f->tq, &f->timer);
	for (int d = 0; d < DIR_NUM; d++)
		while (f->late[d].first)
			free(take_first(f, d));
	free(f);
}

/* --- options -------------------------------------------------------------- */

/* Digits only: span_uint() would take a sign */
static int parse_digits(struct span s, uint64_t max, uint64_t *out)
{
	if (!s.len || *s.p < '0' || *s.p > '9')
		return -EINVAL;
	return span_uint(s, max, out) ? -EINVAL : 0;
}

/* "5%", "0.05%": up to four digits behind the point, 100% at most */
static int parse_percent(struct span s, uint32_t *ppm)
{
	uint64_t whole, part = 0;
	struct span head;
	bool point;

	if (!s.len || s.p[s.len - 1] != '%')
		return -EINVAL;
	s.len--;
	head = span_cut(&s, '.', &point);
	if (parse_digits(head, 100, &whole) < 0)
		return -EINVAL;
	if (point) {
		if (s.len > 4 || parse_digits(s, 9999, &part) < 0)
			return -EINVAL;
		for (size_t i = s.len; i < 4; i++)
			part *= 10;
	}
	if (whole * 10000 + part > PPM)
		return -EINVAL;
	*ppm = (uint32_t)(whole * 10000 + part);
	return 0;
}

/* "3us", "1ms", "2s" */
static int parse_time(struct span s, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", NS_PER_US },
		{ "ms", NS_PER_MS },
		{ "s", NS_PER_S },
	};
	struct span num = s;
	uint64_t v;

	for (num.len = 0; num.len < s.len; num.len++)
		if (s.p[num.len] < '0' || s.p[num.len] > '9')
			break;
	s.p += num.len;
	s.len -= num.len;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!span_is(s, units[i].unit))
			continue;
		if (parse_digits(num, 60 * NS_PER_S / units[i].ns, &v) < 0)
			return -EINVAL;
		*ns = v * units[i].ns;
		return 0;
	}
	return -EINVAL;
}

static int parse_one(struct span key, struct span val, struct fault_cfg *c)
{
	if (span_is(key, "seed"))
		return parse_digits(val, UINT64_MAX, &c->seed);
	if (span_is(key, "loss"))
		return parse_percent(val, &c->loss_ppm);
	if (span_is(key, "reorder"))
		return parse_percent(val, &c->reorder_ppm);
	if (span_is(key, "dup"))
		return parse_percent(val, &c->dup_ppm);
	if (span_is(key, "corrupt"))
		return parse_percent(val, &c->corrupt_ppm);
	if (span_is(key, "delay"))
		return parse_time(val, &c->delay_ns);
	if (span_is(key, "reorder-delay"))
		return parse_time(val, &c->reorder_ns);
	return -EINVAL;
}

int fault_parse(const char *text, struct fault_cfg *cfg)
{
	struct fault_cfg c = { .seed = 1, .reorder_ns = NS_PER_MS };
	struct span rest = span_str(text);
	bool more = true;

	if (!rest.len)
		return -EINVAL;
	while (more) {
		struct span val = span_cut(&rest, ',', &more);
		struct span key = span_cut(&val, '=', NULL);

		if (parse_one(key, val, &c) < 0)
			return -EINVAL;
	}
	*cfg = c;
	return 0;
}
