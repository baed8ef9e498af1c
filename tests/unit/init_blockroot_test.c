#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "init/blockroot.h"

int init_blockroot_test(void);

static const struct good {
	const char *value;
	enum blockroot_kind kind;
	const char *device, *fstype, *lower, *upper;
	uint32_t size_mib;
} good[] = {
	{ "kind=disk-image,device=/dev/vda", BLOCKROOT_DISK, "/dev/vda", "",
	  "", "", 0 },
	{ "fstype=xfs,device=/dev/vdb,kind=disk-image", BLOCKROOT_DISK,
	  "/dev/vdb", "xfs", "", "", 0 },
	{ " kind=disk-image,device=/dev/vda,junk,foo=bar,foo=bar,,fstype= ",
	  BLOCKROOT_DISK, "/dev/vda", "", "", "", 0 },
	{ "kind=oci-erofs,lower=/dev/vda,upper=/dev/vdb,upper_fstype=ext4",
	  BLOCKROOT_LAYERS, "", "ext4", "/dev/vda", "/dev/vdb", 0 },
	{ "kind=oci-erofs,lower=/dev/vda,upper=tmpfs", BLOCKROOT_LAYERS, "",
	  "", "/dev/vda", "", 0 },
	{ "kind=oci-erofs,lower=/dev/vda,upper=tmpfs,upper_size_mib=64",
	  BLOCKROOT_LAYERS, "", "", "/dev/vda", "", 64 },
	/* The size is that of a tmpfs: for a disk it is an unknown key */
	{ "kind=oci-erofs,lower=/a,upper=/b,upper_fstype=x,upper_size_mib=z",
	  BLOCKROOT_LAYERS, "", "x", "/a", "/b", 0 },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct env_err err;
		struct blockroot r;

		assert_int_equal(blockroot_parse(good[i].value, &r, &err), 1);
		assert_int_equal(r.kind, good[i].kind);
		assert_true(span_is(r.device, good[i].device));
		assert_true(span_is(r.fstype, good[i].fstype));
		assert_true(span_is(r.lower, good[i].lower));
		assert_true(span_is(r.upper, good[i].upper));
		assert_int_equal(r.size_mib, good[i].size_mib);
	}
}

static const struct bad {
	const char *value, *reason;
	size_t offset;
} bad[] = {
	{ "device=/dev/vda", "missing 'kind' key", 0 },
	{ "kind=,device=/dev/vda", "missing 'kind' key", 0 },
	{ "/dev/vda", "missing 'kind' key", 0 },
	{ "kind=oci-flat,device=/dev/vda", "unknown kind: oci-flat", 5 },
	{ "kind=disk-image", "missing 'device'", 0 },
	{ "kind=disk-image,device=", "missing 'device'", 0 },
	{ "kind=oci-erofs", "missing 'lower'", 0 },
	{ "kind=oci-erofs,lower=/a", "missing 'upper'", 0 },
	{ "kind=oci-erofs,lower=/a,upper=/b", "missing 'upper_fstype'", 0 },
	{ "kind=disk-image,kind=disk-image", "duplicate key 'kind'", 16 },
	{ "kind=disk-image,device=a,device=a", "duplicate key 'device'", 25 },
	{ " fstype=,fstype=", "duplicate key 'fstype'", 9 },
	{ "kind=oci-erofs,lower=/a,upper=tmpfs,upper_fstype=ext4",
	  "'upper_fstype' is not for upper=tmpfs", 0 },
	{ "kind=oci-erofs,lower=/a,upper=tmpfs,upper_size_mib=x",
	  "invalid upper_size_mib: x", 51 },
	{ "kind=oci-erofs,lower=/a,upper=tmpfs,upper_size_mib=0",
	  "invalid upper_size_mib: 0", 51 },
	{ "kind=oci-erofs,lower=/a,upper=tmpfs,upper_size_mib=",
	  "invalid upper_size_mib: ", 51 },
	{ "kind=oci-erofs,lower=/a,upper=tmpfs,upper_size_mib=4294967296",
	  "invalid upper_size_mib: 4294967296", 51 },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct blockroot r = { .size_mib = 77 };
		struct env_err err = { 0 };

		assert_int_equal(blockroot_parse(bad[i].value, &r, &err),
				 -EINVAL);
		assert_string_equal(err.reason, bad[i].reason);
		assert_string_equal(err.var, "MSB_BLOCK_ROOT");
		assert_int_equal(err.offset, bad[i].offset);
		assert_int_equal(r.size_mib, 77);
	}
}

static void test_absent(void **state)
{
	struct env_err err;
	struct blockroot r;

	(void)state;
	assert_int_equal(blockroot_parse(NULL, &r, &err), 0);
	assert_int_equal(blockroot_parse("  ", &r, &err), 0);
	assert_int_equal(blockroot_parse("kind=disk-image\xff", &r, &err), 0);
}

static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good) + ARRAY_SIZE(bad); i++) {
		const char *value = i < ARRAY_SIZE(good) ? good[i].value :
				    bad[i - ARRAY_SIZE(good)].value;

		for (size_t n = 0; n <= strlen(value); n++) {
			char *copy = strndup(value, n);
			struct env_err err;
			struct blockroot r;

			assert_non_null(copy);
			blockroot_parse(copy, &r, &err);
			free(copy);
		}
	}
}

int init_blockroot_test(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_absent), cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests_name("init_blockroot", tests, NULL,
					   NULL);
}
