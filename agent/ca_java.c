#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/bundle.h"
#include "agent/ca.h"
#include "agent/ca_java.h"
#include "agent/ca_stores.h"
#include "agent/jks.h"
#include "base/util.h"

static const char *const java_places[] = {
	"/usr/bin/java", "/usr/local/bin/java", "/usr/lib/jvm/*/bin/java",
	"/usr/java/*/bin/java", "/opt/*/bin/java", "/opt/java/*/bin/java",
	"/usr/local/*/bin/java", "/root/.sdkman/candidates/java/*/bin/java",
};

static const char *const java_nss[] = {
	"/etc/pki/nssdb/cert9.db", "/etc/pki/nssdb/cert8.db",
};

/* Modules by which NSS has its roots from p11-kit, which reads our anchors */
static const char *const java_p11[] = {
	"/etc/pki/ca-trust/source/anchors", "/etc/pki/trust/anchors",
	"/etc/ca-certificates/trust-source/anchors",
};

static bool java_glob(const struct file_where *where, const char *pattern)
{
	struct file_where w = *where;
	char path[PATH_MAX];
	glob_t g = { 0 };
	bool found;

	w.path = pattern;
	if (file_path(&w, path, sizeof(path)))
		return false;
	found = !glob(path, GLOB_NOSORT, NULL, &g) && g.gl_pathc;
	globfree(&g);
	return found;
}

bool ca_java_found(const struct file_where *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(java_places); i++)
		if (java_glob(w, java_places[i]))
			return true;
	return false;
}

static int java_add(void *arg, struct span der)
{
	int rc = roots_add(arg, der, "");

	return rc == -EBADMSG ? 0 : rc;	/* Java would refuse all for one */
}

/* Ours first: there is no room for all of a very large bundle */
static int java_collect(const struct file_where *where,
			const struct roots *set, const char *bundle,
			struct roots *all)
{
	struct file_where w = *where;
	char path[PATH_MAX], *text;
	size_t len;
	int rc = 0;

	for (unsigned int i = 0; i < set->n && !rc; i++)
		rc = java_add(all, (struct span){ set->v[i].der,
						  set->v[i].len });
	w.path = bundle;
	if (rc || !bundle[0] || file_path(&w, path, sizeof(path)))
		return rc;
	rc = file_read(path, CA_BUNDLE_MAX, &text, &len);
	if (rc)
		return rc;
	rc = bundle_each((struct span){ (uint8_t *)text, len }, java_add, all);
	free(text);
	return rc;
}

static int java_put(const struct file_where *where, const struct roots *all,
		    const char *path)
{
	struct file_where w = *where;
	size_t size = jks_size(all);
	uint8_t *buf = malloc(size);
	struct wr out;
	int rc;

	if (!buf)
		return -ENOMEM;
	out = wr_init(buf, size);
	jks_emit(all, &out);
	ASSERT(!out.bad && wr_len(&out) == size);
	w.path = path;
	rc = file_put(&w, (struct span){ buf, size }, false, NULL);
	free(buf);
	return rc;
}

int ca_java_write(const struct file_where *w, const struct roots *set,
		  const char *bundle, char *path, size_t size)
{
	struct roots all = { 0 };
	char name[PATH_MAX];
	int n, rc = java_collect(w, set, bundle, &all);

	if (!rc) {
		n = snprintf(name, sizeof(name), "%s/" CA_JKS_NAME, w->run_dir);
		rc = n < 0 || (size_t)n >= sizeof(name) ? -ENAMETOOLONG :
		     java_put(w, &all, name);
	}
	roots_free(&all);
	return rc ? rc : span_copy(span_str(name), path, size);
}

const char *ca_java_nss(const struct file_where *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(java_p11); i++)
		if (java_glob(w, java_p11[i]))
			return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(java_nss); i++)
		if (java_glob(w, java_nss[i]))
			return java_nss[i];
	return NULL;
}
