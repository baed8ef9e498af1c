#include "proto/hello.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define MAGIC_LEN	4
#define HEAD_LEN	(MAGIC_LEN + 2 + 2)	/* through the length */

int hello_need(struct span s)
{
	struct rd r = rd_init(s.p, s.len);
	size_t n = MIN(s.len, (size_t)MAGIC_LEN);
	unsigned int len;

	if (n && memcmp(s.p, HELLO_MAGIC, n))
		return -EBADMSG;
	if (s.len < HEAD_LEN)
		return 0;
	rd_take(&r, MAGIC_LEN + 2);
	len = rd_u16(&r);
	if (len < HELLO_LEN || len > HELLO_MAX)
		return -EBADMSG;
	return (int)len;
}

int hello_parse(struct rd r, struct hello *h)
{
	size_t total = rd_left(&r);
	struct hello t = { 0 };
	char magic[MAGIC_LEN] = "";
	uint16_t len;

	rd_copy(&r, magic, sizeof(magic));
	t.version = rd_u16(&r);
	len = rd_u16(&r);
	t.features = rd_u32(&r);
	t.mtu = rd_u16(&r);
	rd_copy(&r, t.mac, sizeof(t.mac));
	rd_copy(&r, t.boot_id, sizeof(t.boot_id));
	rd_copy(&r, t.token, sizeof(t.token));
	if (r.bad || memcmp(magic, HELLO_MAGIC, MAGIC_LEN) || len != total ||
	    total > HELLO_MAX)
		return -EBADMSG;
	while (rd_left(&r)) {
		rd_u16(&r);			/* no type is known yet */
		rd_take(&r, rd_u16(&r));
	}
	if (!rd_done(&r))
		return -EBADMSG;
	if (!t.version)
		return -EPROTONOSUPPORT;
	*h = t;
	return 0;
}

void hello_emit(struct wr *w, const struct hello *h)
{
	wr_bytes(w, HELLO_MAGIC, MAGIC_LEN);
	wr_u16(w, h->version);
	wr_u16(w, HELLO_LEN);
	wr_u32(w, h->features);
	wr_u16(w, h->mtu);
	wr_bytes(w, h->mac, sizeof(h->mac));
	wr_bytes(w, h->boot_id, sizeof(h->boot_id));
	wr_bytes(w, h->token, sizeof(h->token));
}

bool hello_has_token(const struct hello *h)
{
	static const uint8_t none[HELLO_TOKEN_LEN];

	return memcmp(h->token, none, sizeof(none)) != 0;
}
