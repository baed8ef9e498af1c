#include <errno.h>
#include <fcntl.h>
#include <net/if.h>		/* not linux/if.h: musl's own clashes with it */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "base/count.h"
#include "base/fd.h"
#include "base/util.h"
#include "link/tap.h"

#ifndef TUN_F_USO4		/* Linux 6.2 */
#define TUN_F_USO4	0x20
#define TUN_F_USO6	0x40
#endif

#define VLAN_TAG	4
#define BUF_LEN		(LINK_VNET_LEN + LINK_FRAME_MAX + VLAN_TAG)

COUNT(drop_tap_vnet, "frames of a TAP with metadata that cannot be used");
COUNT(drop_tap_short, "frames of a TAP shorter than an Ethernet header");
COUNT(drop_tap_busy, "frames to a TAP whose send buffer was full");
COUNT(drop_tap_down, "frames to a TAP that is administratively down");
COUNT(drop_tap_refused, "frames that the kernel did not take on a TAP");

static struct tap *tap_of(struct link *l)
{
	return container_of(l, struct tap, link);
}

static void tap_fail(struct tap *t, int why)
{
	ev_del(t->ev, &t->src);
	link_down(&t->link, why);
}

/* --- output --------------------------------------------------------------- */

static void put_head(struct tap *t, uint8_t *b, const struct link_vnet *vh)
{
	struct link_vnet v = vh ? *vh : (struct link_vnet){ 0 };

	if (!(t->link.can_send & LINK_F_CSUM))
		v.flags = 0;
	link_vnet_put(&v, b);
}

/**
 * tap_wrote() - Judge the result of a write
 *
 * A frame that the device does not take is lost, as on a wire: counted, and
 * success for the caller.
 *
 * Return: 0; -ENOTCONN if the device is gone
 */
static int tap_wrote(struct tap *t, ssize_t n)
{
	if (n >= 0)
		return 0;
	switch (errno) {
	case EBADFD:
		tap_fail(t, -EBADFD);
		return -ENOTCONN;
	case EAGAIN:
		count_inc(drop_tap_busy);
		return 0;
	case EIO:
		count_inc(drop_tap_down);
		return 0;
	default:
		count_inc(drop_tap_refused);
		return 0;
	}
}

/* #syscalls writev */
static int tap_send(struct link *l, const struct link_vnet *vh,
		    const struct iovec *iov, int n)
{
	struct tap *t = tap_of(l);
	struct iovec out[1 + LINK_IOV_MAX];
	uint8_t head[LINK_VNET_LEN];

	if (n > LINK_IOV_MAX)
		return -EMSGSIZE;
	put_head(t, head, vh);
	out[0].iov_base = head;
	out[0].iov_len = sizeof(head);
	memcpy(&out[1], iov, (size_t)n * sizeof(*iov));
	return tap_wrote(t, writev(t->src.fd, out, n + 1));
}

static int tap_reserve(struct link *l, size_t len, struct link_room *room)
{
	struct tap *t = tap_of(l);

	room->iov[0].iov_base = t->tx + LINK_VNET_LEN;
	room->iov[0].iov_len = len;
	room->n = 1;
	room->len = len;
	return 0;
}

/* #syscalls write */
static int tap_commit(struct link *l, struct link_room *room,
		      const struct link_vnet *vh, size_t len)
{
	struct tap *t = tap_of(l);

	(void)room;
	if (!len)
		return 0;
	put_head(t, t->tx, vh);
	return tap_wrote(t, write(t->src.fd, t->tx, LINK_VNET_LEN + len));
}

static void tap_flush(struct link *l)
{
	(void)l;	/* each frame has gone out by itself */
}

/* --- input ---------------------------------------------------------------- */

static void tap_frame(struct tap *t, size_t n)
{
	struct link_vnet vh;
	struct iovec iov = { .iov_base = t->rx + LINK_VNET_LEN };

	if (n < LINK_VNET_LEN + LINK_FRAME_MIN) {
		count_inc(drop_tap_short);
		return;
	}
	iov.iov_len = n - LINK_VNET_LEN;
	link_vnet_get(t->rx, &vh);
	if (!(t->link.can_recv & LINK_F_CSUM))	/* told even to those who did */
		vh.flags &= (uint8_t)~LINK_VNET_F_DATA_VALID;	/* not ask */
	if (link_vnet_check(&vh, iov.iov_len, t->link.can_recv) < 0) {
		count_inc(drop_tap_vnet);
		return;
	}
	link_input(&t->link, &vh, &iov, 1);
}

/**
 * tap_ready() - Event handler: a batch of frames
 *
 * What the batch leaves is reported again: epoll is level-triggered.
 *
 * #syscalls read
 */
static void tap_ready(struct ev_src *src, uint32_t events)
{
	struct tap *t = container_of(src, struct tap, src);
	ssize_t n = 1;
	int i;

	if (t->link.is_down) {
		ev_del(t->ev, src);
		return;
	}
	if (t->paused) {
		if (events & (EPOLLERR | EPOLLHUP))
			tap_fail(t, -EBADFD);
		return;
	}
	for (i = 0; i < TAP_BATCH && !t->paused && !t->link.is_down; i++) {
		n = read(src->fd, t->rx, BUF_LEN);
		if (n < 0)
			break;
		tap_frame(t, (size_t)n);
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		tap_fail(t, -errno);
	else if (i)
		link_input_done(&t->link);
}

static void tap_pause(struct link *l, bool on)
{
	struct tap *t = tap_of(l);
	int rc;

	if (t->paused == on)
		return;
	t->paused = on;
	rc = ev_mod(t->ev, &t->src, on ? 0 : EPOLLIN);
	if (rc < 0)
		tap_fail(t, rc);
}

static void tap_close(struct link *l)
{
	struct tap *t = tap_of(l);

	ev_del(t->ev, &t->src);
	fd_close(&t->src.fd);
	free(t->rx);
	free(t->tx);
	t->rx = t->tx = NULL;
}

static const struct link_ops tap_ops = {
	.send = tap_send,
	.reserve = tap_reserve,
	.commit = tap_commit,
	.flush = tap_flush,
	.pause = tap_pause,
	.close = tap_close,
};

/* --- setting up ----------------------------------------------------------- */

/**
 * probe_offloads() - Switch on what the kernel has
 *
 * A set that it does not know is refused whole, and the one before stays.
 *
 * Return: LINK_F_* that are on
 */
static uint32_t probe_offloads(int fd)
{
	static const struct {
		unsigned int tun;
		uint32_t feature;
	} steps[] = {
		{ TUN_F_CSUM, LINK_F_CSUM },
		{ TUN_F_TSO4, LINK_F_TSO4 },
		{ TUN_F_TSO6, LINK_F_TSO6 },
		{ TUN_F_USO4 | TUN_F_USO6, LINK_F_USO4 | LINK_F_USO6 },
	};
	unsigned int on = 0;
	uint32_t features = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		unsigned int try = on | steps[i].tun;

		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)try) == 0) {
			on = try;
			features |= steps[i].feature;
		} else if (i == 0) {
			break;		/* the others need checksums */
		}
	}
	return features;
}

static int tap_setup(int fd, const char *name, bool persist)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int head = LINK_VNET_LEN, le = 1;

	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 ||
	    ioctl(fd, TUNSETVNETHDRSZ, &head) < 0 ||
	    ioctl(fd, TUNSETVNETLE, &le) < 0)
		return -errno;
	if (persist && ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		return -errno;
	return 0;
}

int tap_features(int fd, uint32_t *features)
{
	int hdr = 0;

	/* musl takes an int, and "read" is the sign bit; the kernel takes 32 */
	if (ioctl(fd, (int)TUNGETVNETHDRSZ, &hdr) < 0)
		return -errno;
	if (hdr != LINK_VNET_LEN)
		return -EPROTO;
	*features = probe_offloads(fd);
	return 0;
}

int tap_open(const char *name, bool persist, uint32_t *features)
{
	size_t len = strlen(name);
	int fd, rc;

	if (len == 0 || len >= IFNAMSIZ)
		return -EINVAL;
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENXIO ? -ENODEV : -errno;
	rc = tap_setup(fd, name, persist);
	if (rc < 0) {
		fd_close(&fd);
		return rc;
	}
	*features = probe_offloads(fd);
	return fd;
}

int tap_init(struct tap *t, struct ev *ev, int fd, uint32_t features)
{
	int rc = -ENOMEM;

	*t = (struct tap){
		.link = t->link,
		.ev = ev,
		.src = { .fd = fd, .ready = tap_ready },
	};
	t->link.ops = &tap_ops;
	t->link.can_send = t->link.can_recv = features;
	t->link.max_frame = LINK_FRAME_MAX;
	t->link.is_down = t->link.full = false;
	t->rx = malloc(BUF_LEN);
	t->tx = malloc(BUF_LEN);
	if (t->rx && t->tx)
		rc = ev_add(ev, &t->src, EPOLLIN);
	if (rc < 0)
		tap_close(&t->link);
	return rc;
}
