/* Text with PEM blocks; it is also taken as a source of CA certificates */
#include <stdlib.h>
#include <string.h>

#include "agent/pem.h"
#include "agent/roots.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void say(void *arg, const char *text)
{
	ASSERT(text[0] && !strchr(text, '\n'));
	(*(unsigned int *)arg)++;
}

static void blocks(struct span text)
{
	const uint8_t *end = text.p;
	struct pem b;

	while (pem_next(&text, &b)) {
		size_t n = pem_size(&b);
		uint8_t *buf = malloc(n ? n : 1), *own = malloc(n ? n : 1);
		int rc;

		/* One after the other, and nothing in two of them */
		ASSERT(b.all.p >= end && b.all.len);
		end = b.all.p + b.all.len;
		ASSERT(text.p >= end && n <= b.all.len);
		if (!buf || !own)
			abort();
		rc = pem_decode(&b, buf);
		ASSERT(rc || !b.torn);
		/* Both decoders say the same */
		ASSERT(pem_read(&b, own) == rc);
		ASSERT(rc || !n || !memcmp(buf, own, n));
		free(buf);
		free(own);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span text = { data, len };
	unsigned int lines = 0, refused;
	const struct roots_in in = { .name = "fuzz", .max = 8,
				     .now = 2000000000, .clock_set = true,
				     .say = say, .arg = &lines };
	struct roots set = { 0 };
	int rc;

	if (!len)
		return 0;
	blocks(text);
	rc = roots_take(&set, text, &in);
	refused = set.broken + set.not_ca + set.expired + set.over + set.keys;
	ASSERT(lines >= refused && (rc > 0) == (set.n > 0));
	/* What is refused is said; what is taken is taken as it is */
	if (rc < 0)
		ASSERT(lines);
	for (unsigned int i = 0; i < set.n; i++) {
		struct roots again = { 0 };

		lines = 0;
		ASSERT(roots_take(&again, set.v[i].pem, &in) == 1);
		ASSERT(again.v[0].len == set.v[i].len &&
		       !memcmp(again.v[0].der, set.v[i].der, set.v[i].len));
		roots_free(&again);
	}
	roots_free(&set);
	return 0;
}
