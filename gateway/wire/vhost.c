#include "gateway/wire/vhost.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>

#include "base/util.h"

static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "vhost-user is native-endian");

/* The forms that a payload may have */
enum vhost_form {
	VHOST_FORM_UNKNOWN,
	VHOST_FORM_NONE,
	VHOST_FORM_U64,
	VHOST_FORM_STATE,
	VHOST_FORM_ADDR,
	VHOST_FORM_MEM,
	VHOST_FORM_CONFIG,
};

static const uint8_t forms[] = {
	[VHOST_REQ_GET_FEATURES]	= VHOST_FORM_NONE,
	[VHOST_REQ_SET_FEATURES]	= VHOST_FORM_U64,
	[VHOST_REQ_SET_OWNER]		= VHOST_FORM_NONE,
	[VHOST_REQ_RESET_OWNER]		= VHOST_FORM_NONE,
	[VHOST_REQ_SET_MEM_TABLE]	= VHOST_FORM_MEM,
	[VHOST_REQ_SET_VRING_NUM]	= VHOST_FORM_STATE,
	[VHOST_REQ_SET_VRING_ADDR]	= VHOST_FORM_ADDR,
	[VHOST_REQ_SET_VRING_BASE]	= VHOST_FORM_STATE,
	[VHOST_REQ_GET_VRING_BASE]	= VHOST_FORM_STATE,
	[VHOST_REQ_SET_VRING_KICK]	= VHOST_FORM_U64,
	[VHOST_REQ_SET_VRING_CALL]	= VHOST_FORM_U64,
	[VHOST_REQ_SET_VRING_ERR]	= VHOST_FORM_U64,
	[VHOST_REQ_GET_PROTOCOL_FEATURES] = VHOST_FORM_NONE,
	[VHOST_REQ_SET_PROTOCOL_FEATURES] = VHOST_FORM_U64,
	[VHOST_REQ_GET_QUEUE_NUM]	= VHOST_FORM_NONE,
	[VHOST_REQ_SET_VRING_ENABLE]	= VHOST_FORM_STATE,
	[VHOST_REQ_GET_CONFIG]		= VHOST_FORM_CONFIG,
};

static enum vhost_form form_of(uint32_t req)
{
	return req < ARRAY_SIZE(forms) ? (enum vhost_form)forms[req] :
	       VHOST_FORM_UNKNOWN;
}

int vhost_hdr_parse(struct rd r, struct vhost_hdr *h)
{
	struct vhost_hdr v;

	v.req = rd_le32(&r);
	v.flags = rd_le32(&r);
	v.size = rd_le32(&r);
	if (!rd_done(&r) || (v.flags & 3) != VHOST_FLAG_VERSION ||
	    v.size > VHOST_PAYLOAD_MAX)
		return -EBADMSG;
	*h = v;
	return 0;
}

static void parse_addr(struct rd *r, struct vhost_addr *a)
{
	a->index = rd_le32(r);
	a->flags = rd_le32(r);
	a->desc = rd_le64(r);
	a->used = rd_le64(r);
	a->avail = rd_le64(r);
	a->log = rd_le64(r);
}

static int parse_mem(struct rd *r, struct vhost_mem *m)
{
	m->n = rd_le32(r);
	rd_le32(r);				/* padding */
	if (m->n > VHOST_REGIONS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < m->n; i++) {
		struct vhost_region *g = &m->region[i];

		g->gpa = rd_le64(r);
		g->len = rd_le64(r);
		g->uaddr = rd_le64(r);
		g->offset = rd_le64(r);
	}
	/* Some VMMs send the unused slots too */
	if (!r->bad && !(rd_left(r) % 32) &&
	    rd_left(r) <= 32 * (VHOST_REGIONS_MAX - m->n))
		rd_take(r, rd_left(r));
	return 0;
}

static int parse_config(struct rd *r, struct vhost_config *c)
{
	c->offset = rd_le32(r);
	c->size = rd_le32(r);
	c->flags = rd_le32(r);
	if (c->size > VHOST_CONFIG_MAX)
		return -EBADMSG;
	rd_copy(r, c->data, c->size);
	return 0;
}

int vhost_msg_parse(const struct vhost_hdr *h, struct rd r,
		    struct vhost_msg *m)
{
	struct vhost_msg v = { .req = h->req, .flags = h->flags };
	int rc = 0;

	switch (form_of(h->req)) {
	case VHOST_FORM_UNKNOWN:
		return -EOPNOTSUPP;
	case VHOST_FORM_NONE:
		break;
	case VHOST_FORM_U64:
		v.u64 = rd_le64(&r);
		break;
	case VHOST_FORM_STATE:
		v.state.index = rd_le32(&r);
		v.state.num = rd_le32(&r);
		break;
	case VHOST_FORM_ADDR:
		parse_addr(&r, &v.addr);
		break;
	case VHOST_FORM_MEM:
		rc = parse_mem(&r, &v.mem);
		break;
	case VHOST_FORM_CONFIG:
		rc = parse_config(&r, &v.config);
		break;
	}
	if (rc || !rd_done(&r))
		return -EBADMSG;
	*m = v;
	return 0;
}

static void emit_hdr(struct wr *w, uint32_t req, uint32_t flags, size_t size)
{
	wr_le32(w, req);
	wr_le32(w, flags);
	wr_le32(w, (uint32_t)size);
}

static void emit_addr(struct wr *w, const struct vhost_addr *a)
{
	wr_le32(w, a->index);
	wr_le32(w, a->flags);
	wr_le64(w, a->desc);
	wr_le64(w, a->used);
	wr_le64(w, a->avail);
	wr_le64(w, a->log);
}

static void emit_mem(struct wr *w, const struct vhost_mem *m)
{
	wr_le32(w, m->n);
	wr_le32(w, 0);
	for (uint32_t i = 0; i < m->n; i++) {
		wr_le64(w, m->region[i].gpa);
		wr_le64(w, m->region[i].len);
		wr_le64(w, m->region[i].uaddr);
		wr_le64(w, m->region[i].offset);
	}
}

static void emit_config(struct wr *w, const struct vhost_config *c)
{
	wr_le32(w, c->offset);
	wr_le32(w, c->size);
	wr_le32(w, c->flags);
	wr_bytes(w, c->data, c->size);
}

static size_t payload_len(const struct vhost_msg *m)
{
	switch (form_of(m->req)) {
	case VHOST_FORM_UNKNOWN:
	case VHOST_FORM_NONE:
		break;
	case VHOST_FORM_U64:
	case VHOST_FORM_STATE:
		return 8;
	case VHOST_FORM_ADDR:
		return 40;
	case VHOST_FORM_MEM:
		ASSERT(m->mem.n <= VHOST_REGIONS_MAX);
		return 8 + 32 * (size_t)m->mem.n;
	case VHOST_FORM_CONFIG:
		ASSERT(m->config.size <= VHOST_CONFIG_MAX);
		return 12 + (size_t)m->config.size;
	}
	return 0;
}

void vhost_msg_emit(struct wr *w, const struct vhost_msg *m)
{
	ASSERT(form_of(m->req) != VHOST_FORM_UNKNOWN);
	emit_hdr(w, m->req, m->flags, payload_len(m));
	switch (form_of(m->req)) {
	case VHOST_FORM_UNKNOWN:
	case VHOST_FORM_NONE:
		break;
	case VHOST_FORM_U64:
		wr_le64(w, m->u64);
		break;
	case VHOST_FORM_STATE:
		wr_le32(w, m->state.index);
		wr_le32(w, m->state.num);
		break;
	case VHOST_FORM_ADDR:
		emit_addr(w, &m->addr);
		break;
	case VHOST_FORM_MEM:
		emit_mem(w, &m->mem);
		break;
	case VHOST_FORM_CONFIG:
		emit_config(w, &m->config);
		break;
	}
}

void vhost_reply_u64(struct wr *w, uint32_t req, uint64_t v)
{
	emit_hdr(w, req, VHOST_FLAG_VERSION | VHOST_FLAG_REPLY, 8);
	wr_le64(w, v);
}

void vhost_reply_state(struct wr *w, uint32_t req, const struct vhost_state *s)
{
	emit_hdr(w, req, VHOST_FLAG_VERSION | VHOST_FLAG_REPLY, 8);
	wr_le32(w, s->index);
	wr_le32(w, s->num);
}

void vhost_reply_config(struct wr *w, const struct vhost_config *c)
{
	emit_hdr(w, VHOST_REQ_GET_CONFIG, VHOST_FLAG_VERSION | VHOST_FLAG_REPLY,
		 c ? 12 + (size_t)c->size : 0);
	if (c)
		emit_config(w, c);
}

int vsock_hdr_parse(struct rd r, struct vsock_hdr *h)
{
	struct vsock_hdr v;

	v.src_cid = rd_le64(&r);
	v.dst_cid = rd_le64(&r);
	v.src_port = rd_le32(&r);
	v.dst_port = rd_le32(&r);
	v.len = rd_le32(&r);
	v.type = rd_le16(&r);
	v.op = rd_le16(&r);
	v.flags = rd_le32(&r);
	v.buf_alloc = rd_le32(&r);
	v.fwd_cnt = rd_le32(&r);
	if (r.bad)
		return -EBADMSG;
	*h = v;
	return 0;
}

void vsock_hdr_emit(struct wr *w, const struct vsock_hdr *h)
{
	wr_le64(w, h->src_cid);
	wr_le64(w, h->dst_cid);
	wr_le32(w, h->src_port);
	wr_le32(w, h->dst_port);
	wr_le32(w, h->len);
	wr_le16(w, h->type);
	wr_le16(w, h->op);
	wr_le32(w, h->flags);
	wr_le32(w, h->buf_alloc);
	wr_le32(w, h->fwd_cnt);
}
