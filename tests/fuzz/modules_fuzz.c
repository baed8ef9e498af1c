/* The list of modules */
#include <string.h>

#include "base/util.h"
#include "init/modules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span list = { data, len }, path;
	size_t left = len;

	while (modules_next(&list, &path)) {
		ASSERT(path.len && path.p >= data &&
		       path.p + path.len <= data + len);
		ASSERT(path.p[0] != '#' && path.p[0] != ' ');
		ASSERT(!memchr(path.p, '\n', path.len));
		ASSERT(list.len < left);
		left = list.len;
	}
	ASSERT(!list.len);
	return 0;
}
