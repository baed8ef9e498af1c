/* The first byte chooses the variable, the rest is its value */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/util.h"
#include "init/mntspec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void inside(struct span s, const char *value)
{
	const uint8_t *p = (const uint8_t *)value;

	ASSERT(!s.len || (s.p >= p && s.p + s.len <= p + strlen(value)));
}

static void check(const struct mntspec *m, enum mntspec_kind kind,
		  const char *value)
{
	bool tmpfs = kind == MNTSPEC_TMPFS;

	ASSERT(m->kind == kind && m->path.len);
	ASSERT(tmpfs || m->path.p[0] == '/');
	ASSERT(tmpfs ? !m->source.len : m->source.len);
	ASSERT(!m->file.len == (kind != MNTSPEC_FILE));
	ASSERT(!m->fstype.len || kind == MNTSPEC_DISK);
	ASSERT(tmpfs || (!m->size_mib && !m->has_mode));
	ASSERT(m->mode <= MNTSPEC_MODE_MAX);
	ASSERT(!(m->flags & ~(unsigned long)(MS_RDONLY | MS_NOEXEC | MS_NOSUID |
					     MS_NODEV)));
	inside(m->source, value);
	inside(m->file, value);
	inside(m->path, value);
	inside(m->fstype, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum mntspec_kind kind;
	struct env_err err;
	struct mntspec m;
	struct vlist l;
	size_t left;
	char *value;
	int rc;

	if (!len)
		return 0;
	kind = (enum mntspec_kind)(data[0] % MNTSPEC_KIND_NUM);
	value = strndup((const char *)data + 1, len - 1);
	if (!value)
		return 0;
	if (!vlist_init(&l, mntspec_var(kind), value)) {
		free(value);
		return 0;
	}
	do {
		left = l.rest.len;
		err.reason[0] = '\0';
		rc = mntspec_next(&l, kind, &m, &err);
		ASSERT(rc == 1 || rc == 0 || rc == -EINVAL);
		ASSERT(!rc || l.rest.len < left);
		if (rc > 0)
			check(&m, kind, value);
		if (rc < 0)
			ASSERT(err.reason[0] && err.offset <= strlen(value));
	} while (rc);
	ASSERT(!l.rest.len);
	free(value);
	return 0;
}
