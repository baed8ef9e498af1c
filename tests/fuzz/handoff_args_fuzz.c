/*
 * The first byte: words or pairs, and whether the rest is base64url as it comes
 * or JSON that is to be encoded, which an engine gets further with
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "init/handoff_args.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define JSON_MAX	4096

/** encode() - base64url without padding; its length */
static size_t encode(const uint8_t *p, size_t len, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"
				     "nopqrstuvwxyz0123456789-_";
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = MIN(len - i, (size_t)3);
		uint32_t v = (uint32_t)p[i] << 16;

		if (left > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		for (size_t k = 0; k <= left; k++)
			out[n++] = (uint8_t)digits[v >> (18 - 6 * k) & 63];
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t text[JSON_MAX * 4 / 3 + 4];
	static struct handoff_args a;
	struct span value;
	const char *why = NULL;
	bool env;
	int rc;

	if (!len)
		return 0;
	env = data[0] & 1;
	value = (struct span){ data + 1, len - 1 };
	if (data[0] & 2) {
		value.len = encode(value.p, MIN(value.len, (size_t)JSON_MAX),
				   text);
		value.p = text;
	}
	rc = env ? handoff_args_env(value, &a, &why) :
	     handoff_args_words(value, &a, &why);
	ASSERT(rc == 0 || rc == -EINVAL || rc == -E2BIG);
	ASSERT(a.n <= HANDOFF_ARGS_MAX && !a.v[a.n]);
	ASSERT(rc ? why && !a.n : !why);
	for (size_t i = 0; i < a.n; i++) {
		const char *s = a.v[i];

		ASSERT(s >= a.text && memchr(s, '\0', (size_t)(a.text +
						       sizeof(a.text) - s)));
		ASSERT(!env || (strchr(s, '=') && s[0] != '='));
	}
	return 0;
}
