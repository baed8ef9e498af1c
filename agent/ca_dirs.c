#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/bundle.h"
#include "agent/ca_dirs.h"

#define DIRS_PREFIX	"msb-init-"
#define DIRS_HASH_LEN	8	/* hex digits */
#define DIRS_SAME_HASH	10	/* links <hash>.0 to <hash>.9 */
#define DIRS_CERT_MAX	(64 * 1024)

/**
 * dirs_is_ours() - Whether a file name is one of ours
 * @id:		Set to the name of its certificate
 *
 * A dot before it is a temporary file that a power cut left; "ca-cert-" is what
 * Alpine's update-ca-certificates puts before our name.
 */
static bool dirs_is_ours(const char *name, struct span *id)
{
	static const char alpine[] = "ca-cert-";

	if (*name == '.')
		name++;
	else if (!strncmp(name, alpine, sizeof(alpine) - 1))
		name += sizeof(alpine) - 1;
	if (strncmp(name, DIRS_PREFIX, sizeof(DIRS_PREFIX) - 1))
		return false;
	name += sizeof(DIRS_PREFIX) - 1;
	if (strspn(name, "0123456789abcdef") != ROOTS_ID_LEN ||
	    name[ROOTS_ID_LEN] != '.')
		return false;
	*id = (struct span){ (const uint8_t *)name, ROOTS_ID_LEN };
	return true;
}

static bool dirs_is_hash(const char *name)
{
	return strspn(name, "0123456789abcdef") == DIRS_HASH_LEN &&
	       name[DIRS_HASH_LEN] == '.' && name[DIRS_HASH_LEN + 1] &&
	       strspn(name + DIRS_HASH_LEN + 1, "0123456789") ==
	       strlen(name + DIRS_HASH_LEN + 1);
}

/* A file in the directory, without the prefix of all */
static int dirs_join(const struct file_where *dir, const char *name, char *buf,
		     size_t size)
{
	int n = snprintf(buf, size, "%s/%s", dir->path, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int dirs_full(const struct file_where *dir, const char *name, char *buf,
		     size_t size)
{
	int n = snprintf(buf, size, "%s%s/%s", dir->root, dir->path, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static DIR *dirs_open(const struct file_where *dir)
{
	char path[PATH_MAX];

	return file_path(dir, path, sizeof(path)) ? NULL : opendir(path);
}

static int dirs_unlink(const struct file_where *dir, const char *name)
{
	struct file_where w = *dir;
	char path[PATH_MAX];
	int rc = dirs_join(dir, name, path, sizeof(path));

	w.path = path;
	return rc ? rc : file_remove(&w);
}

/* The whole of a small file in the directory; NULL if it cannot be read */
static char *dirs_read(const struct file_where *dir, const char *name,
		       size_t *len)
{
	char path[PATH_MAX], *text;

	if (dirs_full(dir, name, path, sizeof(path)) ||
	    file_read(path, DIRS_CERT_MAX, &text, len))
		return NULL;
	return text;
}

static int dirs_gone(void *arg, struct span der)
{
	int rc = roots_add(arg, der, "");

	return rc == -ENOMEM ? rc : 0;
}

int ca_dirs_ours(const struct file_where *dir, const struct roots *set,
		 bool *had, struct roots *gone)
{
	DIR *d = dirs_open(dir);
	struct dirent *e;
	struct span id;
	char *text;
	size_t len;
	int rc = 0;

	while (d && !rc && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !dirs_is_ours(e->d_name, &id))
			continue;
		for (unsigned int i = 0; i < set->n; i++)
			if (span_is(id, set->v[i].id))
				had[i] = true;
		if (roots_has_id(set, id))
			continue;
		text = dirs_read(dir, e->d_name, &len);
		if (text)
			rc = bundle_each((struct span){ (uint8_t *)text, len },
					 dirs_gone, gone);
		free(text);
	}
	if (d)
		closedir(d);
	return rc;
}

static int dirs_put(const struct file_where *dir, const struct root *r,
		    const char *kind)
{
	struct file_where w = *dir;
	char name[64], path[PATH_MAX];
	int rc;

	snprintf(name, sizeof(name), DIRS_PREFIX "%s.%s", r->id, kind);
	rc = dirs_join(dir, name, path, sizeof(path));
	if (rc)
		return rc;
	w.path = path;
	return file_put_how(&w, r->pem, true, FILE_HOW_RENAME, NULL);
}

/* Whether a link in a hashed directory leads to a file of ours */
static bool dirs_links_ours(const struct file_where *dir, const char *name,
			    struct span *id, char to[static PATH_MAX])
{
	char path[PATH_MAX];
	const char *base;
	ssize_t n;

	if (!dirs_is_hash(name) || dirs_full(dir, name, path, sizeof(path)))
		return false;
	n = readlink(path, to, PATH_MAX - 1);
	if (n <= 0)
		return false;
	to[n] = '\0';
	base = strrchr(to, '/');
	return dirs_is_ours(base ? base + 1 : to, id);
}

/* Remove files of ours, and links to them, whose certificate is not wanted */
static int dirs_sweep(const struct file_where *dir, const struct roots *set,
		      const bool *want)
{
	char to[PATH_MAX];
	DIR *d = dirs_open(dir);
	struct dirent *e;
	struct span id;
	int rc, first = 0;

	while (d && (e = readdir(d))) {
		bool keep = false;

		if (!dirs_is_ours(e->d_name, &id) &&
		    !dirs_links_ours(dir, e->d_name, &id, to))
			continue;
		for (unsigned int i = 0; i < set->n && !keep; i++)
			keep = (!want || want[i]) && span_is(id, set->v[i].id);
		if (keep && e->d_name[0] != '.')
			continue;
		rc = dirs_unlink(dir, e->d_name);
		if (rc && !first)
			first = rc;
	}
	if (d)
		closedir(d);
	return first;
}

int ca_dirs_anchors(const struct file_where *dir, const struct roots *set,
		    const bool *want)
{
	int rc, first = dirs_sweep(dir, set, want);

	for (unsigned int i = 0; i < set->n; i++) {
		rc = want[i] ? dirs_put(dir, &set->v[i], "crt") : 0;
		if (rc && !first)
			first = rc;
	}
	return first;
}

/* --- links named by hash ------------------------------------------------- */

static int dirs_is_one(void *arg, struct span der)
{
	const struct root *r = arg;

	/* OpenSSL reads the first certificate of such a file */
	return der.len == r->len && !memcmp(der.p, r->der, r->len) ? 1 : 2;
}

/**
 * dirs_slot() - Look for a certificate among the links of its hash
 * @name:	Set to the link that leads to it, or to the first free one
 *
 * Return: 1 if it is there; 0 if not; -ENOSPC if not, and no name is free
 */
static int dirs_slot(const struct file_where *dir, const struct root *r,
		     char *name, size_t size)
{
	char path[PATH_MAX], *text;
	struct stat st;
	size_t len;
	int rc;

	for (unsigned int n = 0; n < DIRS_SAME_HASH; n++) {
		snprintf(name, size, "%08x.%u", (unsigned int)r->hash, n);
		if (dirs_full(dir, name, path, sizeof(path)))
			return -ENOSPC;
		if (lstat(path, &st))
			return 0;
		text = dirs_read(dir, name, &len);
		rc = text ? bundle_each((struct span){ (uint8_t *)text, len },
					dirs_is_one,
					(void *)(uintptr_t)r) : 0;
		free(text);
		if (rc == 1)
			return 1;
	}
	return -ENOSPC;
}

/* The file first: a link never leads nowhere */
static int dirs_link(const struct file_where *dir, const struct root *r,
		     const char *name)
{
	struct file_where w = *dir;
	char path[PATH_MAX], to[64];
	int rc = dirs_put(dir, r, "pem");

	if (!rc)
		rc = dirs_join(dir, name, path, sizeof(path));
	if (rc)
		return rc;
	w.path = path;
	snprintf(to, sizeof(to), DIRS_PREFIX "%s.pem", r->id);
	return file_link(&w, to);
}

int ca_dirs_hashed(const struct file_where *dir, const struct roots *set)
{
	int rc, first = dirs_sweep(dir, set, NULL);
	char name[32];

	for (unsigned int i = 0; i < set->n; i++) {
		const struct root *r = &set->v[i];

		if (!r->hashed)
			continue;
		rc = dirs_slot(dir, r, name, sizeof(name));
		if (!rc)
			rc = dirs_link(dir, r, name);
		if (rc < 0 && !first)
			first = rc;
	}
	return first;
}

bool ca_dirs_is_hashed(const struct file_where *dir)
{
	DIR *d = dirs_open(dir);
	struct dirent *e;
	bool yes = false;

	while (d && !yes && (e = readdir(d)))
		yes = dirs_is_hash(e->d_name);
	if (d)
		closedir(d);
	return yes;
}

unsigned int ca_dirs_found(const struct file_where *dir,
			   const struct roots *set)
{
	unsigned int n = 0;
	char name[32];

	for (unsigned int i = 0; i < set->n; i++)
		if (set->v[i].hashed &&
		    dirs_slot(dir, &set->v[i], name, sizeof(name)) == 1)
			n++;
	return n;
}
