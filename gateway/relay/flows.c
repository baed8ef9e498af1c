#include "gateway/relay/flows.h"

static void reap(struct ev_task *t)
{
	flows_reap(container_of(t, struct flows, reap));
}

int flows_init(struct flows *fs, struct ev *ev, size_t size, uint32_t cap)
{
	*fs = (struct flows){ .ev = ev, .reap = { .run = reap } };
	return slab_init(&fs->slab, size, cap);
}

void flows_done(struct flows *fs)
{
	ASSERT(!fs->newest);
	if (!fs->ev)
		return;
	ev_undefer(fs->ev, &fs->reap);
	flows_reap(fs);
	slab_done(&fs->slab);
}

static void unlink_flow(struct flows *fs, struct flow *f)
{
	*(f->newer ? &f->newer->older : &fs->newest) = f->older;
	*(f->older ? &f->older->newer : &fs->oldest) = f->newer;
}

static void push(struct flows *fs, struct flow *f)
{
	f->newer = NULL;
	f->older = fs->newest;
	*(fs->newest ? &fs->newest->newer : &fs->oldest) = f;
	fs->newest = f;
}

void *flows_new(struct flows *fs)
{
	struct flow *f = slab_new(&fs->slab);

	if (f)
		push(fs, f);
	return f;
}

bool flows_is_full(const struct flows *fs)
{
	return fs->slab.used == fs->slab.cap;
}

void flows_used(struct flows *fs, struct flow *f)
{
	if (fs->newest == f)
		return;
	unlink_flow(fs, f);
	push(fs, f);
}

void flows_end(struct flows *fs, struct flow *f)
{
	ASSERT(!f->dead);
	unlink_flow(fs, f);
	f->dead = true;
	f->older = fs->dead;
	fs->dead = f;
	ev_defer(fs->ev, &fs->reap);
}

void flows_reap(struct flows *fs)
{
	while (fs->dead) {
		struct flow *f = fs->dead;

		fs->dead = f->older;
		slab_del(&fs->slab, f);
	}
}
