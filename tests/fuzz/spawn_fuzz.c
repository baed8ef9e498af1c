/* The first bytes of a program of the image that did not start */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "init/spawn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char name[PATH_MAX], tiny[4];
	int rc = spawn_interp(data, len, name, sizeof(name));

	ASSERT(rc == 0 || rc == -ENOENT);
	ASSERT(rc || strlen(name) < len);
	rc = spawn_interp(data, len, tiny, sizeof(tiny));
	ASSERT(rc || (strlen(tiny) < sizeof(tiny) && !strcmp(name, tiny)));
	return 0;
}
