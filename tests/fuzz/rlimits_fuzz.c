#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/rlimits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *value = strndup((const char *)data, len);
	struct rlimits r = { 0 };
	struct env_err err;
	struct vlist l;
	int rc = 1;

	if (!value)
		return 0;
	if (!vlist_init(&l, RLIMITS_VAR, value))
		rc = 0;
	while (rc) {
		uint32_t was = r.set;

		err.reason[0] = '\0';
		rc = rlimits_next(&l, &r, &err);
		ASSERT(rc == 1 || rc == 0 || rc == -EINVAL);
		ASSERT((was != r.set) == (rc == 1));
		if (rc < 0)
			ASSERT(err.reason[0] && err.offset <= strlen(value));
	}
	ASSERT(r.set < 1u << RLIMITS_NUM);
	for (unsigned int i = 0; i < RLIMITS_NUM; i++)
		ASSERT(r.soft[i] <= r.hard[i]);
	free(value);
	return 0;
}
