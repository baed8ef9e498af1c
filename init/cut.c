#include <errno.h>
#include <stdbool.h>

#include "base/util.h"
#include "init/cut.h"
#include "proto/cmdline.h"

/* Variables of the agent */
static const char *const net[] = {
	"MSB_NET", "MSB_LINK", "MSB_HOSTNAME", "MSB_HOST_ALIAS",
};

/** has() - Whether there is such a variable before the words */
static bool has(struct span line, const char *name)
{
	char value[1];

	return cmdline_get(line, name, value, sizeof(value)) != -ENOENT;
}

enum cut cut_judge(struct span line, char *name, size_t size)
{
	struct span s;

	if (!cmdline_cut(line, name, size))
		return CUT_NONE;
	s = span_str(name);
	for (size_t i = 0; i < ARRAY_SIZE(net); i++)
		if (span_starts(s, net[i]))
			return CUT_NET;
	if (span_is(s, "--") || span_starts(s, "MSB_"))
		return CUT_WORK;
	/* Somebody else's word; ours may have come behind it */
	return has(line, "MSB_NET") && !has(line, "MSB_END") ? CUT_NET :
							       CUT_NONE;
}
