#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "agent/dial.h"

/*
 * Credit that we give the gateway.  The kernel's default of 256 KiB holds four
 * of our longest records; one reader that is scheduled late needs more.
 */
#define DIAL_VSOCK_BUFFER	(1024 * 1024ULL)

static void dial_buffers(int fd)
{
	unsigned long long n = DIAL_VSOCK_BUFFER;

	/* The maximum first, or the size is cut to it; both best effort */
	(void)setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &n,
			 sizeof(n));
	(void)setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &n,
			 sizeof(n));
}

static int dial_connect(int fd, const struct sockaddr *sa, socklen_t len,
			bool *done)
{
	int rc;

	*done = false;
	if (!connect(fd, sa, len)) {
		*done = true;
		return fd;
	}
	if (errno == EINPROGRESS)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int dial_vsock(const struct env_link *l, bool *done)
{
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK, .svm_cid = l->cid,
				  .svm_port = l->port };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	if (fd < 0)
		return -errno;
	dial_buffers(fd);
	return dial_connect(fd, (struct sockaddr *)(void *)&vm, sizeof(vm),
			    done);
}

static int dial_unix(const struct env_link *l, bool *done)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, rc;

	rc = span_copy(span_str(l->path), un.sun_path, sizeof(un.sun_path));
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	return dial_connect(fd, (struct sockaddr *)(void *)&un, sizeof(un),
			    done);
}

int dial(const struct env_link *l, bool *done)
{
	return l->kind == ENV_LINK_UNIX ? dial_unix(l, done) :
					  dial_vsock(l, done);
}

int dial_result(int fd)
{
	socklen_t len = sizeof(int);
	int err;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -errno;
	return -err;
}

const char *dial_name(const struct env_link *l, char *buf, size_t size)
{
	switch (l->kind) {
	case ENV_LINK_AUTO:
	case ENV_LINK_NIC:
		snprintf(buf, size, "nic");
		break;
	case ENV_LINK_VSOCK:
		snprintf(buf, size, "vsock:%u:%u", l->cid, l->port);
		break;
	case ENV_LINK_UNIX:
		snprintf(buf, size, "unix:%s", l->path);
		break;
	}
	return buf;
}

const char *dial_remedy(const struct env_link *l, int rc)
{
	if (l->kind != ENV_LINK_VSOCK)
		return "";
	if (rc == -EAFNOSUPPORT)
		return ": no vsock in this kernel: load the module vsock"
		       " (CONFIG_VSOCKETS)";
	if (rc == -ENODEV)
		return ": no vsock device: load the module"
		       " vmw_vsock_virtio_transport (CONFIG_VIRTIO_VSOCKETS),"
		       " and give the VM a vsock device";
	return "";
}
