/* The first byte chooses the variable, the rest is its value */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proto/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LINE_SIZE	(2 * ENV_VALUE_MAX)

static void emit(const struct env *e, char line[static LINE_SIZE])
{
	struct wr w = wr_init(line, LINE_SIZE - 1);

	env_emit(e, '\n', &w);
	ASSERT(!w.bad);
	line[wr_len(&w)] = '\0';
}

/* What env_emit() wrote for one variable must mean the same again */
static void check_round_trip(const struct env *e, const char *name)
{
	char line[LINE_SIZE], second[LINE_SIZE];
	struct env_err err;
	struct env again;
	size_t n = strlen(name);

	emit(e, line);
	env_init(&again);
	if (line[0]) {
		ASSERT(!strncmp(line, name, n) && line[n] == '=');
		/* It can stand on a command line as it is */
		ASSERT(!strpbrk(line, " \t\r\n\v\f\"\xa0"));
		ASSERT(!env_set(&again, name, line + n + 1, &err));
	}
	emit(&again, second);
	ASSERT(!strcmp(line, second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct env_err err = { 0 };
	unsigned int vars = 0;
	const char *name;
	struct env e;
	char *value;
	int rc;

	if (!len)
		return 0;
	while (env_name(vars))
		vars++;
	ASSERT(vars);
	name = env_name(data[0] % vars);
	value = malloc(len);
	if (!value)
		return 0;
	memcpy(value, data + 1, len - 1);
	value[len - 1] = '\0';
	env_init(&e);
	rc = env_set(&e, name, value, &err);
	ASSERT(rc == 0 || rc == -EINVAL);
	if (rc) {
		char line[LINE_SIZE];

		ASSERT(!strcmp(err.var, name) && err.reason[0]);
		ASSERT(err.offset <= strlen(value));
		emit(&e, line);
		ASSERT(!line[0]);		/* untouched */
	} else {
		check_round_trip(&e, name);
		env_check(&e, &err);
		env_onlink(&e.ip4);
		env_onlink(&e.ip6);
	}
	free(value);
	return 0;
}
