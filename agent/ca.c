#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/ca.h"
#include "agent/ca_java.h"
#include "agent/ca_stores.h"
#include "base/util.h"

#define CA_LINE		320
#define CA_PROFILE_MAX	4096

/* Files where the host puts certificates; the last one has those of its own */
static const struct ca_input {
	const char *path;
	size_t max;
	unsigned int certs;
} ca_inputs[] = {
	{ "/.msb/tls/ca.pem", CA_MAX, CA_CERTS_MAX },
	{ "/etc/msb/ca.pem", CA_MAX, CA_CERTS_MAX },
	{ "/sys/firmware/qemu_fw_cfg/by_name/opt/msb/ca.pem/raw", CA_MAX,
	  CA_CERTS_MAX },
	{ "/.msb/tls/host-cas.pem", CA_HOST_MAX, CA_HOST_CERTS_MAX },
};

/**
 * struct ca_reading - While sources are read
 * @first:	First error of one; 0 if there was none
 * @names:	Copies of names from MSB_CA that the set borrows
 */
struct ca_reading {
	const struct file_where *where;
	const struct ca_conf *conf;
	struct roots *set;
	struct ca_result *res;
	int first;
};

__attribute__((format(printf, 2, 3)))
static void ca_say(const struct ca_conf *conf, const char *fmt, ...)
{
	char line[CA_LINE];
	va_list ap;

	if (!conf->say)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	conf->say(conf->arg, line);
}

/* --- inputs -------------------------------------------------------------- */

static void ca_take(struct ca_reading *r, const char *name, struct span pem,
		    unsigned int max)
{
	const struct roots_in in = {
		.name = name, .max = max, .now = r->conf->now,
		.clock_set = r->conf->clock_set, .say = r->conf->say,
		.arg = r->conf->arg };
	int rc = roots_take(r->set, pem, &in);

	if (rc < 0 && !r->first)
		r->first = rc;
	if (rc < 0)
		return;
	if (!r->res->sources++)
		(void)span_copy(span_str(name), r->res->source,
				sizeof(r->res->source));
}

/**
 * ca_file() - Take a file
 * @must:	It was asked for by name: say so if it is missing
 */
static void ca_file(struct ca_reading *r, const struct ca_input *in, bool must)
{
	struct file_where w = *r->where;
	char path[PATH_MAX], *pem;
	size_t len;
	int rc;

	w.path = in->path;
	rc = file_path(&w, path, sizeof(path));
	if (!rc)
		rc = file_read(path, in->max, &pem, &len);
	if ((rc == -ENOENT || rc == -ENOTDIR) && !must)
		return;
	if (rc) {
		r->res->refused++;
		if (!r->first)
			r->first = rc;
		ca_say(r->conf, "%s: %s", in->path, rc == -EFBIG ?
		       "it is too large for a CA" : strerror(-rc));
		return;
	}
	ca_take(r, in->path, (struct span){ (uint8_t *)pem, len }, in->certs);
	free(pem);
}

static void ca_files(struct ca_reading *r)
{
	static char names[8][PATH_MAX];
	struct span all = span_str(r->conf->files);
	size_t n = 0;

	while (all.len) {
		struct span one = span_trim(span_cut(&all, ',', NULL));
		struct ca_input in = { names[n], CA_MAX, CA_CERTS_MAX };

		if (!one.len)
			continue;
		if (one.p[0] != '/' || n + 1 == ARRAY_SIZE(names) ||
		    span_copy(one, names[n], PATH_MAX)) {
			r->res->refused++;
			ca_say(r->conf, "MSB_CA: \"%.*s\": %s",
			       (int)MIN(one.len, 64U), (const char *)one.p,
			       one.p[0] != '/' ? "not an absolute path" :
			       "too many files, or too long a path");
			continue;
		}
		n++;
		ca_file(r, &in, true);
	}
}

int ca_load(const struct file_where *w, const struct ca_conf *conf,
	    struct roots *set, struct ca_result *res)
{
	struct ca_reading r = { w, conf, set, res, 0 };

	memset(res, 0, sizeof(*res));
	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < ARRAY_SIZE(ca_inputs); i++)
		ca_file(&r, &ca_inputs[i], false);
	ca_files(&r);
	for (size_t i = 0; i < conf->given_n; i++)
		ca_take(&r, conf->given[i].name, conf->given[i].pem,
			CA_HOST_CERTS_MAX);
	res->refused += set->broken + set->not_ca + set->expired + set->over +
			set->keys;
	res->unjudged = set->unjudged;
	return set->n ? 0 : r.first;
}

/* --- what programs are pointed to ---------------------------------------- */

static void ca_note(struct ca_result *res, const char *text)
{
	size_t n = strlen(res->note);

	snprintf(res->note + n, sizeof(res->note) - n, "%s%s", n ? "; " : "",
		 text);
}

static int ca_write_file(const struct file_where *where,
			 const struct roots *set, struct ca_result *res)
{
	struct file_where w = *where;
	size_t size = roots_pem_size(set);
	uint8_t *text = malloc(size + 1);
	struct wr out;
	int rc;

	if (!text)
		return -ENOMEM;
	out = wr_init(text, size);
	for (unsigned int i = 0; i < set->n; i++)
		wr_span(&out, set->v[i].pem);
	snprintf(res->file, sizeof(res->file), "%.4000s/" CA_FILE_NAME,
		 w.run_dir);
	w.path = res->file;
	rc = file_put(&w, (struct span){ text, size }, false, NULL);
	if (rc)
		res->file[0] = '\0';
	free(text);
	return rc;
}

/* A file in the run directory that is not needed any longer */
static void ca_drop(const struct file_where *where, const char *name)
{
	struct file_where w = *where;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.4000s/%s", w.run_dir, name);
	w.path = path;
	(void)file_remove(&w);
}

static int ca_profile(const struct file_where *where,
		      const struct ca_conf *conf, const struct ca_result *res)
{
	const struct ca_env e = { res->bundle, res->file, res->jks };
	struct file_where w = *where;
	uint8_t text[CA_PROFILE_MAX];
	struct wr out = wr_init(text, sizeof(text));

	w.path = CA_ENV_PROFILE;
	if (res->certs)
		ca_env_profile(&e, conf->mode, &out);
	if (out.bad)
		return -ENOBUFS;
	if (!wr_len(&out))
		return file_remove(&w);
	return file_put_how(&w, (struct span){ text, wr_len(&out) }, true,
			    FILE_HOW_RENAME, NULL);
}

static void ca_java(const struct file_where *w, const struct ca_conf *conf,
		    const struct roots *set, struct ca_result *res)
{
	int rc;

	if (!set->n || !ca_java_found(w)) {
		ca_drop(w, CA_JKS_NAME);
		return;
	}
	rc = ca_java_write(w, set, res->bundle, res->jks, sizeof(res->jks));
	if (rc) {
		ca_say(conf, "cannot make a trust store for Java: %s",
		       strerror(-rc));
		ca_note(res, "Java does not trust it");
	}
}

/* Bundles could not be written: programs are pointed to a file that can */
static int ca_fall_back(const struct file_where *w, const struct roots *set,
			struct ca_result *res, int rc)
{
	if (ca_stores_save(w, set, CA_SAVED_NAME, res->bundle,
			   sizeof(res->bundle))) {
		res->bundle[0] = '\0';
		return rc;
	}
	ca_note(res, "no bundle of the image can be written: programs without"
		" our variables do not trust it");
	return 0;
}

int ca_install(const struct file_where *w, const struct ca_conf *conf,
	       struct ca_result *res)
{
	static struct ca_stores stores;
	struct roots set;
	int rc = ca_load(w, conf, &set, res);

	if (rc)
		goto out;
	ca_stores_install(w, &set, &stores);
	(void)span_copy(span_str(stores.bundle), res->bundle,
			sizeof(res->bundle));
	if (set.n && !res->bundle[0])
		rc = ca_fall_back(w, &set, res, stores.rc);
	else
		ca_drop(w, CA_SAVED_NAME);
	if (!set.n)
		rc = stores.rc;
	if (set.n && !rc && ca_write_file(w, &set, res))
		ca_note(res, "no file for Node.js and Deno");
	if (!set.n)
		ca_drop(w, CA_FILE_NAME);
	if (rc)
		goto out;
	res->certs = set.n;
	ca_java(w, conf, &set, res);
	if (set.n && ca_java_nss(w))
		ca_note(res, "the NSS database of the system is left alone");
	if (ca_profile(w, conf, res) && set.n)
		ca_note(res, "no variables for login shells: /etc/profile.d"
			" cannot be written");
	if (stores.skipped && set.n)
		ca_note(res, "an update of the distribution's bundle drops it,"
			" or a directory of OpenSSL lacks it");
out:
	roots_free(&set);
	return rc;
}

int ca_bundle(const struct file_where *where, char *buf, size_t size)
{
	struct file_where w = *where;
	char saved[PATH_MAX];
	struct stat st;

	snprintf(saved, sizeof(saved), "%.4000s/" CA_SAVED_NAME, w.run_dir);
	w.path = saved;
	if (!file_path(&w, buf, size) && !stat(buf, &st))
		return 0;
	for (size_t i = 0; (w.path = ca_stores_bundle(i)); i++)
		if (!file_path(&w, buf, size) && !stat(buf, &st) &&
		    S_ISREG(st.st_mode))
			return 0;
	return -ENOENT;
}
