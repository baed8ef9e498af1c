/*
 * Runs every group of unit tests, or those named on the command line; tests.h is
 * the sorted list of them, unless TESTS names another
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#ifndef TESTS
#define TESTS	"tests.h"
#endif

#define X(n) int n##_test(void);
#include TESTS
#undef X

static const struct {
	const char *name;
	int (*run)(void);
} groups[] = {
#define X(n) { #n, n##_test },
#include TESTS
#undef X
};

static bool wanted(const char *name, int argc, char **argv)
{
	bool yes = argc < 2;

	for (int i = 1; i < argc; i++)
		yes |= !strcmp(name, argv[i]);
	return yes;
}

int main(int argc, char **argv)
{
	int bad = 0, ran = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (!wanted(groups[i].name, argc, argv))
			continue;
		ran++;
		bad += groups[i].run() != 0;
	}
	if (!ran) {
		fprintf(stderr, "unit: there is no such group\n");
		return 2;
	}
	if (bad)
		fprintf(stderr, "unit: %d groups failed\n", bad);
	return bad != 0;
}
