#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/util.h"
#include "init/pid1.h"
#include "init/sys.h"

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
	      "       msb-init net [OPTION]...\n"
	      "       msb-init probe URL\n"
	      "       msb-init status [--json]\n"
	      "       msb-init ca [--list | --verify]\n"
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

struct verb {
	const char *name;
	int (*main)(int argc, char **argv);
};

static const struct verb verbs[] = {
	{ "agent",	agent_main },
	{ "net",	agent_net_main },
	{ "probe",	agent_probe_main },
	{ "status",	agent_status_main },
	{ "ca",		agent_ca_main },
	{ "--version",	version },
	{ "-V",		version },
	{ "--help",	help },
	{ "-h",		help },
};

static const struct verb *find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(name, verbs[i].name) == 0)
			return &verbs[i];
	return NULL;
}

/*
 * The machine's PID 1 has its words from the kernel: one that looks like a verb
 * is a part of the workload.  In a container it is what the user typed.
 */
int main(int argc, char **argv)
{
	const struct verb *v = argc > 0 ? find(argv[1]) : NULL;

	if (getpid() == 1 && (!v || !sys_contained()))
		pid1_main(argc, argv, environ);
	if (v)
		return v->main(argc - 1, argv + 1);
	usage(stderr);
	return 2;
}
