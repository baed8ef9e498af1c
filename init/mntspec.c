#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "base/util.h"
#include "init/mntspec.h"

#define FSTYPE_MAX	31

static const char *const vars[] = {
	[MNTSPEC_DIR] = "MSB_DIR_MOUNTS",
	[MNTSPEC_FILE] = "MSB_FILE_MOUNTS",
	[MNTSPEC_DISK] = "MSB_DISK_MOUNTS",
	[MNTSPEC_TMPFS] = "MSB_TMPFS",
};
static_assert(ARRAY_SIZE(vars) == MNTSPEC_KIND_NUM, "one for each kind");

/* Options that are told apart when they are repeated */
enum {
	SEEN_ACCESS	= 1 << 0,	/* ro or rw */
	SEEN_NOEXEC	= 1 << 1,
	SEEN_NOSUID	= 1 << 2,
	SEEN_NODEV	= 1 << 3,
	SEEN_FSTYPE	= 1 << 4,
	SEEN_SIZE	= 1 << 5,
	SEEN_MODE	= 1 << 6,
};

static const struct {
	const char *name;
	unsigned int seen;
	unsigned long flag;
} words[] = {
	{ "ro",		SEEN_ACCESS,	MS_RDONLY },
	{ "rw",		SEEN_ACCESS,	0 },
	{ "noexec",	SEEN_NOEXEC,	MS_NOEXEC },
	{ "nosuid",	SEEN_NOSUID,	MS_NOSUID },
	{ "nodev",	SEEN_NODEV,	MS_NODEV },
};

static const char *const unsupported[] = { "suid", "exec", "dev" };

const char *mntspec_var(enum mntspec_kind kind)
{
	ASSERT(kind < MNTSPEC_KIND_NUM);
	return vars[kind];
}

static int repeated(const struct vlist *l, struct span o, struct env_err *err)
{
	return vlist_refuse(l, o.p, err,
			    "%s option '%.*s' specified more than once",
			    l->var, VLIST_TEXT(o));
}

/** set_fstype() - A name of a file system, such as the kernel knows */
static int set_fstype(const struct vlist *l, struct span v, struct mntspec *m,
		      struct env_err *err)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] <= ' ' || v.p[i] >= 0x7f || v.p[i] == ';' ||
		    v.p[i] == ':' || v.p[i] == '=' || v.len > FSTYPE_MAX)
			return vlist_refuse(l, v.p, err,
					    "%s invalid fstype '%.*s'", l->var,
					    VLIST_TEXT(v));
	m->fstype = v;
	return 0;
}

/** set_size() - MiB; 0 would be no limit at all for the kernel */
static int set_size(const struct vlist *l, struct span v, struct mntspec *m,
		    struct env_err *err)
{
	uint64_t n;

	if (span_uint(v, MNTSPEC_SIZE_MAX, &n) < 0 || !n)
		return vlist_refuse(l, v.p, err, "%s invalid size '%.*s'",
				    l->var, VLIST_TEXT(v));
	m->size_mib = (uint32_t)n;
	return 0;
}

static int set_mode(const struct vlist *l, struct span v, struct mntspec *m,
		    struct env_err *err)
{
	uint32_t mode = 0;

	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '7' || mode > MNTSPEC_MODE_MAX / 8)
			return vlist_refuse(l, v.p, err,
					    "%s invalid mode '%.*s'", l->var,
					    VLIST_TEXT(v));
		mode = mode * 8 + (uint32_t)(v.p[i] - '0');
	}
	m->mode = mode;
	m->has_mode = true;
	return 0;
}

static const struct {
	const char *key;
	unsigned int seen;
	enum mntspec_kind kind;
	int (*set)(const struct vlist *l, struct span v, struct mntspec *m,
		   struct env_err *err);
} keys[] = {
	{ "fstype",	SEEN_FSTYPE,	MNTSPEC_DISK,	set_fstype },
	{ "size",	SEEN_SIZE,	MNTSPEC_TMPFS,	set_size },
	{ "mode",	SEEN_MODE,	MNTSPEC_TMPFS,	set_mode },
};

/** keyed() - An option KEY=VALUE; 1 if it is no such thing */
static int keyed(const struct vlist *l, struct span o, struct mntspec *m,
		 unsigned int *seen, struct env_err *err)
{
	struct span value = o;
	bool has;
	struct span key = span_cut(&value, '=', &has);

	for (size_t i = 0; has && i < ARRAY_SIZE(keys); i++) {
		if (!span_is(key, keys[i].key))
			continue;
		if (m->kind != keys[i].kind)
			return vlist_refuse(l, o.p, err, "%s option '%.*s' is "
					    "not valid for this mount kind",
					    l->var, VLIST_TEXT(key));
		if (*seen & keys[i].seen)
			return repeated(l, key, err);
		*seen |= keys[i].seen;
		if (!value.len)
			return vlist_refuse(l, o.p, err, "%s option '%.*s' "
					    "must not be empty", l->var,
					    VLIST_TEXT(key));
		return keys[i].set(l, value, m, err);
	}
	return 1;
}

static int option(const struct vlist *l, struct span o, struct mntspec *m,
		  unsigned int *seen, struct env_err *err)
{
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!span_is(o, words[i].name))
			continue;
		if (*seen & words[i].seen)
			return repeated(l, o, err);
		*seen |= words[i].seen;
		m->flags |= words[i].flag;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (span_is(o, unsupported[i]))
			return vlist_refuse(l, o.p, err,
					    "%s unsupported mount option "
					    "'%.*s'", l->var, VLIST_TEXT(o));
	rc = keyed(l, o, m, seen, err);
	if (rc <= 0)
		return rc;
	return vlist_refuse(l, o.p, err, "%s unknown mount option '%.*s'",
			    l->var, VLIST_TEXT(o));
}

static int options(const struct vlist *l, struct span text, struct mntspec *m,
		   struct env_err *err)
{
	unsigned int seen = 0;
	int rc = 0;

	while (!rc && text.len) {
		struct span o = span_trim(span_cut(&text, ',', NULL));

		if (o.len)
			rc = option(l, o, m, &seen, err);
	}
	return rc;
}

/** field() - The part up to the next colon, which may not be empty */
static int field(const struct vlist *l, struct span *rest, const char *what,
		 struct span *out, struct env_err *err)
{
	const uint8_t *at = rest->p;

	*out = span_cut(rest, ':', NULL);
	if (!out->len)
		return vlist_refuse(l, at, err, "%s missing %s", l->var, what);
	return 0;
}

static int tmpfs(const struct vlist *l, struct span *rest, struct mntspec *m,
		 struct env_err *err)
{
	const struct span entry = *rest;

	if (!memchr(entry.p, ':', entry.len) && memchr(entry.p, ',', entry.len))
		return vlist_refuse(l, entry.p, err, "%s options must use "
				    "path:opts syntax", l->var);
	return field(l, rest, "path", &m->path, err);
}

static int shared(const struct vlist *l, struct span *rest, struct mntspec *m,
		  struct env_err *err)
{
	int rc = field(l, rest, m->kind == MNTSPEC_DISK ? "id" : "tag",
		       &m->source, err);

	if (!rc && m->kind == MNTSPEC_FILE)
		rc = field(l, rest, "filename", &m->file, err);
	if (!rc)
		rc = field(l, rest, "path", &m->path, err);
	if (!rc && m->path.p[0] != '/')
		rc = vlist_refuse(l, m->path.p, err,
				  "%s path is not absolute: %.*s", l->var,
				  VLIST_TEXT(m->path));
	return rc;
}

int mntspec_next(struct vlist *l, enum mntspec_kind kind, struct mntspec *m,
		 struct env_err *err)
{
	struct mntspec t = { .kind = kind };
	struct span entry;
	int rc;

	if (!vlist_next(l, ';', &entry))
		return 0;
	rc = kind == MNTSPEC_TMPFS ? tmpfs(l, &entry, &t, err) :
	     shared(l, &entry, &t, err);
	if (!rc)
		rc = options(l, entry, &t, err);
	if (rc)
		return rc;
	*m = t;
	return 1;
}
