#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "agent/resolv.h"

/* IPv4 first: glibc asks one server after the other, 5 s each */
void resolv_emit(const struct env *e, struct wr *w)
{
	const struct env_family *f[] = { &e->ip4, &e->ip6 };
	char text[IPADDR_STRLEN];

	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++)
		if (f[i]->set && f[i]->has_dns)
			wr_fmt(w, "nameserver %s\n",
			       ipaddr_fmt(&f[i]->dns, text));
}

int resolv_write(const struct env *e, const struct file_where *where,
		 char *link, size_t size)
{
	struct file_where w = { where->root, where->run_dir,
				"/etc/resolv.conf" };
	char text[2 * (IPADDR_STRLEN + 12)], path[PATH_MAX];
	struct wr out = wr_init(text, sizeof(text));
	enum file_done done;
	ssize_t n;
	int rc;

	link[0] = '\0';
	resolv_emit(e, &out);
	if (!wr_len(&out))
		return 0;
	rc = file_path(&w, path, sizeof(path));
	if (rc)
		return rc;
	n = readlink(path, link, size - 1);
	link[n > 0 ? n : 0] = '\0';
	rc = file_put(&w, (struct span){ out.start, wr_len(&out) }, false,
		      &done);
	if (rc || done != FILE_DONE_RENAMED)
		link[0] = '\0';
	return rc;
}
