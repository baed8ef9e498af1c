#include <assert.h>

#include "base/log.h"
#include "base/span.h"
#include "base/util.h"
#include "init/restart.h"
#include "proto/env.h"

static const char *const names[] = {
	[RESTART_NEVER] = "never", [RESTART_ON_FAILURE] = "on-failure",
	[RESTART_ALWAYS] = "always",
};
static_assert(ARRAY_SIZE(names) == RESTART_NUM, "name every one");

enum restart restart_parse(const char *s)
{
	struct span v = env_trim(span_str(s));

	for (unsigned int i = 0; i < RESTART_NUM; i++)
		if (!v.len || span_is(v, names[i]))
			return (enum restart)i;
	log_warn("MSB_RESTART: %.32s: not never, on-failure or always", s);
	return RESTART_NEVER;
}

bool restart_wanted(enum restart r, int code)
{
	return r == RESTART_ALWAYS || (r == RESTART_ON_FAILURE && code != 0);
}

uint32_t restart_delay_ms(uint32_t *last_ms, uint64_t lived_ns)
{
	if (lived_ns >= RESTART_STABLE_S * NS_PER_S || !*last_ms)
		*last_ms = RESTART_MIN_MS;
	else
		*last_ms = MIN(*last_ms * 2, (uint32_t)RESTART_MAX_MS);
	return *last_ms;
}
