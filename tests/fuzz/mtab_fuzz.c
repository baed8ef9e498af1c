#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "init/mtab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span rest = { data, len }, line;
	char path[32];
	struct mtab m;
	int rc;

	while (mtab_last(&rest, &line)) {
		ASSERT(line.len && !memchr(line.p, '\n', line.len));
		ASSERT(rest.len < len && rest.p == data);
		if (!mtab_parse(line, &m))
			continue;
		ASSERT(m.target.len && m.type.len);
		rc = mtab_path(m.target, path, sizeof(path));
		ASSERT(rc == 0 || rc == -ENAMETOOLONG || rc == -EINVAL);
		ASSERT(memchr(path, '\0', sizeof(path)));
		ASSERT(strlen(path) <= m.target.len && (!rc || !path[0]));
		mtab_has(&m, "ro");
	}
	return 0;
}
