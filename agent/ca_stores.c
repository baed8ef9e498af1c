#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/bundle.h"
#include "agent/ca_dirs.h"
#include "agent/ca_stores.h"
#include "base/util.h"

#define STORES_DEBIAN	"/etc/ssl/certs/ca-certificates.crt"
#define STORES_FEDORA	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
#define STORES_SUSE	"/var/lib/ca-certificates/ca-bundle.pem"
#define STORES_ARCH	"/etc/ca-certificates/extracted/tls-ca-bundle.pem"
#define STORES_BUNDLES	ARRAY_SIZE(stores_bundles)

/* Debian and Alpine; Fedora; NixOS; openSUSE, old and new; BSD style; Arch */
static const char *const stores_bundles[] = {
	STORES_DEBIAN,
	"/etc/pki/tls/certs/ca-bundle.crt",
	STORES_FEDORA,
	"/etc/ssl/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	STORES_SUSE,
	"/etc/ssl/cert.pem",
	"/etc/pki/tls/cert.pem",
	STORES_ARCH,
};

/**
 * struct stores_anchors - Anchors of a distribution
 * @bundle:	What its tool makes of them
 * @signs:	Paths of which one is there in that distribution
 */
static const struct stores_anchors {
	const char *dir, *bundle, *signs[4];
} stores_anchors[] = {
	{ "/usr/local/share/ca-certificates", STORES_DEBIAN,
	  { "/usr/share/ca-certificates", "/etc/debian_version",
	    "/etc/alpine-release" } },
	{ "/etc/pki/ca-trust/source/anchors", STORES_FEDORA,
	  { "/etc/pki/ca-trust", "/etc/redhat-release" } },
	{ "/etc/pki/trust/anchors", STORES_SUSE,
	  { "/etc/pki/trust", "/usr/share/pki/trust" } },
	{ "/etc/ca-certificates/trust-source/anchors", STORES_ARCH,
	  { "/etc/ca-certificates/trust-source", "/etc/arch-release" } },
};

/* OpenSSL's directory in most distributions, and those that some add */
static const char *const stores_hashed[] = {
	"/etc/ssl/certs",
	"/etc/pki/tls/certs",
	"/etc/pki/ca-trust/extracted/pem/directory-hash",
	"/var/lib/ca-certificates/openssl",
	"/var/lib/ca-certificates/pem",
	"/etc/ca-certificates/extracted/cadir",
};

const char *ca_stores_bundle(size_t i)
{
	return i < STORES_BUNDLES ? stores_bundles[i] : NULL;
}

/**
 * struct stores - While they are installed
 * @gone:	What anchors of ours brought in, and is not wanted any longer
 * @had:	For each of the set: an anchor of ours has it
 * @outside:	For each: the bundle that the tool makes has it without us
 * @seen:	Bundles that are done, with all links resolved
 */
struct stores {
	const struct file_where *where;
	const struct roots *set;
	struct roots gone;
	bool *had, *outside;
	char seen[ARRAY_SIZE(stores_bundles)][PATH_MAX];
	size_t seen_n;
	struct ca_stores *out;
};

static bool stores_exists(const struct file_where *where, const char *path)
{
	struct file_where w = *where;
	char full[PATH_MAX];
	struct stat st;

	w.path = path;
	return !file_path(&w, full, sizeof(full)) && !stat(full, &st);
}

static bool stores_applies(const struct file_where *w,
			   const struct stores_anchors *a)
{
	if (stores_exists(w, a->dir))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(a->signs) && a->signs[i]; i++)
		if (stores_exists(w, a->signs[i]))
			return true;
	return false;
}

/* With all links resolved; false if it does not exist */
static bool stores_real(const struct file_where *where, const char *path,
			char real[static PATH_MAX])
{
	struct file_where w = *where;
	char full[PATH_MAX];

	w.path = path;
	return !file_path(&w, full, sizeof(full)) && realpath(full, real);
}

/* Whether a tool of this distribution makes the bundle */
static bool stores_is_made(const struct stores *s, const char *real)
{
	char other[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(stores_anchors); i++)
		if (stores_applies(s->where, &stores_anchors[i]) &&
		    stores_real(s->where, stores_anchors[i].bundle, other) &&
		    !strcmp(real, other))
			return true;
	return false;
}

/* --- bundles ------------------------------------------------------------- */

/* Write a bundle, or remove one that nobody but us has put anything into */
static int stores_put(const struct stores *s, const char *path,
		      struct span text)
{
	struct file_where w = *s->where;
	char run[PATH_MAX];
	const char *base = strrchr(path, '/');
	int n;

	w.path = path;
	if (!text.len && !file_remove(&w))
		return 0;
	/* Copies of two bundles of one name must not be one file */
	n = snprintf(run, sizeof(run), "%s/ca%.*s", s->where->run_dir,
		     (int)(base - path), path);
	if (n < 0 || (size_t)n >= sizeof(run))
		return -ENAMETOOLONG;
	w.run_dir = run;
	return file_put_how(&w, text, true, FILE_HOW_COVER, NULL);
}

static bool stores_same(struct span a, const uint8_t *p, size_t len)
{
	return a.len == len && (!len || !memcmp(a.p, p, len));
}

/**
 * stores_edit() - Edit one bundle
 * @real:	With @where->root, and all links resolved
 * @old:	Text so far
 */
static int stores_edit(struct stores *s, const char *real, struct span old)
{
	const bool made = stores_is_made(s, real);
	uint8_t *text = NULL;
	size_t len = 0;
	int rc;

	rc = bundle_edit(old, s->set, made ? &s->gone : NULL,
			 made ? s->outside : NULL, &text, &len);
	if (!rc && !stores_same(old, text, len))
		rc = stores_put(s, real + strlen(s->where->root),
				(struct span){ text, len });
	free(text);
	return rc;
}

static bool stores_seen(struct stores *s, const char *real)
{
	for (size_t i = 0; i < s->seen_n; i++)
		if (!strcmp(s->seen[i], real))
			return true;
	(void)span_copy(span_str(real), s->seen[s->seen_n++], PATH_MAX);
	return false;
}

static void stores_done(struct stores *s, const char *path, int rc)
{
	if (rc && !s->out->rc)
		s->out->rc = rc;
	if (!rc && s->set->n && !s->out->bundle[0])
		(void)span_copy(span_str(path), s->out->bundle,
				sizeof(s->out->bundle));
}

static void stores_bundle(struct stores *s, const char *path)
{
	char real[PATH_MAX], *old;
	size_t len;
	int rc;

	if (!stores_real(s->where, path, real) || stores_seen(s, real))
		return;
	rc = file_read(real, CA_BUNDLE_MAX, &old, &len);
	if (rc == -EISDIR)
		return;
	if (!rc) {
		rc = stores_edit(s, real, (struct span){ (uint8_t *)old, len });
		free(old);
	}
	stores_done(s, path, rc);
}

/* The image has none: make the one that its programs look for */
static void stores_make(struct stores *s)
{
	const char *path = STORES_DEBIAN;
	struct file_where w = *s->where;
	uint8_t *text;
	size_t len;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(stores_anchors); i++)
		if (stores_applies(&w, &stores_anchors[i])) {
			path = stores_anchors[i].bundle;
			break;
		}
	w.path = path;
	rc = bundle_edit((struct span){ 0 }, s->set, NULL, NULL, &text, &len);
	if (!rc) {
		rc = file_put(&w, (struct span){ text, len }, true, NULL);
		free(text);
	}
	stores_done(s, path, rc);
}

/* --- directories --------------------------------------------------------- */

static struct file_where stores_dir(const struct stores *s, const char *path)
{
	struct file_where w = *s->where;

	w.path = path;
	return w;
}

static int stores_had(struct stores *s)
{
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(stores_anchors) && !rc; i++) {
		struct file_where dir = stores_dir(s, stores_anchors[i].dir);

		rc = ca_dirs_ours(&dir, s->set, s->had, &s->gone);
	}
	return rc;
}

static void stores_dirs(struct stores *s)
{
	bool *want = s->had;

	for (unsigned int i = 0; i < s->set->n; i++)
		want[i] = s->had[i] || !s->outside[i];
	for (size_t i = 0; i < ARRAY_SIZE(stores_anchors); i++) {
		struct file_where dir = stores_dir(s, stores_anchors[i].dir);

		if (stores_applies(&dir, &stores_anchors[i]) &&
		    ca_dirs_anchors(&dir, s->set, want))
			s->out->skipped = true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(stores_hashed); i++) {
		struct file_where dir = stores_dir(s, stores_hashed[i]);

		if (!stores_exists(&dir, dir.path) ||
		    (i && !ca_dirs_is_hashed(&dir)))
			continue;
		if (ca_dirs_hashed(&dir, s->set))
			s->out->skipped = true;
	}
}

void ca_stores_install(const struct file_where *w, const struct roots *set,
		       struct ca_stores *out)
{
	static struct stores s;

	memset(&s, 0, sizeof(s));
	memset(out, 0, sizeof(*out));
	s.where = w;
	s.set = set;
	s.out = out;
	s.had = calloc(set->n + 1, sizeof(*s.had));
	s.outside = calloc(set->n + 1, sizeof(*s.outside));
	if (!s.had || !s.outside || stores_had(&s)) {
		out->rc = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < STORES_BUNDLES; i++)
		stores_bundle(&s, stores_bundles[i]);
	if (set->n && !s.seen_n)
		stores_make(&s);
	stores_dirs(&s);
out:
	roots_free(&s.gone);
	free(s.had);
	free(s.outside);
}

int ca_stores_save(const struct file_where *where, const struct roots *set,
		   const char *name, char *path, size_t size)
{
	struct file_where w = *where;
	char full[PATH_MAX], *old = NULL;
	uint8_t *text;
	size_t len, old_len = 0;
	int rc = -ENOENT, n;

	for (size_t i = 0; i < STORES_BUNDLES && rc; i++) {
		w.path = stores_bundles[i];
		rc = file_path(&w, full, sizeof(full));
		if (!rc)
			rc = file_read(full, CA_BUNDLE_MAX, &old, &old_len);
	}
	n = snprintf(path, size, "%s/%s", w.run_dir, name);
	if (n < 0 || (size_t)n >= size) {
		free(old);
		return -ENAMETOOLONG;
	}
	rc = bundle_edit((struct span){ (uint8_t *)old, old_len }, set, NULL,
			 NULL, &text, &len);
	free(old);
	if (rc)
		return rc;
	w.path = path;
	rc = file_put(&w, (struct span){ text, len }, false, NULL);
	free(text);
	return rc;
}

/* --- looking ------------------------------------------------------------- */

/** struct stores_look - While certificates of a bundle are compared */
struct stores_look {
	const struct roots *set;
	bool *found;
};

static int stores_found(void *arg, struct span der)
{
	struct stores_look *l = arg;
	struct root *r = roots_find(l->set, der);

	if (r)
		l->found[r - l->set->v] = true;
	return 0;
}

/* Certificates of the set in a file; found[] is added to */
static void stores_look(const struct file_where *where, const char *path,
			const struct roots *set, bool *found)
{
	struct stores_look l = { set, found };
	struct file_where w = *where;
	char full[PATH_MAX], *text;
	size_t len;

	w.path = path;
	if (file_path(&w, full, sizeof(full)) ||
	    file_read(full, CA_BUNDLE_MAX, &text, &len))
		return;
	(void)bundle_each((struct span){ (uint8_t *)text, len }, stores_found,
			  &l);
	free(text);
}

static unsigned int stores_count(bool *found, unsigned int n)
{
	unsigned int have = 0;

	for (unsigned int i = 0; i < n; i++)
		have += found[i];
	memset(found, 0, n * sizeof(*found));
	return have;
}

void ca_stores_each(const struct file_where *w, const struct roots *set,
		    void (*fn)(void *arg, enum ca_store_kind kind,
			       const char *path, unsigned int have),
		    void *arg)
{
	bool *found = calloc(set->n + 1, sizeof(*found));
	struct roots none = { 0 };

	if (!found)
		return;
	for (size_t i = 0; i < STORES_BUNDLES; i++) {
		if (!stores_exists(w, stores_bundles[i]))
			continue;
		stores_look(w, stores_bundles[i], set, found);
		fn(arg, CA_STORE_BUNDLE, stores_bundles[i],
		   stores_count(found, set->n));
	}
	for (size_t i = 0; i < ARRAY_SIZE(stores_anchors); i++) {
		struct file_where dir = *w;

		dir.path = stores_anchors[i].dir;
		if (!stores_applies(w, &stores_anchors[i]))
			continue;
		(void)ca_dirs_ours(&dir, set, found, &none);
		roots_free(&none);
		fn(arg, CA_STORE_ANCHORS, dir.path,
		   stores_count(found, set->n));
	}
	for (size_t i = 0; i < ARRAY_SIZE(stores_hashed); i++) {
		struct file_where dir = *w;

		dir.path = stores_hashed[i];
		if (stores_exists(w, dir.path) &&
		    (!i || ca_dirs_is_hashed(&dir)))
			fn(arg, CA_STORE_HASHED, dir.path,
			   ca_dirs_found(&dir, set));
	}
	free(found);
}
