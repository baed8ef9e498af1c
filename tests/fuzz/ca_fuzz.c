/* A file of CA certificates, as the host or an image has put it there */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ca.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t out[2 * CA_MAX], again[2 * CA_MAX];
	struct wr w = wr_init(out, sizeof(out));
	struct wr w2 = wr_init(again, sizeof(again));
	const char *why = NULL;
	int rc, rc2;

	if (len > CA_MAX)
		return 0;
	rc = ca_check((struct span){ data, len }, &w, &why);
	ASSERT(rc > 0 || rc == -EBADMSG || rc == -ENOMEM);
	ASSERT(why && (rc > 0) == !why[0]);
	ASSERT(rc <= CA_CERTS_MAX && !w.bad);
	if (rc < 0)
		return 0;
	/* What was written anew is taken, and stays as it is */
	rc2 = ca_check((struct span){ out, wr_len(&w) }, &w2, &why);
	ASSERT(rc2 == rc && wr_len(&w2) == wr_len(&w));
	ASSERT(!memcmp(out, again, wr_len(&w)));
	return 0;
}
