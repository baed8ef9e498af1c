/* A bundle: our certificates go in and out of any text */
#include <stdlib.h>
#include <string.h>

#include "agent/bundle.h"
#include "base/util.h"
#include "tests/unit/ca_pems.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct roots want, gone, none;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct roots_in in = { .name = "fuzz", .max = 8 };

	(void)argc;
	(void)argv;
	ASSERT(roots_take(&want, span_str(PEM_CA PEM_ED), &in) == 2);
	ASSERT(roots_take(&gone, span_str(PEM_CA2), &in) == 1);
	return 0;
}

static struct span edit(struct span old, const struct roots *set,
			const struct roots *out, bool *outside)
{
	uint8_t *text;
	size_t len;

	if (bundle_edit(old, set, out, outside, &text, &len))
		abort();
	return (struct span){ text, len };
}

static bool same(struct span a, struct span b)
{
	return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len));
}

static int count(void *arg, struct span der)
{
	const struct root *r = roots_find(&want, der);

	if (r)
		((unsigned int *)arg)[r - want.v]++;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span old = { data, len };
	unsigned int n[2] = { 0, 0 };
	bool outside[2], later[2];
	struct span bare = edit(old, &none, NULL, NULL);
	struct span in = edit(old, &want, NULL, outside);
	struct span again = edit(in, &want, NULL, later);
	struct span out = edit(in, &none, NULL, NULL);
	struct span rid = edit(old, &want, &gone, NULL);

	/* Once is as good as twice, and out leaves nothing */
	ASSERT(same(in, again) && same(out, bare));
	ASSERT(!memcmp(outside, later, sizeof(outside)));
	/* Each certificate is there, by us only if not otherwise */
	(void)bundle_each(in, count, n);
	ASSERT(n[0] && n[1]);
	ASSERT((outside[0] && outside[1]) == same(in, bare));
	/* Without a mark of ours, what comes out is what was */
	if (len && !memmem(data, len, BUNDLE_END, sizeof(BUNDLE_END) - 1))
		ASSERT(same(bare, old));
	free((void *)(uintptr_t)bare.p);
	free((void *)(uintptr_t)in.p);
	free((void *)(uintptr_t)again.p);
	free((void *)(uintptr_t)out.p);
	free((void *)(uintptr_t)rid.p);
	return 0;
}
