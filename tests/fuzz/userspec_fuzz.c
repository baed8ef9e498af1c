/* The variable, an empty line, passwd, an empty line, group */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/userspec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** cut() - Everything before the next empty line */
static struct span cut(struct span *rest)
{
	const uint8_t *at = rest->len ? memmem(rest->p, rest->len, "\n\n", 2) :
			    NULL;
	struct span part = *rest;

	if (!at) {
		rest->len = 0;
		return part;
	}
	part.len = (size_t)(at - rest->p);
	rest->p = at + 2;
	rest->len -= part.len + 2;
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span rest = { data, len }, first = cut(&rest);
	struct span passwd = cut(&rest);
	char *value = first.len ? strndup((const char *)first.p, first.len) :
		      strdup("");
	struct userspec_ids ids;
	struct env_err err = { 0 };
	struct userspec u;
	int rc;

	if (!value)
		return 0;
	rc = userspec_parse(value, &u, &err);
	ASSERT(rc == 1 || rc == 0 || rc == -EINVAL);
	if (rc > 0) {
		ASSERT(u.user.len);
		rc = userspec_resolve(&u, passwd, rest, &ids, &err);
		ASSERT(rc == 0 || rc == -EINVAL);
		if (rc == 0) {
			ASSERT(ids.uid != (uid_t)-1 && ids.gid != (gid_t)-1);
			ASSERT(ids.ngroups <= USERSPEC_GROUPS_MAX);
			ASSERT(!ids.name[0] == !ids.ngroups);
			for (size_t i = 0; i < ids.ngroups; i++)
				ASSERT(ids.groups[i] != (gid_t)-1);
		}
	}
	if (rc < 0)
		ASSERT(err.reason[0]);
	free(value);
	return 0;
}
