#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/util.h"
#include "init/mntspec.h"

int init_mntspec_test(void);

#define DIR	MNTSPEC_DIR
#define FILE_	MNTSPEC_FILE
#define DISK	MNTSPEC_DISK
#define TMPFS	MNTSPEC_TMPFS

static const struct good {
	enum mntspec_kind kind;
	const char *value, *source, *file, *path, *fstype;
	unsigned long flags;
	uint32_t size_mib;
	int mode;		/* -1: not given */
} good[] = {
	{ DIR, "a:/x", "a", "", "/x", "", 0, 0, -1 },
	{ DIR, " a:/x:ro ", "a", "", "/x", "", MS_RDONLY, 0, -1 },
	{ DIR, ";;a b:/x y: rw , ,noexec,nosuid\t,nodev,;", "a b", "", "/x y",
	  "", MS_NOEXEC | MS_NOSUID | MS_NODEV, 0, -1 },
	{ DIR, "a,b=c:/x,y:", "a,b=c", "", "/x,y", "", 0, 0, -1 },
	{ FILE_, "t:f.txt:/etc/f:ro", "t", "f.txt", "/etc/f", "", MS_RDONLY,
	  0, -1 },
	{ DISK, "id:/d", "id", "", "/d", "", 0, 0, -1 },
	{ DISK, "id:/d:fstype=ext4,ro", "id", "", "/d", "ext4", MS_RDONLY, 0,
	  -1 },
	{ TMPFS, "/t", "", "", "/t", "", 0, 0, -1 },
	{ TMPFS, "/t:", "", "", "/t", "", 0, 0, -1 },
	{ TMPFS, "/t:,,ro,", "", "", "/t", "", MS_RDONLY, 0, -1 },
	{ TMPFS, "/tmp:size=64,mode=1777", "", "", "/tmp", "", 0, 64, 01777 },
	{ TMPFS, "/t:mode=007777,size=+01", "", "", "/t", "", 0, 1, 07777 },
	{ TMPFS, "/t:mode=0,size=4294967295", "", "", "/t", "", 0, 4294967295u,
	  0 },
	/* Whether it is absolute is for the planner */
	{ TMPFS, "t:ro", "", "", "t", "", MS_RDONLY, 0, -1 },
};

static void assert_span(struct span s, const char *want)
{
	assert_true(span_is(s, want));
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const struct good *g = &good[i];
		struct env_err err;
		struct mntspec m;
		struct vlist l;

		assert_true(vlist_init(&l, mntspec_var(g->kind), g->value));
		assert_int_equal(mntspec_next(&l, g->kind, &m, &err), 1);
		assert_int_equal(m.kind, g->kind);
		assert_span(m.source, g->source);
		assert_span(m.file, g->file);
		assert_span(m.path, g->path);
		assert_span(m.fstype, g->fstype);
		assert_int_equal(m.flags, g->flags);
		assert_int_equal(m.size_mib, g->size_mib);
		assert_int_equal(m.has_mode, g->mode >= 0);
		assert_int_equal(m.mode, MAX(g->mode, 0));
		assert_int_equal(mntspec_next(&l, g->kind, &m, &err), 0);
	}
}

/* Without a number the offset is not looked at */
static const struct bad {
	enum mntspec_kind kind;
	const char *value, *reason;
	int offset;
} bad[] = {
	{ DIR, "a:/x:ro,rw",
	  "MSB_DIR_MOUNTS option 'rw' specified more than once", 8 },
	{ DIR, "a:/x:noexec,noexec",
	  "MSB_DIR_MOUNTS option 'noexec' specified more than once", 12 },
	{ DIR, "a:/x:suid", "MSB_DIR_MOUNTS unsupported mount option 'suid'",
	  5 },
	{ DIR, "a:/x:exec", "MSB_DIR_MOUNTS unsupported mount option 'exec'",
	  5 },
	{ DIR, "a:/x:dev", "MSB_DIR_MOUNTS unsupported mount option 'dev'",
	  5 },
	{ DIR, "a:/x:RO", "MSB_DIR_MOUNTS unknown mount option 'RO'", 5 },
	{ DIR, "a:/x:y:ro", "MSB_DIR_MOUNTS unknown mount option 'y:ro'", 5 },
	{ DIR, "a:/x:foo=1", "MSB_DIR_MOUNTS unknown mount option 'foo=1'",
	  5 },
	{ DIR, "a:/x:size=1", "MSB_DIR_MOUNTS option 'size' is not valid for "
	  "this mount kind", 5 },
	{ FILE_, "a:f:/x:mode=1", "MSB_FILE_MOUNTS option 'mode' is not valid "
	  "for this mount kind", 7 },
	{ TMPFS, "/x:fstype=ext4", "MSB_TMPFS option 'fstype' is not valid "
	  "for this mount kind", 3 },
	{ DISK, "a:/x:fstype=", "MSB_DISK_MOUNTS option 'fstype' must not be "
	  "empty", 5 },
	{ TMPFS, "/x:size=", "MSB_TMPFS option 'size' must not be empty", 3 },
	{ TMPFS, "/x:mode=", "MSB_TMPFS option 'mode' must not be empty", 3 },
	{ DISK, "a:/x:fstype=a=b", "MSB_DISK_MOUNTS invalid fstype 'a=b'",
	  12 },
	{ DISK, "a:/x:fstype=a b", "MSB_DISK_MOUNTS invalid fstype 'a b'",
	  12 },
	{ DISK, "a:/x:fstype=01234567890123456789012345678901",
	  "MSB_DISK_MOUNTS invalid fstype '01234567890123456789012345678901'",
	  12 },
	{ DISK, "a:/x:fstype=a,fstype=a",
	  "MSB_DISK_MOUNTS option 'fstype' specified more than once", 14 },
	{ TMPFS, "/x:size=0", "MSB_TMPFS invalid size '0'", 8 },
	{ TMPFS, "/x:size=4294967296", "MSB_TMPFS invalid size '4294967296'",
	  8 },
	{ TMPFS, "/x:size=64m", "MSB_TMPFS invalid size '64m'", 8 },
	{ TMPFS, "/x:size=1,size=1",
	  "MSB_TMPFS option 'size' specified more than once", 10 },
	{ TMPFS, "/x:mode=8", "MSB_TMPFS invalid mode '8'", 8 },
	{ TMPFS, "/x:mode=10000", "MSB_TMPFS invalid mode '10000'", 8 },
	{ TMPFS, "/x:mode=-1", "MSB_TMPFS invalid mode '-1'", 8 },
	{ TMPFS, "/x:mode=1,mode=1",
	  "MSB_TMPFS option 'mode' specified more than once", 10 },
	{ TMPFS, "/tmp,size=64",
	  "MSB_TMPFS options must use path:opts syntax", 0 },
	{ TMPFS, ":ro", "MSB_TMPFS missing path", 0 },
	{ DIR, ":/x", "MSB_DIR_MOUNTS missing tag", 0 },
	{ DIR, "a", "MSB_DIR_MOUNTS missing path", 1 },
	{ DIR, "a::ro", "MSB_DIR_MOUNTS missing path", 2 },
	{ DIR, "a:x", "MSB_DIR_MOUNTS path is not absolute: x", 2 },
	{ FILE_, "a::/x", "MSB_FILE_MOUNTS missing filename", 2 },
	{ FILE_, "a:/x", "MSB_FILE_MOUNTS missing path", 4 },
	{ FILE_, ":f:/x", "MSB_FILE_MOUNTS missing tag", 0 },
	{ DISK, ":/x", "MSB_DISK_MOUNTS missing id", 0 },
	{ DISK, " a:x", "MSB_DISK_MOUNTS path is not absolute: x", 3 },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct bad *b = &bad[i];
		struct mntspec m = { .size_mib = 77 };
		struct env_err err = { 0 };
		struct vlist l;

		assert_true(vlist_init(&l, mntspec_var(b->kind), b->value));
		assert_int_equal(mntspec_next(&l, b->kind, &m, &err), -EINVAL);
		assert_string_equal(err.reason, b->reason);
		assert_string_equal(err.var, mntspec_var(b->kind));
		assert_int_equal(err.offset, b->offset);
		assert_int_equal(m.size_mib, 77);	/* untouched */
		assert_int_equal(mntspec_next(&l, b->kind, &m, &err), 0);
	}
}

/* Behind a bad entry the next one counts */
static void test_goes_on(void **state)
{
	struct env_err err;
	struct mntspec m;
	struct vlist l;

	(void)state;
	assert_true(vlist_init(&l, "MSB_TMPFS", "/a;/b,ro;/c:ro"));
	assert_int_equal(mntspec_next(&l, TMPFS, &m, &err), 1);
	assert_int_equal(mntspec_next(&l, TMPFS, &m, &err), -EINVAL);
	assert_int_equal(err.offset, 3);
	assert_int_equal(mntspec_next(&l, TMPFS, &m, &err), 1);
	assert_span(m.path, "/c");
	assert_int_equal(mntspec_next(&l, TMPFS, &m, &err), 0);
}

static void test_absent(void **state)
{
	static const char *const absent[] = {
		NULL, "", " ", "\xe3\x80\x80", "a:/x\xff",
	};
	struct vlist l;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		assert_false(vlist_init(&l, "MSB_TMPFS", absent[i]));
	assert_true(vlist_init(&l, "MSB_TMPFS", ";"));
}

/* Cut off anywhere it is read to its end, and nothing beyond that is touched */
static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good) + ARRAY_SIZE(bad); i++) {
		bool is_good = i < ARRAY_SIZE(good);
		const struct bad *b = &bad[is_good ? 0 : i - ARRAY_SIZE(good)];
		const char *value = is_good ? good[i].value : b->value;
		enum mntspec_kind kind = is_good ? good[i].kind : b->kind;

		for (size_t n = 0; n <= strlen(value); n++) {
			char *copy = strndup(value, n);
			struct env_err err;
			struct mntspec m;
			struct vlist l;
			size_t turns = 0;

			assert_non_null(copy);
			if (vlist_init(&l, mntspec_var(kind), copy))
				while (mntspec_next(&l, kind, &m, &err))
					assert_true(++turns <= n);
			free(copy);
		}
	}
}

int init_mntspec_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_goes_on), cmocka_unit_test(test_absent),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests_name("init_mntspec", tests, NULL, NULL);
}
