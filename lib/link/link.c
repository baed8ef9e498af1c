#include <errno.h>

#include "base/fd.h"
#include "base/rd.h"
#include "base/util.h"
#include "base/wr.h"
#include "link/link.h"

/**
 * gso_bits() - Which LINK_F_* allow a GSO type, any one of them
 *
 * Return: 0 for a type that can never be offered
 */
static uint32_t gso_bits(uint8_t gso_type)
{
	switch (gso_type) {
	case LINK_VNET_GSO_TCPV4:
		return LINK_F_TSO4;
	case LINK_VNET_GSO_TCPV6:
		return LINK_F_TSO6;
	case LINK_VNET_GSO_UDP_L4:	/* the kernel takes both or none */
		return LINK_F_USO4 | LINK_F_USO6;
	default:
		return 0;
	}
}

/**
 * admit() - Whether a frame of our own may go out over a link
 *
 * Return: 0; errors of link_send()
 */
static int admit(const struct link *l, const struct link_vnet *vh, size_t len)
{
	if (len < LINK_FRAME_MIN || len > l->max_frame)
		return -EMSGSIZE;
	if (!vh)
		return 0;
	if ((vh->flags & LINK_VNET_F_NEEDS_CSUM) &&
	    !(l->can_send & LINK_F_CSUM))
		return -EOPNOTSUPP;
	if (vh->gso_type != LINK_VNET_GSO_NONE &&
	    !(l->can_send & gso_bits(vh->gso_type)))
		return -EOPNOTSUPP;
	return 0;
}

int link_send(struct link *l, const struct link_vnet *vh,
	      const struct iovec *iov, int n)
{
	int rc;

	if (l->is_down)
		return -ENOTCONN;
	rc = admit(l, vh, iov_len(iov, n));
	if (rc == 0)
		rc = l->ops->send(l, vh, iov, n);
	if (rc == -EAGAIN)
		l->full = true;
	return rc;
}

int link_reserve(struct link *l, size_t len, struct link_room *room)
{
	int rc;

	if (l->is_down)
		return -ENOTCONN;
	rc = admit(l, NULL, len);
	if (rc == 0)
		rc = l->ops->reserve(l, len, room);
	if (rc == -EAGAIN)
		l->full = true;
	return rc;
}

int link_commit(struct link *l, struct link_room *room,
		const struct link_vnet *vh, size_t len)
{
	int rc = 0;

	ASSERT(len <= room->len);
	if (len)
		rc = l->is_down ? -ENOTCONN : admit(l, vh, len);
	if (rc < 0 || len == 0) {
		l->ops->commit(l, room, NULL, 0);
		return rc;
	}
	return l->ops->commit(l, room, vh, len);
}

void link_flush(struct link *l)
{
	if (!l->is_down)
		l->ops->flush(l);
}

void link_pause(struct link *l, bool on)
{
	if (!l->is_down)
		l->ops->pause(l, on);
}

void link_down(struct link *l, int why)
{
	if (l->is_down)
		return;
	l->is_down = true;
	if (l->down)
		l->down(l, why);
}

void link_close(struct link *l)
{
	l->is_down = true;	/* nothing is delivered, nobody is told */
	l->ops->close(l);
}

void link_input(struct link *l, const struct link_vnet *vh,
		const struct iovec *iov, int n)
{
	if (!l->is_down && l->input)
		l->input(l, vh, iov, n);
}

void link_input_done(struct link *l)
{
	if (!l->is_down && l->input_done)
		l->input_done(l);
}

void link_drained(struct link *l)
{
	if (l->is_down || !l->full)
		return;
	l->full = false;
	if (l->drained)
		l->drained(l);
}

void link_vnet_get(const uint8_t b[static LINK_VNET_LEN], struct link_vnet *vh)
{
	struct rd r = rd_init(b, LINK_VNET_LEN);

	vh->flags = rd_u8(&r);
	vh->gso_type = rd_u8(&r);
	vh->hdr_len = rd_le16(&r);
	vh->gso_size = rd_le16(&r);
	vh->csum_start = rd_le16(&r);
	vh->csum_offset = rd_le16(&r);
	/* num_buffers belongs to a ring with mergeable buffers: no meaning */
}

void link_vnet_put(const struct link_vnet *vh, uint8_t b[static LINK_VNET_LEN])
{
	struct wr w = wr_init(b, LINK_VNET_LEN);

	wr_u8(&w, vh->flags);
	wr_u8(&w, vh->gso_type);
	wr_le16(&w, vh->hdr_len);
	wr_le16(&w, vh->gso_size);
	wr_le16(&w, vh->csum_start);
	wr_le16(&w, vh->csum_offset);
	wr_le16(&w, 0);
	ASSERT(!w.bad);
}

int link_vnet_check(const struct link_vnet *vh, size_t len, uint32_t can)
{
	const uint8_t known = LINK_VNET_F_NEEDS_CSUM | LINK_VNET_F_DATA_VALID;
	bool needs = vh->flags & LINK_VNET_F_NEEDS_CSUM;

	if (vh->flags & ~known)
		return -EBADMSG;
	if (vh->flags && !(can & LINK_F_CSUM))
		return -EBADMSG;
	if (vh->hdr_len > len)
		return -EBADMSG;
	if (needs && (vh->csum_start < LINK_FRAME_MIN ||
		      (size_t)vh->csum_start + vh->csum_offset + 2 > len))
		return -EBADMSG;
	if (vh->gso_type == LINK_VNET_GSO_NONE)
		return 0;
	if (!(can & gso_bits(vh->gso_type)) || !needs || !vh->gso_size)
		return -EBADMSG;
	return 0;
}
