#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "init/volume.h"
#include "init/volumes.h"

/* --- the plan ------------------------------------------------------------- */

static int refuse(struct span path, const struct mntspec *m, const char *why)
{
	log_err("mounts: %s: %.*s: %s", mntspec_var(m->kind),
		VLIST_TEXT(path), why);
	return -EINVAL;
}

/**
 * normalise() - A path without empty components and without "."
 *
 * Return: its depth; -EINVAL, reported
 */
static int normalise(struct volumes *p, const struct mntspec *m,
		     const char **out)
{
	struct span rest = m->path;
	char *start = p->text + p->used;
	size_t left = sizeof(p->text) - p->used, n = 0;
	int depth = 0;

	if (rest.p[0] != '/')
		return refuse(m->path, m, "the path is not absolute");
	while (rest.len) {
		struct span part = span_cut(&rest, '/', NULL);

		if (!part.len || span_is(part, "."))
			continue;
		if (span_is(part, ".."))
			return refuse(m->path, m, "there is a \"..\" in it");
		/* A slash before it, and a NUL behind */
		if (part.len + 2 > left - n || n + part.len + 2 > PATH_MAX)
			return refuse(m->path, m, "too long");
		start[n++] = '/';
		memcpy(start + n, part.p, part.len);
		n += part.len;
		depth++;
	}
	if (!depth)
		return refuse(m->path, m, "the root is mounted already");
	start[n] = '\0';
	p->used += n + 1;
	*out = start;
	return depth;
}

bool volumes_at(const struct volumes *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].path, path) == 0)
			return true;
	return false;
}

/** insert() - Behind all that are as deep as it or less */
static void insert(struct volumes *p, const struct volume *v)
{
	size_t i = p->n++;

	for (; i > 0 && p->v[i - 1].depth > v->depth; i--)
		p->v[i] = p->v[i - 1];
	p->v[i] = *v;
}

static int add(struct volumes *p, const struct mntspec *m)
{
	struct volume v = { .spec = *m };
	int depth;

	if (m->kind == MNTSPEC_FILE &&
	    (memchr(m->file.p, '/', m->file.len) || span_is(m->file, ".") ||
	     span_is(m->file, "..")))
		return refuse(m->file, m, "not the name of a file");
	if (p->n == VOLUMES_MAX)
		return refuse(m->path, m, "too many mounts");
	depth = normalise(p, m, &v.path);
	if (depth < 0)
		return depth;
	if (volumes_at(p, v.path))
		return refuse(m->path, m, "something else is mounted there");
	v.depth = (unsigned int)depth;
	insert(p, &v);
	return 0;
}

/** below() - Whether @path lies below @dir */
static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/** under_file() - Whether a file is mounted where @v needs a directory */
static bool under_file(const struct volumes *p, const struct volume *v)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].spec.kind == MNTSPEC_FILE &&
		    below(v->path, p->v[i].path))
			return true;
	return false;
}

static int drop_under_files(struct volumes *p)
{
	int dropped = 0;

	for (size_t i = 0; i < p->n;) {
		if (!under_file(p, &p->v[i])) {
			i++;
			continue;
		}
		refuse(p->v[i].spec.path, &p->v[i].spec,
		       "it lies below a mounted file");
		dropped++;
		p->n--;
		memmove(&p->v[i], &p->v[i + 1],
			(p->n - i) * sizeof(p->v[0]));
	}
	return dropped;
}

int volumes_plan(struct volumes *p,
		 const char *const values[static MNTSPEC_KIND_NUM],
		 unsigned long flags)
{
	struct env_err err;
	struct mntspec m;
	struct vlist l;
	int refused = 0, rc;

	p->n = 0;
	p->used = 0;
	for (unsigned int k = 0; k < MNTSPEC_KIND_NUM; k++) {
		enum mntspec_kind kind = (enum mntspec_kind)k;

		rc = vlist_init(&l, mntspec_var(kind), values[k]);
		while (rc) {
			rc = mntspec_next(&l, kind, &m, &err);
			if (rc > 0)
				m.flags |= flags;
			if (rc < 0)
				log_err("mounts: %s (at byte %zu)", err.reason,
					err.offset);
			refused += rc < 0 || (rc > 0 && add(p, &m) < 0);
		}
	}
	return refused + drop_under_files(p);
}

/* --- the mounts ----------------------------------------------------------- */

int volumes_mount(const struct volumes *p)
{
	int failed = 0;

	for (size_t i = 0; i < p->n; i++)
		failed += volume_mount(&p->v[i].spec, p->v[i].path) < 0;
	return failed;
}
