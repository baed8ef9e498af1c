#include <assert.h>
#include <errno.h>

#include "base/util.h"
#include "init/blockroot.h"

enum key {
	KEY_KIND,
	KEY_DEVICE,
	KEY_FSTYPE,
	KEY_LOWER,
	KEY_UPPER,
	KEY_UPPER_FSTYPE,
	KEY_UPPER_SIZE,
	KEY_NUM,
};

static const char *const keys[] = {
	[KEY_KIND] = "kind", [KEY_DEVICE] = "device", [KEY_FSTYPE] = "fstype",
	[KEY_LOWER] = "lower", [KEY_UPPER] = "upper",
	[KEY_UPPER_FSTYPE] = "upper_fstype",
	[KEY_UPPER_SIZE] = "upper_size_mib",
};
static_assert(ARRAY_SIZE(keys) == KEY_NUM, "name every key");

/**
 * struct pairs - The value, taken apart
 * @v:		Values; those without one are empty
 * @seen:	Bit N: key N was there
 */
struct pairs {
	struct span v[KEY_NUM];
	unsigned int seen;
};

static int missing(const struct vlist *l, enum key k, struct env_err *err)
{
	return vlist_refuse(l, l->start, err, "missing '%s'", keys[k]);
}

static int take_apart(struct vlist *l, struct pairs *p, struct env_err *err)
{
	struct span part;

	while (vlist_next(l, ',', &part)) {
		struct span value = part;
		bool has;
		struct span key = span_cut(&value, '=', &has);

		for (unsigned int i = 0; has && i < KEY_NUM; i++) {
			if (!span_is(key, keys[i]))
				continue;
			if (p->seen & 1U << i)
				return vlist_refuse(l, key.p, err,
						    "duplicate key '%s'",
						    keys[i]);
			p->seen |= 1U << i;
			p->v[i] = value;
		}
	}
	return 0;
}

static int disk(const struct vlist *l, const struct pairs *p,
		struct blockroot *r, struct env_err *err)
{
	if (!p->v[KEY_DEVICE].len)
		return missing(l, KEY_DEVICE, err);
	r->kind = BLOCKROOT_DISK;
	r->device = p->v[KEY_DEVICE];
	r->fstype = p->v[KEY_FSTYPE];
	return 1;
}

static int layers(const struct vlist *l, const struct pairs *p,
		  struct blockroot *r, struct env_err *err)
{
	struct span size = p->v[KEY_UPPER_SIZE];
	bool tmpfs = span_is(p->v[KEY_UPPER], "tmpfs");
	uint64_t n = 0;

	for (enum key k = KEY_LOWER; k <= KEY_UPPER; k++)
		if (!p->v[k].len)
			return missing(l, k, err);
	if (!tmpfs && !p->v[KEY_UPPER_FSTYPE].len)
		return missing(l, KEY_UPPER_FSTYPE, err);
	if (tmpfs && p->seen & 1U << KEY_UPPER_FSTYPE)
		return vlist_refuse(l, l->start, err,
				    "'upper_fstype' is not for upper=tmpfs");
	if (tmpfs && p->seen & 1U << KEY_UPPER_SIZE &&
	    (span_uint(size, UINT32_MAX, &n) < 0 || !n))
		return vlist_refuse(l, size.p, err,
				    "invalid upper_size_mib: %.*s",
				    VLIST_TEXT(size));
	r->kind = BLOCKROOT_LAYERS;
	r->lower = p->v[KEY_LOWER];
	if (!tmpfs)
		r->upper = p->v[KEY_UPPER];
	r->fstype = p->v[KEY_UPPER_FSTYPE];
	r->size_mib = (uint32_t)n;
	return 1;
}

int blockroot_parse(const char *value, struct blockroot *r,
		    struct env_err *err)
{
	struct blockroot t = { 0 };
	struct pairs p = { 0 };
	struct span kind;
	struct vlist l;
	int rc;

	if (!vlist_init(&l, BLOCKROOT_VAR, value))
		return 0;
	rc = take_apart(&l, &p, err);
	if (rc < 0)
		return rc;
	kind = p.v[KEY_KIND];
	if (!kind.len)
		return vlist_refuse(&l, l.start, err, "missing 'kind' key");
	if (span_is(kind, "disk-image"))
		rc = disk(&l, &p, &t, err);
	else if (span_is(kind, "oci-erofs"))
		rc = layers(&l, &p, &t, err);
	else
		rc = vlist_refuse(&l, kind.p, err, "unknown kind: %.*s",
				  VLIST_TEXT(kind));
	if (rc > 0)
		*r = t;
	return rc;
}
