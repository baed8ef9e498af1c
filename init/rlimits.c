#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/util.h"
#include "init/rlimits.h"
#include "init/sys.h"

#define NAME_MAX_LEN	16	/* longer than any name */

static const char *const names[] = {
	[RLIMIT_CPU] = "cpu",		[RLIMIT_FSIZE] = "fsize",
	[RLIMIT_DATA] = "data",		[RLIMIT_STACK] = "stack",
	[RLIMIT_CORE] = "core",		[RLIMIT_RSS] = "rss",
	[RLIMIT_NPROC] = "nproc",	[RLIMIT_NOFILE] = "nofile",
	[RLIMIT_MEMLOCK] = "memlock",	[RLIMIT_AS] = "as",
	[RLIMIT_LOCKS] = "locks",	[RLIMIT_SIGPENDING] = "sigpending",
	[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
	[RLIMIT_RTPRIO] = "rtprio",	[RLIMIT_RTTIME] = "rttime",
};
static_assert(ARRAY_SIZE(names) == RLIMITS_NUM, "name every resource");

const char *rlimits_name(unsigned int resource)
{
	ASSERT(resource < RLIMITS_NUM);
	return names[resource];
}

/** find() - Number of a resource; -ENOENT */
static int find(struct span s)
{
	char text[NAME_MAX_LEN];

	if (span_copy(s, text, sizeof(text)) < 0)
		return -ENOENT;
	for (unsigned int i = 0; i < RLIMITS_NUM; i++)
		if (strcasecmp(text, names[i]) == 0)
			return (int)i;
	return -ENOENT;
}

/** lower() - The name as it is reported */
static const char *lower(struct span s, char buf[static 64])
{
	size_t n = MIN(s.len, (size_t)63);

	for (size_t i = 0; i < n; i++)
		buf[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ?
				s.p[i] | 0x20 : s.p[i]);
	buf[n] = '\0';
	return buf;
}

/** limit() - One of the two numbers */
static int limit(const struct vlist *l, struct span entry, struct span text,
		 const char *which, uint64_t *out, struct env_err *err)
{
	if (span_uint(text, UINT64_MAX, out) < 0)
		return vlist_refuse(l, text.p, err, RLIMITS_VAR " entry %.*s: "
				    "invalid %s limit: %.*s",
				    (int)MIN(entry.len, 48u),
				    (const char *)entry.p, which,
				    (int)MIN(text.len, 32u),
				    (const char *)text.p);
	return 0;
}

static int malformed(const struct vlist *l, struct span entry,
		     struct env_err *err, const char *why)
{
	return vlist_refuse(l, entry.p, err, RLIMITS_VAR " entry %.*s: %s",
			    (int)MIN(entry.len, 64u), (const char *)entry.p,
			    why);
}

static int parse(const struct vlist *l, struct span entry, struct rlimits *r,
		 struct env_err *err)
{
	struct span rest = entry, name, soft_text;
	uint64_t soft, hard;
	char buf[64];
	bool has, two;
	int rc, i;

	name = span_cut(&rest, '=', &has);
	if (!has)
		return malformed(l, entry, err,
				 "rlimit must be in format RESOURCE=LIMIT");
	soft_text = span_cut(&rest, ':', &two);
	if (two && rest.len && memchr(rest.p, ':', rest.len))
		return malformed(l, entry, err, "too many ':' separators");
	rc = limit(l, entry, soft_text, "soft", &soft, err);
	hard = soft;
	if (!rc && two)
		rc = limit(l, entry, rest, "hard", &hard, err);
	if (rc)
		return rc;
	if (soft > hard)
		return malformed(l, entry, err,
				 "soft limit cannot exceed hard limit");
	i = find(name);
	if (i < 0)
		return vlist_refuse(l, name.p, err, RLIMITS_VAR
				    " unknown resource: %s", lower(name, buf));
	if (r->set & 1U << i)
		return vlist_refuse(l, name.p, err, RLIMITS_VAR " duplicate "
				    "resource: %s", lower(name, buf));
	r->set |= 1U << i;
	r->soft[i] = soft;
	r->hard[i] = hard;
	return 1;
}

int rlimits_next(struct vlist *l, struct rlimits *r, struct env_err *err)
{
	struct span entry;

	return vlist_next(l, ';', &entry) ? parse(l, entry, r, err) : 0;
}

void rlimits_read(const char *value, struct rlimits *r)
{
	struct env_err err;
	struct vlist l;
	int rc = 1;

	memset(r, 0, sizeof(*r));
	if (!vlist_init(&l, RLIMITS_VAR, value))
		return;
	while (rc) {
		rc = rlimits_next(&l, r, &err);
		if (rc < 0)
			log_err("%s", err.reason);
	}
}

void rlimits_save(struct rlimits *r, uint32_t set)
{
	r->set = 0;
	for (unsigned int i = 0; i < RLIMITS_NUM; i++)
		if (set & 1U << i &&
		    sys_getrlimit((int)i, &r->soft[i], &r->hard[i]) == 0)
			r->set |= 1U << i;
}

int rlimits_apply(const struct rlimits *r)
{
	int refused = 0;

	for (unsigned int i = 0; i < RLIMITS_NUM; i++) {
		int rc;

		if (!(r->set & 1U << i))
			continue;
		rc = sys_setrlimit((int)i, r->soft[i], r->hard[i]);
		if (rc == 0)
			continue;
		refused++;
		log_err("failed to apply rlimit %s=%llu:%llu: %s", names[i],
			(unsigned long long)r->soft[i],
			(unsigned long long)r->hard[i], strerror(-rc));
	}
	return refused;
}
