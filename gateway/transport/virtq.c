#include "gateway/transport/virtq.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/count.h"
#include "base/util.h"

/* Descriptor (virtio 1.2, 2.7.5) */
#define DESC_LEN	16
#define DESC_F_NEXT	1u
#define DESC_F_WRITE	2u
#define DESC_F_INDIRECT	4u

/* Flags of the two rings, where EVENT_IDX was not negotiated */
#define AVAIL_F_NO_INTERRUPT	1u
#define USED_F_NO_NOTIFY	1u

/* Places in the rings, in units of 16 bits */
#define RING_FLAGS	0
#define RING_IDX	1
#define RING_ENTRIES	2
#define USED_ENTRY	4	/* an id and a length, 32 bits each */

COUNT(vhost_calls, "Notifications sent to guests");

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

void virtq_copy(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
	atomic_signal_fence(memory_order_seq_cst);
}

/* --- memory -------------------------------------------------------------- */

void virtq_mem_clear(struct virtq_mem *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		munmap(m->region[i].map, m->region[i].map_len);
	m->n = 0;
}

/* Huge pages are mapped and unmapped whole; st_blksize is their size */
static uint64_t page_of(const struct stat *st)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t block = st->st_blksize > 0 ? (uint64_t)st->st_blksize : 0;

	return block > page && !(block & (block - 1)) ? block : page;
}

/* #syscalls fstat newfstatat mmap munmap */
static int map_region(struct virtq_region *r, const struct vhost_region *t,
		      int fd)
{
	uint64_t page, start, len;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!t->len || t->gpa + t->len < t->gpa ||
	    t->uaddr + t->len < t->uaddr || t->offset + t->len < t->offset ||
	    st.st_size < 0 || t->offset + t->len > (uint64_t)st.st_size)
		return -EINVAL;
	page = page_of(&st);
	start = t->offset & ~(page - 1);
	len = (t->offset - start + t->len + page - 1) & ~(page - 1);
	r->map = mmap(NULL, len, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_NORESERVE, fd, (off_t)start);
	if (r->map == MAP_FAILED)
		return -errno;
	r->map_len = len;
	r->gpa = t->gpa;
	r->len = t->len;
	r->uaddr = t->uaddr;
	r->p = (uint8_t *)r->map + (t->offset - start);
	return 0;
}

int virtq_mem_set(struct virtq_mem *m, const struct vhost_mem *t,
		  const int *fds)
{
	int rc;

	virtq_mem_clear(m);
	for (uint32_t i = 0; i < t->n; i++) {
		rc = map_region(&m->region[i], &t->region[i], fds[i]);
		if (rc) {
			virtq_mem_clear(m);
			return rc;
		}
		m->n = i + 1;
	}
	return 0;
}

/* The largest region comes first in practice, and there are few */
static const struct virtq_region *region_at(const struct virtq_mem *m,
					    uint64_t gpa)
{
	for (unsigned int i = 0; i < m->n; i++) {
		if (gpa - m->region[i].gpa < m->region[i].len)
			return &m->region[i];
	}
	return NULL;
}

int virtq_mem_iov(const struct virtq_mem *m, uint64_t gpa, uint64_t len,
		  struct iovec *iov, int max)
{
	int n = 0;

	while (len) {
		const struct virtq_region *r = region_at(m, gpa);
		uint64_t off, k;

		if (!r)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		off = gpa - r->gpa;
		k = MIN(len, r->len - off);
		iov[n++] = (struct iovec){ r->p + off, (size_t)k };
		gpa += k;
		len -= k;
	}
	return n;
}

/* Part of a ring: aligned, and in one piece */
static void *part_at(const struct virtq_mem *m, uint64_t uaddr, size_t len,
		     size_t align)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct virtq_region *r = &m->region[i];
		uint64_t off = uaddr - r->uaddr;

		if (off < r->len && len <= r->len - off &&
		    !(((uintptr_t)r->p + off) & (align - 1)))
			return r->p + off;
	}
	return NULL;
}

/* --- ring ---------------------------------------------------------------- */

static uint16_t load(const virtq_u16 *p)
{
	return le16toh(atomic_load_explicit(p, memory_order_relaxed));
}

static void store(virtq_u16 *p, uint16_t v)
{
	atomic_store_explicit(p, htole16(v), memory_order_relaxed);
}

static virtq_u16 *used_event(const struct virtq *vq)
{
	return &vq->avail[RING_ENTRIES + vq->num];
}

static virtq_u16 *avail_event(const struct virtq *vq)
{
	return &vq->used[RING_ENTRIES + (size_t)vq->num * USED_ENTRY];
}

int virtq_map(struct virtq *vq, bool fresh)
{
	size_t num = vq->num;

	vq->mapped = false;
	if (!num || num > VIRTQ_NUM_MAX || num & (num - 1))
		return -EINVAL;
	vq->desc = part_at(vq->mem, vq->addr.desc, num * DESC_LEN, 16);
	vq->avail = part_at(vq->mem, vq->addr.avail, 2 * (3 + num), 2);
	vq->used = part_at(vq->mem, vq->addr.used, 2 * (3 + 4 * num), 4);
	if (!vq->desc || !vq->avail || !vq->used)
		return -EFAULT;
	if (fresh) {
		vq->used_idx = load(&vq->used[RING_IDX]);
		vq->notified = vq->used_idx;
	}
	vq->mapped = true;
	return 0;
}

void virtq_unmap(struct virtq *vq)
{
	vq->mapped = false;
}

int virtq_waiting(const struct virtq *vq)
{
	uint16_t n;

	if (!vq->mapped)
		return 0;
	n = (uint16_t)(load(&vq->avail[RING_IDX]) - vq->last_avail);
	atomic_thread_fence(memory_order_acquire);
	return n > vq->num ? -EPROTO : n;
}

static struct desc desc_parse(const uint8_t b[static DESC_LEN])
{
	struct rd r = rd_init(b, DESC_LEN);
	struct desc d;

	d.addr = rd_le64(&r);
	d.len = rd_le32(&r);
	d.flags = rd_le16(&r);
	d.next = rd_le16(&r);
	return d;
}

/**
 * struct table - Where a chain's descriptors are
 * @p:		The ring's own table, or an indirect one
 * @crumbs:	It does not lie in one piece: @p is not valid
 * @gpa:	Of an indirect table
 * @num:	Descriptors in it
 */
struct table {
	const uint8_t *p;
	bool indirect, crumbs;
	uint64_t gpa;
	uint32_t num;
};

static int table_get(const struct virtq *vq, const struct table *t, uint32_t i,
		     struct desc *d)
{
	uint8_t b[DESC_LEN];
	struct iovec iov[2];
	size_t done = 0;
	int n;

	if (i >= t->num)
		return -EPROTO;
	if (!t->crumbs) {
		virtq_copy(b, t->p + (size_t)i * DESC_LEN, DESC_LEN);
		*d = desc_parse(b);
		return 0;
	}
	n = virtq_mem_iov(vq->mem, t->gpa + (uint64_t)i * DESC_LEN, DESC_LEN,
			  iov, (int)ARRAY_SIZE(iov));
	if (n < 0)
		return -EFAULT;
	for (int k = 0; k < n; k++) {
		virtq_copy(b + done, iov[k].iov_base, iov[k].iov_len);
		done += iov[k].iov_len;
	}
	*d = desc_parse(b);
	return 0;
}

/* Into the indirect table that @d points to */
static int table_enter(const struct virtq *vq, struct table *t,
		       const struct desc *d)
{
	struct iovec whole;

	if (!vq->indirect || t->indirect || d->flags & DESC_F_NEXT ||
	    !d->len || d->len % DESC_LEN)
		return -EPROTO;
	*t = (struct table){ NULL, true, true, d->addr, d->len / DESC_LEN };
	if (t->num > VIRTQ_NUM_MAX)
		return -EPROTO;
	if (virtq_mem_iov(vq->mem, d->addr, d->len, &whole, 1) == 1) {
		t->p = whole.iov_base;
		t->crumbs = false;
	}
	return 0;
}

/* Append what @d points to */
static int chain_add(const struct virtq *vq, struct virtq_chain *c,
		     const struct desc *d, struct iovec *iov, int max)
{
	int n = c->n_out + c->n_in, k;

	if (!(d->flags & DESC_F_WRITE) && c->n_in)
		return -EPROTO;			/* to be read, after to write */
	k = virtq_mem_iov(vq->mem, d->addr, d->len, iov + n, max - n);
	if (k < 0)
		return k;
	if (d->flags & DESC_F_WRITE) {
		c->n_in += k;
		c->in_len += d->len;
	} else {
		c->n_out += k;
		c->out_len += d->len;
	}
	return 0;
}

static int chain_walk(const struct virtq *vq, struct virtq_chain *c,
		      struct iovec *iov, int max)
{
	struct table t = { vq->desc, false, false, 0, vq->num };
	uint32_t i = c->head;
	struct desc d;
	int rc;

	rc = table_get(vq, &t, i, &d);
	if (!rc && d.flags & DESC_F_INDIRECT) {
		rc = table_enter(vq, &t, &d);
		if (!rc)
			rc = table_get(vq, &t, 0, &d);
	}
	if (rc)
		return rc;
	for (uint32_t left = t.num; left; left--) {	/* or it is a loop */
		if (d.flags & DESC_F_INDIRECT)
			return -EPROTO;		/* nested, or not the first */
		rc = chain_add(vq, c, &d, iov, max);
		if (rc)
			return rc;
		if (!(d.flags & DESC_F_NEXT))
			return 0;
		rc = table_get(vq, &t, d.next, &d);
		if (rc)
			return rc;
	}
	return -EPROTO;
}

int virtq_pop(struct virtq *vq, struct virtq_chain *c, struct iovec *iov,
	      int max)
{
	struct virtq_chain v = { 0 };
	int rc = virtq_waiting(vq);

	if (rc <= 0)
		return rc;
	v.head = load(&vq->avail[RING_ENTRIES +
				 (vq->last_avail & (vq->num - 1))]);
	rc = chain_walk(vq, &v, iov, max);
	if (rc)
		return rc;
	vq->last_avail++;
	*c = v;
	return 1;
}

void virtq_unpop(struct virtq *vq, unsigned int n)
{
	vq->last_avail = (uint16_t)(vq->last_avail - n);
}

void virtq_put(struct virtq *vq, uint16_t head, uint32_t len)
{
	size_t at = RING_ENTRIES +
		    (size_t)(vq->used_idx & (vq->num - 1)) * USED_ENTRY;

	if (!vq->mapped)
		return;
	store(&vq->used[at], head);
	store(&vq->used[at + 1], 0);
	store(&vq->used[at + 2], (uint16_t)len);
	store(&vq->used[at + 3], (uint16_t)(len >> 16));
	vq->used_idx++;
	atomic_thread_fence(memory_order_release);
	store(&vq->used[RING_IDX], vq->used_idx);
}

/* Whether the guest wants to know that used went from @notified to @used_idx */
static bool wants_call(const struct virtq *vq)
{
	uint16_t event;

	if (!vq->event_idx)
		return !(load(&vq->avail[RING_FLAGS]) & AVAIL_F_NO_INTERRUPT);
	event = load(used_event(vq));
	return (uint16_t)(vq->used_idx - event - 1) <
	       (uint16_t)(vq->used_idx - vq->notified);
}

/* #syscalls write */
void virtq_call(const struct virtq *vq)
{
	const uint64_t one = 1;

	if (vq->call_fd < 0)
		return;
	count_inc(vhost_calls);
	/* A full eventfd is one that the guest has not looked at yet */
	if (write(vq->call_fd, &one, sizeof(one)) < 0)
		return;
}

void virtq_notify(struct virtq *vq)
{
	bool call;

	if (!vq->mapped || vq->used_idx == vq->notified)
		return;
	/* The index must be visible before we look whether it is waited for */
	atomic_thread_fence(memory_order_seq_cst);
	call = wants_call(vq);
	vq->notified = vq->used_idx;
	if (call)
		virtq_call(vq);
}

bool virtq_kick_on(struct virtq *vq, int seen)
{
	uint16_t idx;
	int n;

	if (!vq->mapped)
		return false;
	if (vq->event_idx) {
		idx = (uint16_t)(vq->last_avail + seen);
		store(avail_event(vq), idx);
	} else {
		store(&vq->used[RING_FLAGS], 0);
	}
	/* What came before the guest could see this will not be told */
	atomic_thread_fence(memory_order_seq_cst);
	n = virtq_waiting(vq);
	return n < 0 || n > seen;
}

void virtq_kick_off(struct virtq *vq)
{
	if (vq->mapped && !vq->event_idx)
		store(&vq->used[RING_FLAGS], USED_F_NO_NOTIFY);
}
