#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/ca.h"
#include "agent/ca_java.h"
#include "agent/ca_stores.h"
#include "agent/conf.h"
#include "base/util.h"

/**
 * struct ca_show - While stores are shown
 * @verify:	Say only what is missing
 * @missing:	Something is
 * @bundles:	Bundles so far
 */
struct ca_show {
	const struct roots *set;
	bool verify, missing;
	unsigned int bundles;
};

static void show_line(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "msb-init: %s\n", text);
}

/* A day, from the calendar of the C library: nobody needs the time of it */
static const char *show_day(int64_t t, char buf[static 16])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&when, &tm) || !strftime(buf, 16, "%Y-%m-%d", &tm))
		snprintf(buf, 16, "?");
	return buf;
}

static void show_certs(const struct roots *set)
{
	char day[16];

	for (unsigned int i = 0; i < set->n; i++) {
		const struct root *r = &set->v[i];

		printf("%s  %s  until %s  from %s%s\n", r->id, r->cert.name,
		       show_day(r->cert.not_after, day), r->source,
		       r->unjudged ? "  (BearSSL cannot judge its key)" : "");
	}
}

static void show_store(void *arg, enum ca_store_kind kind, const char *path,
		       unsigned int have)
{
	static const char *const names[] = {
		[CA_STORE_BUNDLE] = "bundle",
		[CA_STORE_ANCHORS] = "anchors",
		[CA_STORE_HASHED] = "hashed",
	};
	struct ca_show *s = arg;

	s->bundles += kind == CA_STORE_BUNDLE;
	if (!s->verify)
		printf("%-8s  %u of %u  %s\n", names[kind], have, s->set->n,
		       path);
	/* What the image has of its own needs no anchor */
	if (have == s->set->n || kind == CA_STORE_ANCHORS)
		return;
	s->missing = true;
	if (s->verify)
		printf("%s: lacks %u of %u certificates\n", path,
		       s->set->n - have, s->set->n);
}

/* The store for Java: each certificate must be in it as it is */
static void show_java(struct ca_show *s, const struct file_where *where)
{
	struct file_where w = *where;
	char path[PATH_MAX], *text = NULL;
	unsigned int have = 0;
	size_t len = 0;

	if (!ca_java_found(where))
		return;
	snprintf(path, sizeof(path), "%.4000s/" CA_JKS_NAME, w.run_dir);
	if (!file_read(path, CA_BUNDLE_MAX, &text, &len))
		for (unsigned int i = 0; i < s->set->n; i++)
			have += memmem(text, len, s->set->v[i].der,
				       s->set->v[i].len) != NULL;
	free(text);
	if (!s->verify)
		printf("%-8s  %u of %u  %s\n", "java", have, s->set->n, path);
	else if (have != s->set->n)
		printf("%s: lacks %u of %u certificates\n", path,
		       s->set->n - have, s->set->n);
	s->missing |= have != s->set->n;
}

static int show_all(const struct file_where *w, const struct roots *set,
		    bool verify)
{
	struct ca_show s = { .set = set, .verify = verify };

	if (!verify)
		show_certs(set);
	ca_stores_each(w, set, show_store, &s);
	show_java(&s, w);
	if (!verify && ca_java_nss(w))
		printf("%-8s  left alone  %s\n", "nss", ca_java_nss(w));
	if (!s.bundles) {
		s.missing = true;
		printf("no bundle: has the agent been started?\n");
	}
	return verify && s.missing;
}

static void show_usage(FILE *f)
{
	fputs("usage: msb-init ca [--list | --verify] [--run-dir DIR]\n"
	      "Shows the CA certificates that were given to this guest, and"
	      " which trust stores\n"
	      "have them.\n"
	      "  --list         all of it (the default)\n"
	      "  --verify       only what is missing; exit status 1 if anything"
	      " is\n"
	      "  --run-dir DIR  of the agent (" REPORT_RUN_DIR ")\n"
	      "Exit status: 3 if no CA was given.\n", f);
}

static int show(const char *run_dir, bool verify)
{
	const struct file_where w = { .root = "", .run_dir = run_dir };
	static struct ca_result res;
	static struct conf c;
	struct ca_conf conf = { .now = time(NULL), .say = show_line };
	struct roots set;
	int rc;

	conf_ca(&c);
	conf.files = c.ca;
	rc = ca_load(&w, &conf, &set, &res);
	if (!rc && !set.n)
		printf("no CA was given\n");
	rc = rc || !set.n ? 3 : show_all(&w, &set, verify);
	roots_free(&set);
	return rc;
}

int agent_ca_main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "verify", no_argument, NULL, 'v' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *run_dir = REPORT_RUN_DIR;
	bool verify = false;
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'l' || o == 'v') {
			verify = o == 'v';
		} else if (o == 'r') {
			run_dir = optarg;
		} else {
			show_usage(o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : 2;
		}
	}
	if (optind != argc) {
		show_usage(stderr);
		return 2;
	}
	return show(run_dir, verify);
}
