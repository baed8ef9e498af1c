#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/hosts.h"
#include "agent/plan.h"

#define HOSTS_MAX	(1024 * 1024)	/* ad-blocking lists are that long */
#define HOSTS_BLOCK	2048		/* ours: nine lines, names of 255 */

static void hosts_gateway(const struct env *e, const struct env_family *f,
			  struct wr *w)
{
	char text[IPADDR_STRLEN];

	if (f->set && e->alias[0])
		wr_fmt(w, "%s\t%s\n", ipaddr_fmt(&f->gw, text), e->alias);
}

void hosts_emit(const struct env *e, struct wr *w)
{
	const char *sep = e->hostname[0] ? " " : "";

	wr_fmt(w, "127.0.0.1\tlocalhost%s%s\n", sep, e->hostname);
	wr_fmt(w, "::1\tlocalhost ip6-localhost ip6-loopback%s%s\n", sep,
	       e->hostname);
	hosts_gateway(e, &e->ip4, w);
	hosts_gateway(e, &e->ip6, w);
	wr_fmt(w, "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
	       "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
}

int hosts_write(const struct env *e, const struct file_where *where)
{
	struct file_where w = { where->root, where->run_dir, "/etc/hosts" };
	uint8_t block[HOSTS_BLOCK], *text;
	char path[PATH_MAX], *old = NULL;
	struct wr b = wr_init(block, sizeof(block)), all;
	size_t len = 0, cap;
	int rc;

	rc = file_path(&w, path, sizeof(path));
	if (rc)
		return rc;
	rc = file_read(path, HOSTS_MAX, &old, &len);
	if (rc && rc != -ENOENT)
		return rc;
	hosts_emit(e, &b);
	cap = len + wr_len(&b) + 64;	/* the marks */
	text = malloc(cap);
	if (!text || b.bad) {
		rc = b.bad ? -ENOBUFS : -ENOMEM;
		goto out;
	}
	all = wr_init(text, cap);
	file_block((struct span){ (uint8_t *)old, len },
		   (struct span){ block, wr_len(&b) }, &all);
	rc = all.bad ? -ENOBUFS :
	     file_put(&w, (struct span){ text, wr_len(&all) }, true, NULL);
out:
	free(text);
	free(old);
	return rc;
}

int hosts_name(const struct env *e, const struct file_where *where)
{
	struct file_where w = { where->root, where->run_dir, "/etc/hostname" };
	char now[ENV_HOSTNAME_MAX + 1] = "", line[ENV_HOSTNAME_MAX + 2];
	struct wr out = wr_init(line, sizeof(line));

	if (!e->hostname[0])
		return 0;
	if ((gethostname(now, sizeof(now)) || strcmp(now, e->hostname)) &&
	    plan_do("sethostname %s", e->hostname) &&
	    sethostname(e->hostname, strlen(e->hostname)))
		return -errno;
	wr_fmt(&out, "%s\n", e->hostname);
	return file_put(&w, (struct span){ out.start, wr_len(&out) }, true,
			NULL);
}
