#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/blockroot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *value = strndup((const char *)data, len);
	struct env_err err = { 0 };
	struct blockroot r;
	int rc;

	if (!value)
		return 0;
	rc = blockroot_parse(value, &r, &err);
	ASSERT(rc == 1 || rc == 0 || rc == -EINVAL);
	if (rc < 0)
		ASSERT(err.reason[0] && err.offset <= strlen(value));
	if (rc > 0 && r.kind == BLOCKROOT_DISK)
		ASSERT(r.device.len && !r.lower.len && !r.upper.len);
	if (rc > 0 && r.kind == BLOCKROOT_LAYERS)
		ASSERT(r.lower.len && !r.upper.len == !r.fstype.len &&
		       (!r.upper.len || !r.size_mib));
	free(value);
	return 0;
}
