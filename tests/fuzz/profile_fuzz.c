#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *value = strndup((const char *)data, len);
	struct env_err err = { 0 };
	bool restricted = true;
	int rc;

	if (!value)
		return 0;
	rc = profile_parse(value, &restricted, &err);
	ASSERT(rc == 0 || rc == -EINVAL);
	ASSERT(!rc == !err.reason[0] && err.offset <= strlen(value));
	/* Nothing but an absent one and the word itself lifts it */
	ASSERT(restricted || !env_trim(span_str(value)).len ||
	       strstr(value, "default"));
	free(value);
	return 0;
}
