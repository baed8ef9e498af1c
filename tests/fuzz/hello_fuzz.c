#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "proto/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int need = hello_need((struct span){ data, len });
	struct hello h = { 0 }, again = { 0 };
	uint8_t buf[HELLO_LEN], second[HELLO_LEN];
	struct wr w = wr_init(buf, sizeof(buf));
	int rc = hello_parse(rd_init(data, len), &h);

	ASSERT(need == -EBADMSG || need == 0 ||
	       (need >= HELLO_LEN && need <= HELLO_MAX));
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
	if (rc)
		return 0;
	ASSERT((size_t)need == len);
	hello_has_token(&h);
	hello_emit(&w, &h);
	ASSERT(!w.bad && wr_len(&w) == HELLO_LEN);
	ASSERT(!hello_parse(rd_init(buf, sizeof(buf)), &again));
	w = wr_init(second, sizeof(second));
	hello_emit(&w, &again);
	ASSERT(!memcmp(buf, second, sizeof(buf)));
	return 0;
}
