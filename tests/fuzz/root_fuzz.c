/* /proc/cmdline, as far as it says where the root is */
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "base/log.h"
#include "base/util.h"
#include "init/root.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void ends(const char *s, size_t size)
{
	ASSERT(memchr(s, '\0', size));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* Nothing of what it would say is news */
	log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "fuzz",
		 LOG_SINK_TEXT, LOG_LEVEL_ERR);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct root r;

	root_parse((struct span){ data, len }, &r);
	ends(r.dev, sizeof(r.dev));
	ends(r.type, sizeof(r.type));
	ends(r.data, sizeof(r.data));
	ends(r.init, sizeof(r.init));
	ASSERT(!(r.flags & ~(unsigned long)MS_RDONLY));
	ASSERT(strlen(r.dev) + strlen(r.type) + strlen(r.data) +
	       strlen(r.init) <= len);
	return 0;
}
