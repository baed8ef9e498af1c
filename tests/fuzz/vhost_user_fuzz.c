/*
 * A VMM that does as it likes: the input is a list of messages, with the
 * descriptors that go with them, and of bytes written to guest memory.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/rd.h"
#include "base/util.h"
#include "gateway/transport/vhost_user.h"
#include "gateway/wire/vhost.h"

#define MEM	0x10000u

static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static socklen_t addr_len = sizeof(addr);
static int listener, memfd, event;
static uint8_t *guest;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static size_t on_input(struct stream *s, const struct iovec *iov, int n)
{
	stream_send(s, iov, n);		/* an echo, while there is room */
	return iov_len(iov, n);
}

static void on_down(struct stream *s, int why)
{
	(void)why;
	stream_close(s);
}

static int on_accept(void *arg, struct stream *s, uint32_t port)
{
	(void)arg;
	(void)port;
	s->input = on_input;
	s->down = on_down;
	return 0;
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ASSERT(fd >= 0);
	ASSERT(!connect(fd, (struct sockaddr *)&addr, addr_len));
	return fd;
}

/* Header and payload come from the input, but the size is right most times */
static void message(struct rd *in, int sock)
{
	uint8_t req = rd_u8(in), flags = rd_u8(in), what = rd_u8(in);
	uint8_t b[VHOST_HDR_LEN + 255];
	struct wr w = wr_init(b, sizeof(b));
	uint8_t size = rd_u8(in);
	int fds[2] = { what & 1 ? memfd : event, what & 2 ? memfd : event };

	wr_le32(&w, req % 32);
	wr_le32(&w, 1 | (flags & ~3u));
	wr_le32(&w, what & 0x80 ? rd_u32(in) : size);
	while (size--)
		wr_u8(&w, rd_u8(in));
	fd_send(sock, b, wr_len(&w), fds, MIN(what >> 2 & 3, 2));
}

static void poke(struct rd *in)
{
	uint32_t off = rd_u16(in);
	uint8_t n = rd_u8(in);

	while (n-- && rd_left(in))
		guest[off++ % MEM] = rd_u8(in);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* Nothing of what it would say is news */
	log_init(STDERR_FILENO, "fuzz", LOG_SINK_TEXT, LOG_LEVEL_ERR);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			  0);
	ASSERT(!bind(listener, (struct sockaddr *)&addr, sizeof(sa_family_t)));
	ASSERT(!listen(listener, 8));
	ASSERT(!getsockname(listener, (struct sockaddr *)&addr, &addr_len));
	memfd = memfd_create("guest", MFD_CLOEXEC);
	ASSERT(memfd >= 0 && !ftruncate(memfd, MEM));
	guest = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT(guest != MAP_FAILED);
	event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT(event >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint32_t ports[] = { 1024 };
	const struct vhost_user_cfg cfg = { .guest_cid = 3, .ports = ports,
					    .nports = 1, .accept = on_accept };
	const uint64_t one = 1;
	struct rd in = rd_init(data, len);
	struct ev *ev = ev_new(1);
	struct vhost_user *vu = vhost_user_new(ev, dup(listener), &cfg);
	int sock = dial();
	char sink[4096];

	ASSERT(ev && vu);
	memset(guest, 0, MEM);
	ev_turn(ev, 0);
	for (int i = 0; i < 100 && rd_left(&in); i++) {
		if (rd_u8(&in) & 1) {
			poke(&in);
			ASSERT(write(event, &one, sizeof(one)) > 0);
		} else {
			message(&in, sock);
		}
		ev_turn(ev, 0);
		ev_turn(ev, 0);
		if (recv(sock, sink, sizeof(sink), 0) == 0) {
			fd_close(&sock);
			sock = dial();
		}
	}
	for (int i = 0; i < 4; i++)
		ev_turn(ev, 0);
	fd_close(&sock);
	vhost_user_free(vu);
	ev_free(ev);
	return 0;
}
