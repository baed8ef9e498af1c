#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/util.h"
#include "init/pid1.h"

static int version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("msb-init %s\n", MSB_VERSION);
	agent_version_print(stdout);
	return 0;
}

static void usage(FILE *f)
{
	fputs("usage: msb-init agent [OPTION]...\n"
	      "       msb-init probe URL\n"
	      "       msb-init status\n"
	      "       msb-init --version | --help\n"
	      "As PID 1: set the guest up, run its workload, power off.\n", f);
}

static int help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	usage(stdout);
	return 0;
}

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} verbs[] = {
	{ "agent",	agent_main },
	{ "probe",	agent_probe_main },
	{ "status",	agent_status_main },
	{ "--version",	version },
	{ "-V",		version },
	{ "--help",	help },
	{ "-h",		help },
};

/* As PID 1 the words are the kernel's: those of the workload, no verb */
int main(int argc, char **argv)
{
	if (getpid() == 1)
		pid1_main(argc, argv, environ);
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].main(argc - 1, argv + 1);
	usage(stderr);
	return 2;
}
