/*
 * standalone - run a fuzz target over files, without a fuzzing engine
 *
 * Every file named on the command line is handed to the target whole, and then
 * every proper prefix of it: a parser sees torn input at each byte.  Each run
 * gets a copy of exactly its length on the heap, so that the address sanitizer
 * notices a read past the end.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prefixes of longer files are taken in steps: n of them cost n * n bytes */
#define PREFIXES_MAX	4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A target may set itself up; most do not */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static void run_one(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy) {
		perror("malloc");
		exit(1);
	}
	if (len)
		memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = NULL;
	size_t len, step;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 ||
	    fseek(f, 0, SEEK_SET)) {
		perror(path);
		if (f)
			fclose(f);
		return -1;
	}
	len = (size_t)size;
	buf = malloc(len + 1);
	if (!buf || fread(buf, 1, len, f) != len) {
		fprintf(stderr, "%s: cannot be read\n", path);
		free(buf);
		fclose(f);
		return -1;
	}
	fclose(f);

	step = len / PREFIXES_MAX + 1;
	for (size_t n = 0; n < len; n += step)
		run_one(buf, n);
	run_one(buf, len);
	free(buf);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	int bad = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	run_one((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		bad |= run_file(argv[i]);
	printf("%s: %d corpus files\n", name ? name + 1 : argv[0], argc - 1);
	return bad ? 1 : 0;
}
