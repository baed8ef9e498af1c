#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/wire/dns.h"

/*
 * The input is a query, an answer to it, or both at once: whatever is accepted
 * must hold what the header promises.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void names(struct span msg)
{
	struct rd r = rd_init(msg.p, msg.len);
	char text[DNS_TEXT_MAX], again[DNS_TEXT_MAX];
	uint8_t buf[DNS_HDR_LEN + DNS_NAME_MAX] = { 0 };
	struct wr w = wr_init(buf, sizeof(buf));
	struct rd back;

	rd_take(&r, DNS_HDR_LEN);
	if (dns_name_parse(msg, &r, text))
		return;
	wr_zero(&w, DNS_HDR_LEN);
	ASSERT(dns_name_emit(text, &w) == 0 && !w.bad);
	back = rd_init(buf, wr_len(&w));
	rd_take(&back, DNS_HDR_LEN);
	ASSERT(!dns_name_parse((struct span){ buf, wr_len(&w) }, &back, again));
	ASSERT(rd_done(&back) && !strcmp(text, again));
}

static void query(struct span msg)
{
	static const struct ipaddr a6 = { .b = { 0x20, 1, [15] = 1 } };
	uint8_t out[2 * DNS_UDP_MAX];
	struct wr w = wr_init(out, sizeof(out));
	struct dns_query q;
	int n, rc = dns_parse_query(msg, &q);

	if (rc == 0) {
		ASSERT(q.question.len && q.payload >= DNS_UDP_MAX);
		n = dns_emit_reply(&q, DNS_RCODE_OK, false, &a6, 60, &w);
		ASSERT(n > 0);
		ASSERT(!dns_check_answer((struct span){ out, (size_t)n }, &q));
		dns_check_answer(msg, &q);
	} else {
		n = dns_emit_reply(&(struct dns_query){ 0 }, DNS_RCODE_FORMERR,
				   false, NULL, 0, &w);
		ASSERT(n == DNS_HDR_LEN);
	}
}

static void answer(struct span msg)
{
	char text[DNS_TEXT_MAX];
	struct ipaddr addr;
	struct dns_rrs it;
	struct dns_rr rr;
	uint8_t *out = malloc(msg.len + DNS_NAME_MAX);
	struct wr w = wr_init(out, msg.len + DNS_NAME_MAX);
	int n;

	if (!out)
		return;
	n = dns_truncate(msg, &w);
	ASSERT(n < 0 || (size_t)n <= msg.len);
	if (dns_rrs_init(&it, msg) == 0) {
		while (dns_rrs_next(&it, &rr) > 0) {
			dns_rr_addr(&rr, &addr);
			dns_rr_target(&it, &rr, text);
		}
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span msg = { .p = data, .len = len };

	if (len > DNS_MSG_MAX)
		return 0;
	names(msg);
	query(msg);
	answer(msg);
	return 0;
}
