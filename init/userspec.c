#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "init/userspec.h"

/* The all-ones number means "leave as it is" to the kernel */
#define ID_MAX	(UINT32_MAX - 1)

int userspec_parse(const char *value, struct userspec *u, struct env_err *err)
{
	struct span user, group;
	struct vlist l;
	bool two;

	if (!vlist_init(&l, USERSPEC_VAR, value))
		return 0;
	group = l.rest;
	user = env_trim(span_cut(&group, ':', &two));
	group = env_trim(group);
	if (!user.len)
		return vlist_refuse(&l, l.start, err,
				    "user spec has empty user");
	if (two && !group.len)
		return vlist_refuse(&l, l.start, err,
				    "user spec has empty group");
	*u = (struct userspec){ .user = user, .group = group };
	return 1;
}

static int unknown(struct env_err *err, const char *what, struct span s)
{
	*err = (struct env_err){ .var = USERSPEC_VAR };
	snprintf(err->reason, sizeof(err->reason), "guest %s not found: %.*s",
		 what, VLIST_TEXT(s));
	return -EINVAL;
}

static bool same(struct span a, struct span b)
{
	return a.len == b.len && (!a.len || memcmp(a.p, b.p, a.len) == 0);
}

/**
 * struct row - A line of passwd or group
 * @id:		uid or gid
 * @rest:	What follows it
 */
struct row {
	struct span name, rest;
	uint32_t id;
};

/** row_next() - The next line that is one; whether there is one */
static bool row_next(struct span *text, struct row *r)
{
	while (text->len) {
		struct span line = span_cut(text, '\n', NULL);
		struct span id;
		uint64_t n;

		r->name = span_cut(&line, ':', NULL);
		span_cut(&line, ':', NULL);
		id = span_cut(&line, ':', NULL);
		if (!r->name.len || span_uint(id, ID_MAX, &n) < 0)
			continue;
		r->id = (uint32_t)n;
		r->rest = line;
		return true;
	}
	return false;
}

/** row_find() - By number if @id is not NULL, else by name */
static bool row_find(struct span text, struct span name, const uint32_t *id,
		     struct row *r)
{
	while (row_next(&text, r))
		if (id ? r->id == *id : same(r->name, name))
			return true;
	return false;
}

/** number() - Whether @s is a number that can be an ID */
static bool number(struct span s, uint32_t *id)
{
	uint64_t n;

	if (span_uint(s, ID_MAX, &n) < 0)
		return false;
	*id = (uint32_t)n;
	return true;
}

static void add_group(struct userspec_ids *ids, gid_t gid)
{
	for (size_t i = 0; i < ids->ngroups; i++)
		if (ids->groups[i] == gid)
			return;
	if (ids->ngroups < USERSPEC_GROUPS_MAX)
		ids->groups[ids->ngroups++] = gid;
	else
		ids->more = true;
}

/** add_groups() - Those that name the user as a member */
static void add_groups(struct userspec_ids *ids, struct span group)
{
	const struct span me = span_str(ids->name);
	struct row r;

	if (!me.len)
		return;
	add_group(ids, ids->gid);
	while (row_next(&group, &r))
		while (r.rest.len)
			if (same(span_cut(&r.rest, ',', NULL), me))
				add_group(ids, r.id);
}

/** take_user() - From a line of passwd; false if it has no group */
static bool take_user(struct row *r, struct userspec_ids *ids)
{
	uint32_t gid;

	if (!number(span_cut(&r->rest, ':', NULL), &gid))
		return false;
	ids->uid = r->id;
	ids->gid = gid;
	span_cut(&r->rest, ':', NULL);			/* GECOS */
	/* What does not fit becomes "" */
	(void)span_copy(r->name, ids->name, sizeof(ids->name));
	(void)span_copy(span_cut(&r->rest, ':', NULL), ids->home,
			sizeof(ids->home));
	return true;
}

int userspec_resolve(const struct userspec *u, struct span passwd,
		     struct span group, struct userspec_ids *ids,
		     struct env_err *err)
{
	struct userspec_ids t = { 0 };
	uint32_t id = 0;
	struct row r;
	bool digits = number(u->user, &id);

	if (row_find(passwd, u->user, digits ? &id : NULL, &r)) {
		if (!take_user(&r, &t))
			return unknown(err, "user", u->user);
	} else if (digits) {
		t.uid = id;
	} else {
		return unknown(err, "user", u->user);
	}
	if (u->group.len) {
		if (!number(u->group, &id)) {
			if (!row_find(group, u->group, NULL, &r))
				return unknown(err, "group", u->group);
			id = r.id;
		}
		t.gid = id;
	}
	add_groups(&t, group);
	*ids = t;
	return 0;
}
