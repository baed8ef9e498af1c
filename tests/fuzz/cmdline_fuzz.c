#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "proto/cmdline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct span line = { data, len };
	struct span rest = line;
	char word[64], value[64], tiny[3];
	size_t words = 0;
	int rc, args;

	while (cmdline_next(&rest, word, sizeof(word))) {
		ASSERT(memchr(word, '\0', sizeof(word)));
		ASSERT(rest.p + rest.len == data + len);
		words++;
	}
	ASSERT(!rest.len && words <= len);
	for (rest = line; cmdline_next(&rest, tiny, sizeof(tiny));)
		words--;
	ASSERT(!words);			/* the size has no say in the words */

	args = cmdline_args(line);
	ASSERT(args == -ENOENT || (args >= 0 && (size_t)args < len));
	rc = cmdline_get(line, "MSB_NET", value, sizeof(value));
	ASSERT(rc == 0 || rc == -ENOENT || rc == -ENAMETOOLONG);
	ASSERT(rc || memchr(value, '\0', sizeof(value)));
	if (cmdline_cut(line, tiny, sizeof(tiny)))
		ASSERT(len >= CMDLINE_SIZE - 1 &&
		       memchr(tiny, '\0', sizeof(tiny)));
	return 0;
}
