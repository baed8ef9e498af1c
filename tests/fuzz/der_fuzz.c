/* One certificate in DER: judged, hashed, and put into a store for Java */
#include <stdlib.h>
#include <string.h>

#include "agent/der.h"
#include "agent/jks.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Every element written anew has the same bytes */
static void frames(struct span all)
{
	struct rd r = rd_init(all.p, all.len);
	struct der d;

	while (rd_left(&r) && der_next(&r, &d)) {
		uint8_t head[DER_HEAD_MAX];
		struct wr w = wr_init(head, sizeof(head));

		der_head(&w, d.tag, d.body.len);
		ASSERT(!w.bad && wr_len(&w) + d.body.len == d.all.len);
		ASSERT(!memcmp(head, d.all.p, wr_len(&w)));
	}
}

static void store(struct span der)
{
	struct roots set = { 0 };
	uint8_t *buf;
	struct wr w;

	if (roots_add(&set, der, "fuzz"))
		return;
	buf = malloc(jks_size(&set));
	if (buf) {
		w = wr_init(buf, jks_size(&set));
		jks_emit(&set, &w);
		ASSERT(!w.bad && !wr_left(&w));
	}
	free(buf);
	roots_free(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span der = { data, len };
	const char *why;
	struct x509 c;
	uint32_t hash;
	enum x509_verdict v;
	int rc;

	frames(der);
	v = x509_judge(der, &c, &why);
	ASSERT((v == X509_VERDICT_CA) == !why[0]);
	ASSERT(strlen(c.name) < X509_NAME_MAX);
	rc = x509_parse(der, &c);
	ASSERT(rc == 0 || v == X509_VERDICT_BROKEN);
	if (rc)
		return 0;
	ASSERT(der_frames(der) && c.subject.len >= 2 &&
	       c.subject.p > der.p && c.subject.len < der.len);
	(void)x509_hash(&c, &hash);
	store(der);
	return 0;
}
