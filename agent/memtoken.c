#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/memtoken.h"
#include "base/util.h"

int memtoken_file(void)
{
	int fd = memfd_create("msb-token", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int memtoken_save(int fd, const uint8_t token[static HELLO_TOKEN_LEN])
{
	ssize_t n = pwrite(fd, token, HELLO_TOKEN_LEN, 0);

	if (n < 0)
		return -errno;
	return n == HELLO_TOKEN_LEN ? 0 : -EIO;
}

int memtoken_load(int fd, uint8_t token[static HELLO_TOKEN_LEN])
{
	uint8_t buf[HELLO_TOKEN_LEN + 1];	/* one more: longer is none */
	ssize_t n = pread(fd, buf, sizeof(buf), 0);
	int rc = n < 0 ? -errno : n == 0 ? -ENOENT :
		 n == HELLO_TOKEN_LEN ? 0 : -EBADMSG;

	if (rc == 0)
		memcpy(token, buf, HELLO_TOKEN_LEN);
	secure_zero(buf, sizeof(buf));
	return rc;
}
