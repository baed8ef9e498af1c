/*
 * A server that a hostile peer talks to, on a virtual clock.
 *
 * Input: u8 features, u8 what we do meanwhile, u8 seed of the cuts, the stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "link/framed.h"
#include "tests/memstream.h"

#define MTU	1500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct memstream ms;
static unsigned int sum;

/* What the upper layer does, by bits of the second byte */
enum {
	DO_REFUSE = 1,
	DO_PAUSE = 2,
	DO_DOWN = 4,
	DO_SEND = 8,
	DO_CLOCK = 16,
	DO_FULL = 32,
};

struct upper {
	unsigned int what, frames;
	bool down;
};

static int on_hello(struct framed *f, const struct hello *in,
		    struct hello *answer)
{
	struct upper *u = f->link.user;

	ASSERT(in->version && f->state == FRAMED_STATE_HELLO);
	answer->features = in->features;
	return u->what & DO_REFUSE ? -EACCES : 0;
}

static void on_input(struct link *l, const struct link_vnet *vh,
		     const struct iovec *iov, int n)
{
	struct framed *f = container_of(l, struct framed, link);
	struct upper *u = l->user;
	size_t len = iov_len(iov, n);

	ASSERT(!u->down && f->state >= FRAMED_STATE_NATIVE);
	ASSERT(len >= LINK_FRAME_MIN && len <= LINK_FRAME_MAX + 4);
	ASSERT(link_vnet_check(vh, len, l->can_recv) == 0);
	for (int i = 0; i < n; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			sum += ((uint8_t *)iov[i].iov_base)[j];
	u->frames++;
	if (u->what & DO_PAUSE && u->frames % 2)
		link_pause(l, true);
	if (u->what & DO_DOWN && u->frames == 3)
		link_down(l, -ECANCELED);
}

static void on_down(struct link *l, int why)
{
	struct upper *u = l->user;

	ASSERT(why < 0 && !u->down);
	u->down = true;
}

static void meanwhile(struct framed *f, struct upper *u)
{
	static uint8_t frame[60];
	struct iovec iov = { frame, sizeof(frame) };
	struct link_room room;

	if (u->what & DO_SEND) {
		link_send(&f->link, NULL, &iov, 1);
		if (link_reserve(&f->link, 1000, &room) == 0)
			link_commit(&f->link, &room, NULL, u->frames % 2 * 99);
	}
	if (u->what & DO_CLOCK)
		timerq_run(f->tq, timerq_now(f->tq) + NS_PER_S);
	if (ms.len > 100000) {
		ms.len = 0;
		stream_drained(&ms.s);
	}
}

/* One piece of input, offered again after each pause */
static void feed(struct framed *f, struct upper *u, const uint8_t *p,
		 size_t len)
{
	uint8_t *copy = malloc(len);
	size_t off = 0;

	ASSERT(copy);
	memcpy(copy, p, len);
	while (off < len && !ms.s.is_down) {
		struct iovec iov = { copy + off, len - off };
		size_t n = ms.s.input(&ms.s, &iov, 1);

		ASSERT(n <= len - off);
		ASSERT(n == len - off || ms.paused);
		off += n;
		ms.s.input_done(&ms.s);
		meanwhile(f, u);
		link_pause(&f->link, false);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd r = rd_init(data, len);
	struct framed_cfg cfg = {
		.server = true, .mtu = MTU, .hello = on_hello,
		.features = rd_u8(&r),
	};
	struct upper u = { .what = rd_u8(&r) };
	uint32_t seed = rd_u8(&r);
	struct framed f = { .link = { .input = on_input, .down = on_down,
				      .user = &u } };
	struct timerq tq;

	memstream_init(&ms);
	if (u.what & DO_FULL)
		ms.limit = 2000;
	if (timerq_init(&tq, 2) < 0 || framed_init(&f, &ms.s, &tq, &cfg) < 0)
		return 0;
	while (rd_left(&r)) {
		size_t part;

		seed = seed * 1103515245 + 12345;
		part = 1 + (seed >> 16) % (seed & 0x8000 ? 8 : 2000);
		part = MIN(rd_left(&r), part);
		feed(&f, &u, rd_take(&r, part), part);
	}
	link_close(&f.link);
	ASSERT(tq.n == 0);
	timerq_free(&tq);
	return 0;
}
