#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "gateway/monitor/token.h"

#define HEX_LEN	(2 * MON_TOKEN_LEN)

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static int decode(const char *text, size_t len, uint8_t *token)
{
	uint8_t t[MON_TOKEN_LEN];

	if (len != HEX_LEN && (len != HEX_LEN + 1 || text[HEX_LEN] != '\n'))
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(t); i++) {
		int hi = nibble(text[2 * i]), lo = nibble(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EBADMSG;
		t[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(token, t, sizeof(t));
	return 0;
}

/* The file itself is judged, not what its name leads to a moment later */
static ssize_t read_private(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		n = -errno;
	else if (st.st_uid != geteuid() || st.st_mode & 077)
		n = -EACCES;
	else if ((n = read(fd, text, size)) < 0)
		n = -errno;
	fd_close(&fd);
	return n;
}

static const char *why_not(int rc)
{
	return rc == -EACCES ? "others may read this token, or it may not be "
			       "read; make it yours, with mode 600" :
	       rc == -EBADMSG ? "holds no token; remove it" : strerror(-rc);
}

int token_load(const char *path, uint8_t token[static MON_TOKEN_LEN])
{
	char text[HEX_LEN + 3] = "";
	ssize_t n = read_private(path, text, sizeof(text));
	int rc = n < 0 ? (int)n : decode(text, (size_t)n, token);

	if (rc < 0 && rc != -ENOENT)
		log_err("%s: %s", path, why_not(rc));
	secure_zero(text, sizeof(text));
	return rc;
}

int token_save(const char *path, const uint8_t token[static MON_TOKEN_LEN])
{
	char text[HEX_LEN + 2], tmp[4096 + 8];
	int fd, rc;

	for (size_t i = 0; i < MON_TOKEN_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", token[i]);
	text[HEX_LEN] = '\n';
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : fd_write_all(fd, text, HEX_LEN + 1);
	fd_close(&fd);
	if (rc == 0 && rename(tmp, path) < 0)
		rc = -errno;
	if (rc < 0)
		log_err("%s: cannot keep the token: %s", path, strerror(-rc));
	secure_zero(text, sizeof(text));
	return rc;
}
