#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/tcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What was accepted is emitted and parsed again: the same must come out */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tcp_hdr a, b;
	uint8_t buf[TCP_HDR_MAX];
	struct wr w = wr_init(buf, sizeof(buf));

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	if (tcp_hdr_parse(rd_init(data, len), &a))
		return 0;
	ASSERT(a.hlen >= TCP_HDR_MIN && a.hlen <= len);
	ASSERT(a.opt.wscale <= TCP_WSCALE_MAX);
	ASSERT(a.opt.nsack <= TCP_SACK_MAX);
	if (tcp_hdr_len(&a) > TCP_HDR_MAX)	/* we pad more than they did */
		return 0;
	tcp_hdr_emit(&w, &a);
	ASSERT(!w.bad);
	ASSERT(!tcp_hdr_parse(rd_init(buf, wr_len(&w)), &b));
	ASSERT(b.hlen == wr_len(&w) && !b.opt.bad);
	ASSERT(a.seq == b.seq && a.ack == b.ack && a.flags == b.flags);
	ASSERT(a.sport == b.sport && a.dport == b.dport && a.wnd == b.wnd);
	ASSERT(a.opt.mss == b.opt.mss && a.opt.sack_ok == b.opt.sack_ok);
	ASSERT(a.opt.has_wscale == b.opt.has_wscale);
	ASSERT(a.opt.wscale == b.opt.wscale && a.opt.has_ts == b.opt.has_ts);
	ASSERT(a.opt.tsval == b.opt.tsval && a.opt.tsecr == b.opt.tsecr);
	ASSERT(a.opt.nsack == b.opt.nsack);
	ASSERT(!memcmp(a.opt.sack, b.opt.sack,
		       a.opt.nsack * sizeof(a.opt.sack[0])));
	return 0;
}
