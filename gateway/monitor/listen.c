#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/fd.h"
#include "gateway/monitor/listen.h"

#define BACKLOG		8
#define LOCK_TRIES	200	/* 10 ms each; those before us need less than one */

/*
 * Between looking whether a socket is stale and listening in its place nobody else
 * may do the same.  A lock on the directory leaves no file behind; but somebody
 * may hold one there for reasons of his own, and then we go on without.
 *
 * Return: descriptor that holds the lock, -1 if there is none
 */
static int lock_dir(const char *path)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	const char *slash = strrchr(path, '/');
	int fd;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		nanosleep(&pause, NULL);
	}
	fd_close(&fd);
	return -1;
}

/* Whether somebody listens on the socket at @a; perhaps with a full backlog */
static int answers(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)a, sizeof(*a));
	rc = rc == 0 ? 1 : errno == ECONNREFUSED ? 0 : -errno;
	close(fd);
	return rc;
}

static int clear_stale(const struct sockaddr_un *a, char *err, size_t size)
{
	struct stat st;
	int rc;

	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(err, size, "%s exists and is not a socket; move it "
			 "away or choose another path", a->sun_path);
		return -EEXIST;
	}
	rc = answers(a);
	if (rc != 0) {
		snprintf(err, size, "%s is in use by another process; end it "
			 "or choose another path", a->sun_path);
		return -EADDRINUSE;
	}
	return unlink(a->sun_path) < 0 ? -errno : 0;
}

/*
 * Where others may write to the directory, the name may lead to some other file
 * by now, which we might give away with root's rights: only a socket it may be,
 * and no link.
 */
static int give(const char *path, gid_t gid)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	struct stat st;
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fd < 0 || fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISSOCK(st.st_mode))
		rc = -ENOTSOCK;
	else if (fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) < 0 ||
		 chmod(self, 0660) < 0)
		rc = -errno;
	fd_close(&fd);
	return rc;
}

static int set_group(const char *path, const char *group, char *err,
		     size_t size)
{
	const struct group *g;
	int rc;

	if (!group || !group[0])
		return 0;
	g = getgrnam(group);
	if (!g) {
		snprintf(err, size, "group %s does not exist", group);
		return -ENOENT;
	}
	rc = give(path, g->gr_gid);
	if (rc < 0) {
		snprintf(err, size, "%s: cannot give it to group %s: %s", path,
			 group, strerror(-rc));
		return -EPERM;
	}
	return 0;
}

/* With the lock held: in place of a stale one, if need be */
static int take_place(const struct sockaddr_un *a, const char *group, char *err,
		      size_t size)
{
	mode_t old;
	int fd, rc;

	rc = clear_stale(a, err, size);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	old = umask(0177);	/* 0600 from the first moment on */
	rc = bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ? -errno : 0;
	umask(old);
	if (rc == 0) {
		rc = set_group(a->sun_path, group, err, size);
		if (rc == 0 && listen(fd, BACKLOG) < 0)
			rc = -errno;
		if (rc == 0)
			return fd;
		unlink(a->sun_path);
	}
	fd_close(&fd);
	return rc;
}

int listen_unix(const char *path, const char *group, char *err, size_t size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int lock, rc;

	if (strlen(path) >= sizeof(a.sun_path)) {
		snprintf(err, size, "%s: the path is longer than 107 bytes",
			 path);
		return -ENAMETOOLONG;
	}
	if (!path[0]) {		/* to Linux a name that anybody may connect to */
		snprintf(err, size, "the path of the socket is empty");
		return -EINVAL;
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	err[0] = '\0';
	lock = lock_dir(path);
	rc = take_place(&a, group, err, size);
	fd_close(&lock);
	if (rc < 0 && !err[0])
		snprintf(err, size, "%s: %s%s", path, strerror(-rc),
			 rc == -ENOENT ? "; the directory must exist" : "");
	return rc;
}

int listen_vsock(uint32_t port, char *err, size_t size)
{
	struct sockaddr_vm a = {
		.svm_family = AF_VSOCK,
		.svm_port = port,
		.svm_cid = VMADDR_CID_ANY,
	};
	int fd, rc;

	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		rc = -errno;
		snprintf(err, size, "AF_VSOCK: %s; load vhost_vsock, or use "
			 "--vhost-user or --uds", strerror(-rc));
		return rc;
	}
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	rc = -errno;
	snprintf(err, size, "vsock port %u: %s", port, strerror(-rc));
	fd_close(&fd);
	return rc;
}
