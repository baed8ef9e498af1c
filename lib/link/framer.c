#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "link/framer.h"

#define PREFIX		4	/* the length itself */

/* So much of a record that was cut is made contiguous: headers of a frame */
#define HEAD_MIN	(LINK_VNET_LEN + LINK_HEAD_MIN)

/**
 * struct cursor - Where we are in the input
 * @iov:	Piece that is being read
 * @off:	Bytes of it that have been read
 * @left:	Bytes that have not been read, of all pieces
 */
struct cursor {
	const struct iovec *iov;
	size_t off, left;
};

static void cursor_skip(struct cursor *c, size_t n)
{
	c->left -= n;
	c->off += n;
	while (c->off && c->off >= c->iov->iov_len) {
		c->off -= c->iov->iov_len;
		c->iov++;
	}
}

/* Copy the next @n bytes, which must be there */
static void cursor_copy(struct cursor *c, uint8_t *dst, size_t n)
{
	ASSERT(dst || !n);
	while (n) {
		size_t part = MIN(n, c->iov->iov_len - c->off);

		if (part)
			memcpy(dst, (uint8_t *)c->iov->iov_base + c->off, part);
		dst += part;
		n -= part;
		c->left -= part;
		c->off += part;
		if (c->off == c->iov->iov_len) {
			c->iov++;
			c->off = 0;
		}
	}
}

/**
 * cursor_slice() - The next @n bytes, which must be there, as pieces
 *
 * Return: number of pieces, and the bytes are read; -ENOSPC, and nothing is
 */
static int cursor_slice(struct cursor *c, size_t n, struct iovec *out, int max)
{
	const struct iovec *iov = c->iov;
	size_t off = c->off, want = n;
	int k = 0;

	while (want) {
		size_t part = MIN(want, iov->iov_len - off);

		if (part) {
			if (k == max)
				return -ENOSPC;
			out[k].iov_base = (uint8_t *)iov->iov_base + off;
			out[k++].iov_len = part;
		}
		want -= part;
		iov++;
		off = 0;
	}
	cursor_skip(c, n);
	return k;
}

/* Length that a prefix announces; false if it is out of range */
static bool record_len(const struct framer *f, const uint8_t prefix[PREFIX],
		       size_t *len)
{
	struct rd r = rd_init(prefix, PREFIX);

	*len = rd_u32(&r);
	if (*len == 0)
		return f->keepalive;
	return *len >= f->min && *len <= f->max;
}

/**
 * deliver() - Hand out a record of which the input has everything that @hold
 *	       has not
 * @held:	Bytes of it that are in @hold, behind the prefix
 *
 * Return: what @record returned
 */
static int deliver(struct framer *f, struct cursor *c, size_t held, size_t len,
		   int (*record)(const struct iovec *iov, int n, size_t len,
				 void *arg),
		   void *arg)
{
	struct iovec rec[LINK_IOV_MAX];
	uint8_t *data = f->hold + PREFIX;
	int n = 0, more;

	if (held) {
		if (held < HEAD_MIN) {
			size_t add = MIN(len, HEAD_MIN) - held;

			cursor_copy(c, data + held, add);
			held += add;
		}
		rec[n++] = (struct iovec){ .iov_base = data, .iov_len = held };
	}
	more = cursor_slice(c, len - held, rec + n, LINK_IOV_MAX - n);
	if (more < 0) {		/* in crumbs: one piece is cheaper for all */
		cursor_copy(c, data + held, len - held);
		rec[0] = (struct iovec){ .iov_base = data, .iov_len = len };
		n = 1;
		more = 0;
	}
	f->have = 0;
	if (n && f->spare) {	/* what comes next must not overwrite it */
		f->hold = f->spare;
		f->spare = data - PREFIX;
	}
	return record(rec, n + more, len, arg);
}

/**
 * step() - One record, or what there is of it
 *
 * Return: as framer_input()
 */
static int step(struct framer *f, struct cursor *c,
		int (*record)(const struct iovec *iov, int n, size_t len,
			      void *arg),
		void *arg)
{
	size_t held, len, part;

	if (f->have < PREFIX) {
		part = MIN(PREFIX - f->have, c->left);
		cursor_copy(c, f->hold + f->have, part);
		f->have += part;
		if (f->have < PREFIX)
			return 0;
	}
	/* The copy is judged and used: the input may lie in guest memory */
	if (!record_len(f, f->hold, &len))
		return -EMSGSIZE;
	held = f->have - PREFIX;
	if (c->left >= len - held)
		return deliver(f, c, held, len, record, arg);

	part = c->left;
	cursor_copy(c, f->hold + f->have, part);
	f->have += part;
	return 0;
}

int framer_input(struct framer *f, const struct iovec *iov, int n,
		 int (*record)(const struct iovec *iov, int n, size_t len,
			       void *arg),
		 void *arg)
{
	struct cursor c = { .iov = iov, .left = iov_len(iov, n) };
	size_t all = c.left;
	int rc = 0;

	ASSERT(f->cap >= f->max + PREFIX);
	while (c.left && rc == 0)
		rc = step(f, &c, record, arg);
	f->taken = all - c.left;
	return rc;
}
