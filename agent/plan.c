#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/plan.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/span.h"
#include "base/util.h"

#define PLAN_LINE	512
#define PLAN_DIRS	2048
#define PLAN_DEVS	4	/* lo, and the interface of MSB_NET */
#define PLAN_MADE	INT_MAX	/* index; the kernel counts from 1 */

/**
 * struct plan_dev - An interface that a dry run has touched
 * @index:	Its index, made up if the interface was
 * @has_flags:	@flags are what they would be
 * @dropped:	It would have been down
 */
struct plan_dev {
	char name[IF_NAMESIZE];
	unsigned int index;
	bool has_flags, dropped;
	short flags;
};

/* @dirs: paths one after the other, each with its NUL */
static struct {
	bool dry;
	int fd;
	unsigned int count, ndevs;
	struct plan_dev devs[PLAN_DEVS];
	char dirs[PLAN_DIRS];
	size_t dirs_len;
} plan;

void plan_begin(int fd)
{
	memset(&plan, 0, sizeof(plan));
	plan.dry = true;
	plan.fd = fd;
}

void plan_end(void)
{
	memset(&plan, 0, sizeof(plan));
}

bool plan_dry(void)
{
	return plan.dry;
}

unsigned int plan_count(void)
{
	return plan.count;
}

bool plan_do(const char *fmt, ...)
{
	char line[PLAN_LINE];
	va_list ap;
	int n;

	plan.count += plan.dry;
	if (plan.dry ? plan.fd < 0 : !log_enabled(LOG_LEVEL_DEBUG))
		return !plan.dry;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	n = MAX(0, MIN(n, (int)sizeof(line) - 2));
	line[n] = '\0';
	if (!plan.dry) {
		log_debug("%s", line);
		return true;
	}
	line[n] = '\n';
	(void)fd_write_all(plan.fd, line, (size_t)n + 1);
	return false;
}

bool plan_mkdir(const char *path)
{
	size_t len = strlen(path) + 1;

	for (size_t i = 0; i < plan.dirs_len; i += strlen(plan.dirs + i) + 1)
		if (!strcmp(plan.dirs + i, path))
			return false;
	if (plan.dry && len <= sizeof(plan.dirs) - plan.dirs_len) {
		memcpy(plan.dirs + plan.dirs_len, path, len);
		plan.dirs_len += len;
	}
	return plan_do("mkdir %s, mode 0755", path);
}

static struct plan_dev *plan_find(const char *ifname)
{
	for (unsigned int i = 0; i < plan.ndevs; i++)
		if (!strcmp(plan.devs[i].name, ifname))
			return &plan.devs[i];
	return NULL;
}

/* The entry of an interface, made if there is none; NULL if there is no room */
static struct plan_dev *plan_dev(const char *ifname)
{
	struct plan_dev *d = plan_find(ifname);

	if (d || plan.ndevs == PLAN_DEVS)
		return d;
	d = &plan.devs[plan.ndevs];
	if (span_copy(span_str(ifname), d->name, sizeof(d->name)))
		return NULL;
	d->index = if_nametoindex(ifname);
	plan.ndevs++;
	return d;
}

unsigned int plan_make(const char *ifname)
{
	struct plan_dev *d = plan_dev(ifname);

	if (!plan.dry || !d)
		return 0;
	d->index = PLAN_MADE;
	d->has_flags = true;
	d->flags = 0;
	return d->index;
}

void plan_rename(const char *ifname, const char *name)
{
	struct plan_dev *d = plan.dry ? plan_dev(ifname) : NULL;

	if (d)
		(void)span_copy(span_str(name), d->name, sizeof(d->name));
}

void plan_set_flags(const char *ifname, short flags)
{
	struct plan_dev *d = plan.dry ? plan_dev(ifname) : NULL;

	if (!d)
		return;
	d->has_flags = true;
	d->flags = flags;
	d->dropped |= !(flags & IFF_UP);
}

bool plan_flags(const char *ifname, short *flags)
{
	const struct plan_dev *d = plan_find(ifname);

	if (!d || !d->has_flags)
		return false;
	*flags = d->flags;
	return true;
}

bool plan_dropped(unsigned int ifindex)
{
	for (unsigned int i = 0; i < plan.ndevs; i++)
		if (plan.devs[i].index == ifindex)
			return plan.devs[i].dropped;
	return false;
}

const char *plan_conf(const char *ifname, char buf[static IF_NAMESIZE])
{
	const struct plan_dev *d = plan_find(ifname);

	if (!d)
		return ifname;
	if (d->index == PLAN_MADE)
		return "default";
	return if_indextoname(d->index, buf) ? buf : ifname;
}

const char *plan_name(unsigned int ifindex, char buf[static IF_NAMESIZE])
{
	for (unsigned int i = 0; i < plan.ndevs; i++)
		if (plan.devs[i].index == ifindex) {
			memcpy(buf, plan.devs[i].name, IF_NAMESIZE);
			return buf;
		}
	if (!if_indextoname(ifindex, buf))
		memcpy(buf, "?", 2);
	return buf;
}
