/* What the agent says to PID 1, in pieces of as many bytes as the first says */
#include <string.h>

#include "base/util.h"
#include "init/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void said(void *arg, enum watch_said what)
{
	unsigned int *n = arg;

	ASSERT(what == WATCH_SAID_READY || what == WATCH_SAID_FAILED);
	(*n)++;
}

static void sane(const struct watch *w)
{
	ASSERT(w->len <= sizeof(w->line));
	ASSERT(memchr(w->ca_bundle, '\0', sizeof(w->ca_bundle)));
	ASSERT(memchr(w->ca_file, '\0', sizeof(w->ca_file)));
	ASSERT(memchr(w->reason, '\0', sizeof(w->reason)));
	for (size_t i = 0; w->has_token && i < sizeof(w->token); i++)
		ASSERT(strchr("0123456789abcdefABCDEF", w->token[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct watch w, whole;
	unsigned int n = 0, all = 0;
	size_t step;

	if (!len)
		return 0;
	step = data[0] ? data[0] : 1;
	data++;
	len--;
	memset(&w, 0, sizeof(w));
	memset(&whole, 0, sizeof(whole));
	watch_begin(&w);
	for (size_t i = 0; i < len; i += step) {
		watch_feed(&w, (const char *)data + i, MIN(step, len - i),
			   said, &n);
		sane(&w);
	}
	/* How it was cut makes no difference */
	watch_begin(&whole);
	watch_feed(&whole, (const char *)data, len, said, &all);
	ASSERT(n == all && w.has_token == whole.has_token);
	ASSERT(!strcmp(w.reason, whole.reason));
	ASSERT(!strcmp(w.ca_bundle, whole.ca_bundle));
	ASSERT(!w.has_token || !memcmp(w.token, whole.token,
				       sizeof(w.token)));
	return 0;
}
