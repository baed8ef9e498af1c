/* Runs every group of unit tests; tests.h is the sorted list of them */
#include <stdio.h>

#include "base/util.h"

#define X(n) int n##_test(void);
#include "tests.h"
#undef X

static int (*const groups[])(void) = {
#define X(n) n##_test,
#include "tests.h"
#undef X
};

int main(void)
{
	int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		bad += groups[i]() != 0;
	if (bad)
		fprintf(stderr, "unit: %d groups failed\n", bad);
	return bad != 0;
}
