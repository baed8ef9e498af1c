#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/dial.h"
#include "agent/fwd.h"
#include "base/count.h"
#include "base/fd.h"
#include "base/log.h"
#include "link/tap.h"

#ifndef TUN_F_USO4		/* Linux 6.2 */
#define TUN_F_USO4	0x20
#define TUN_F_USO6	0x40
#endif

#define FWD_RX		(256 * 1024)
#define FWD_TX		(512 * 1024)	/* seven of our longest records */
#define FWD_LOG_BURST	4		/* records of one kind in 10 s */
#define BOOT_ID		"/proc/sys/kernel/random/boot_id"

COUNT(drop_fwd_tap_short, "frames of the TAP shorter than an Ethernet header");
COUNT(drop_fwd_tap_vnet, "frames of the TAP with metadata that cannot be used");
COUNT(drop_fwd_refused, "frames of the TAP that the gateway does not accept");
COUNT(drop_fwd_tap_busy, "frames from the gateway: the TAP's buffer was full");
COUNT(drop_fwd_tap_down, "frames from the gateway: the interface is down");
COUNT(drop_fwd_tap_bad, "frames from the gateway that the kernel refused");

static const struct {
	uint32_t feature;
	unsigned int tun;
	const char *name;
} fwd_bits[] = {
	{ LINK_F_CSUM, TUN_F_CSUM, "csum" },
	{ LINK_F_TSO4, TUN_F_TSO4, "tso4" },
	{ LINK_F_TSO6, TUN_F_TSO6, "tso6" },
	{ LINK_F_USO4, TUN_F_USO4, "uso4" },
	{ LINK_F_USO6, TUN_F_USO6, "uso6" },
};

const char *fwd_offloads(uint32_t features, char *buf, size_t size)
{
	struct wr w = wr_init(buf, size - 1);

	for (size_t i = 0; i < ARRAY_SIZE(fwd_bits); i++)
		if (features & fwd_bits[i].feature)
			wr_fmt(&w, "%s%s", wr_len(&w) ? "," : "",
			       fwd_bits[i].name);
	if (!wr_len(&w))
		wr_fmt(&w, "none");
	*w.p = '\0';
	return buf;
}

static const char *fwd_state_str(enum fwd_state s)
{
	static const char *const names[] = {
		[FWD_STATE_WAIT] = "down",
		[FWD_STATE_DIAL] = "connecting",
		[FWD_STATE_HELLO] = "greeting",
		[FWD_STATE_UP] = "up",
	};

	return names[s];
}

static void fwd_set_state(struct fwd *f, enum fwd_state to)
{
	bool ok = to == FWD_STATE_WAIT || to == f->state + 1;
	bool up = to == FWD_STATE_UP;

	ASSERT(ok && to != f->state);
	log_debug("fwd: %s -> %s", fwd_state_str(f->state), fwd_state_str(to));
	/* Every retry would change the file: only up and down count there */
	if (up || f->state == FWD_STATE_UP) {
		report_set(f->report, "LINK_STATE", up ? "up" : "down");
		report_time(f->report, "LINK_SINCE");
	}
	f->state = to;
}

/* --- the TAP ------------------------------------------------------------- */

static void fwd_read_tap(struct fwd *f, bool on)
{
	int rc = f->tap.added ? ev_mod(f->ev, &f->tap, on ? EPOLLIN : 0) : 0;

	if (rc)
		log_err("cannot wait for the TAP: %s", strerror(-rc));
}

/* The gateway may accept less than the kernel would give us */
static void fwd_set_offloads(struct fwd *f, uint32_t want)
{
	unsigned int tun = 0;

	want &= f->features;
	if (want == f->offloads)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fwd_bits); i++)
		if (want & fwd_bits[i].feature)
			tun |= fwd_bits[i].tun;
	if (ioctl(f->tap.fd, TUNSETOFFLOAD, (unsigned long)tun)) {
		/* One of USO4 and USO6 alone is refused */
		tun &= ~(unsigned int)(TUN_F_USO4 | TUN_F_USO6);
		if (ioctl(f->tap.fd, TUNSETOFFLOAD, (unsigned long)tun))
			log_warn("cannot set the TAP's offloads: %s",
				 strerror(errno));
	}
	f->offloads = want;
}

/**
 * fwd_one() - Read one frame of the TAP into the stream's buffer
 *
 * Return: 1; 0 if the TAP is empty; -errno of the link or the TAP
 */
static int fwd_one(struct fwd *f)
{
	struct link *l = &f->framed.link;
	uint8_t head[LINK_VNET_LEN];
	struct iovec iov[1 + LINK_IOV_MAX];
	struct link_room room;
	struct link_vnet vh;
	ssize_t n;
	int rc;

	rc = link_reserve(l, l->max_frame, &room);
	if (rc)
		return rc;
	iov[0] = (struct iovec){ head, sizeof(head) };
	memcpy(&iov[1], room.iov, (size_t)room.n * sizeof(room.iov[0]));
	n = readv(f->tap.fd, iov, room.n + 1);
	if (n < (ssize_t)sizeof(head) + LINK_FRAME_MIN) {
		rc = n >= 0 ? 1 : errno == EAGAIN || errno == EINTR ? 0 :
		     -errno;
		if (n >= 0)
			count_inc(drop_fwd_tap_short);
		(void)link_commit(l, &room, NULL, 0);
		return rc;
	}
	n -= (ssize_t)sizeof(head);
	link_vnet_get(head, &vh);
	/* "Checksum is valid" is told even to those who did not ask */
	if (!(l->can_send & LINK_F_CSUM))
		vh.flags &= (uint8_t)~LINK_VNET_F_DATA_VALID;
	if (link_vnet_check(&vh, (size_t)n, f->features)) {
		count_inc(drop_fwd_tap_vnet);
		(void)link_commit(l, &room, NULL, 0);
		return 1;
	}
	rc = link_commit(l, &room, &vh, (size_t)n);
	if (rc == -EMSGSIZE || rc == -EOPNOTSUPP) {
		/* Queued before the offloads went down */
		count_inc(drop_fwd_refused);
		rc = 0;
	}
	return rc ? rc : 1;
}

/* Somebody deleted the device: leave, and be started again to make it anew */
static void fwd_tap_gone(struct fwd *f, int why)
{
	ev_del(f->ev, &f->tap);
	f->tap_gone = true;
	report_fail(f->report, "the TAP is gone: %s", strerror(-why));
	report_save(f->report);
	ev_stop(f->ev);
}

static void fwd_tap_ready(struct ev_src *src, uint32_t events)
{
	struct fwd *f = container_of(src, struct fwd, tap);
	int rc = 1;

	if (f->state != FWD_STATE_UP) {
		if (events & (EPOLLERR | EPOLLHUP))
			fwd_tap_gone(f, -EBADFD);
		return;
	}
	for (int i = 0; rc == 1 && i < TAP_BATCH; i++)
		rc = fwd_one(f);
	link_flush(&f->framed.link);
	if (rc == -EAGAIN)
		fwd_read_tap(f, false);		/* until drained() */
	else if (rc < 0 && rc != -ENOTCONN)
		fwd_tap_gone(f, rc);
}

static void fwd_drained(struct link *l)
{
	struct fwd *f = l->user;

	if (f->state == FWD_STATE_UP)
		fwd_read_tap(f, true);
}

static void fwd_input(struct link *l, const struct link_vnet *vh,
		      const struct iovec *iov, int n)
{
	struct fwd *f = l->user;
	uint8_t head[LINK_VNET_LEN];
	struct iovec out[1 + LINK_IOV_MAX];

	if (n > LINK_IOV_MAX) {
		count_inc(drop_fwd_tap_bad);
		return;
	}
	link_vnet_put(vh, head);
	out[0] = (struct iovec){ head, sizeof(head) };
	memcpy(&out[1], iov, (size_t)n * sizeof(*iov));
	if (writev(f->tap.fd, out, n + 1) >= 0)
		return;
	if (errno == EAGAIN)
		count_inc(drop_fwd_tap_busy);
	else if (errno == EIO)
		count_inc(drop_fwd_tap_down);
	else
		count_inc(drop_fwd_tap_bad);
}

/* --- the gateway --------------------------------------------------------- */

static void fwd_dial(struct fwd *f);

unsigned int fwd_retry_ms(unsigned int last_ms, int why)
{
	return MIN(MAX(last_ms * 2, FWD_RETRY_MIN_MS),
		   why == -ETIMEDOUT ? FWD_RETRY_DEAD_MS : FWD_RETRY_MAX_MS);
}

static void fwd_later(struct fwd *f)
{
	uint16_t dice = 0;
	uint64_t ns;

	(void)!getrandom(&dice, sizeof(dice), GRND_NONBLOCK);
	ns = f->retry_ms * NS_PER_MS;
	ns -= ns / 4 * dice / UINT16_MAX;
	timer_set(ev_timerq(f->ev), &f->retry, ev_now(f->ev) + ns);
}

/* An attempt has failed: say so once, and try again later */
static void fwd_failed(struct fwd *f, int why)
{
	char name[ENV_PATH_MAX + 8];

	dial_name(&f->link, name, sizeof(name));
	if (f->state == FWD_STATE_UP) {
		if (ev_now(f->ev) - f->up_ns >= FWD_STABLE_NS)
			f->retry_ms = 0;
		if (log_ratelimit(&f->gone))
			log_warn("%s: the gateway is gone (%s), trying again",
				 name, strerror(-why));
		f->complained = true;
	} else if (!f->complained) {
		/* A gateway may start after its guest: that is no warning */
		log_info("%s: no gateway yet (%s), trying on%s", name,
			 strerror(-why), dial_remedy(&f->link, why));
		f->complained = true;
	}
	report_set(f->report, "LINK_ERROR", "%s%s", strerror(-why),
		   dial_remedy(&f->link, why));
	f->retry_ms = fwd_retry_ms(f->retry_ms, f->state == FWD_STATE_DIAL ?
				   why : 0);
	fwd_set_state(f, FWD_STATE_WAIT);
	report_save(f->report);
	fwd_later(f);
}

static void fwd_down(struct link *l, int why)
{
	struct fwd *f = l->user;

	f->why = why;
	fwd_read_tap(f, false);
	ev_defer(f->ev, &f->reap);
}

static void fwd_reap(struct ev_task *t)
{
	struct fwd *f = container_of(t, struct fwd, reap);

	link_close(&f->framed.link);
	fwd_failed(f, f->why);
}

/* The gateway's answer: keep its token, and hand it to PID 1 */
static int fwd_answer(struct framed *framed, const struct hello *in,
		      struct hello *answer)
{
	struct fwd *f = container_of(framed, struct fwd, framed);
	char hex[2 * HELLO_TOKEN_LEN + 1];

	(void)answer;
	if (!hello_has_token(in) ||
	    !memcmp(in->token, f->hello.token, sizeof(in->token)))
		return 0;
	memcpy(f->hello.token, in->token, sizeof(in->token));
	for (size_t i = 0; i < HELLO_TOKEN_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", in->token[i]);
	report_tell(f->report, "TOKEN", hex);
	secure_zero(hex, sizeof(hex));
	if (f->on_token)
		f->on_token(f);
	return 0;
}

static void fwd_up(struct framed *framed)
{
	struct fwd *f = container_of(framed, struct fwd, framed);
	char name[ENV_PATH_MAX + 8], offloads[48];

	fwd_set_state(f, FWD_STATE_UP);
	f->up_ns = ev_now(f->ev);
	f->complained = false;
	f->why = 0;
	fwd_set_offloads(f, framed->link.can_send);
	fwd_offloads(framed->link.can_send, offloads, sizeof(offloads));
	report_set(f->report, "OFFLOADS", "%s", offloads);
	report_set(f->report, "LINK_ERROR", "%s", "");
	if (!f->was_up) {
		report_time(f->report, "T_CONNECTED");
		report_stage(f->report, "T_CONNECTED");
	}
	f->was_up = true;
	if (log_ratelimit(&f->came))
		log_info("%s: connected, offloads %s",
			 dial_name(&f->link, name, sizeof(name)), offloads);
	report_save(f->report);
	fwd_read_tap(f, true);
}

/* The socket is connected: make it a link, and say hello */
static void fwd_greet(struct fwd *f, int fd)
{
	struct framed_cfg cfg = {
		.mtu = f->hello.mtu,
		.features = f->features,
		.hello = fwd_answer,
		.up = fwd_up,
	};
	int rc;

	fwd_set_state(f, FWD_STATE_HELLO);
	memset(&f->stream, 0, sizeof(f->stream));
	memset(&f->framed, 0, sizeof(f->framed));
	f->framed.link.user = f;
	f->framed.link.input = fwd_input;
	f->framed.link.drained = fwd_drained;
	f->framed.link.down = fwd_down;
	rc = stream_fd_init(&f->stream, f->ev, fd, FWD_RX, FWD_TX);
	if (!rc)
		rc = framed_init(&f->framed, &f->stream.stream,
				 ev_timerq(f->ev), &cfg);
	if (rc) {
		fwd_failed(f, rc);
		return;
	}
	rc = framed_hello(&f->framed, &f->hello);
	if (rc)		/* no effect if it is down already */
		link_down(&f->framed.link, rc);
}

static void fwd_conn_ready(struct ev_src *src, uint32_t events)
{
	struct fwd *f = container_of(src, struct fwd, conn);
	int fd = src->fd, rc;

	(void)events;
	ev_del(f->ev, src);
	src->fd = -1;
	rc = dial_result(fd);
	if (rc) {
		close(fd);
		fwd_failed(f, rc);
		return;
	}
	fwd_greet(f, fd);
}

static void fwd_dial(struct fwd *f)
{
	bool done = false;
	int fd, rc;

	fwd_set_state(f, FWD_STATE_DIAL);
	fd = dial(&f->link, &done);
	if (fd < 0) {
		fwd_failed(f, fd);
		return;
	}
	if (done) {
		fwd_greet(f, fd);
		return;
	}
	f->conn.fd = fd;
	rc = ev_add(f->ev, &f->conn, EPOLLOUT);
	if (rc) {
		fd_close(&f->conn.fd);
		fwd_failed(f, rc);
	}
}

static void fwd_retry(struct timer *t)
{
	fwd_dial(container_of(t, struct fwd, retry));
}

/* 16 bytes that tell one boot from the next; random where there is no /proc */
static void fwd_boot_id(uint8_t id[static HELLO_BOOT_ID_LEN])
{
	char text[64];
	size_t n = 0;

	if (fd_read_file(BOOT_ID, text, sizeof(text)) > 0)
		for (const char *p = text;
		     n < HELLO_BOOT_ID_LEN && p[0] && p[1];) {
			unsigned int byte;

			if (*p == '-') {
				p++;
				continue;
			}
			if (sscanf(p, "%2x", &byte) != 1)
				break;
			id[n++] = (uint8_t)byte;
			p += 2;
		}
	if (n < HELLO_BOOT_ID_LEN)
		(void)!getrandom(id, HELLO_BOOT_ID_LEN, GRND_NONBLOCK);
}

int fwd_start(struct fwd *f, struct ev *ev, struct report *r, int tap_fd,
	      uint32_t features, const struct env *e,
	      const uint8_t token[static HELLO_TOKEN_LEN])
{
	int rc;

	*f = (struct fwd){
		.ev = ev,
		.report = r,
		.link = e->link,
		.hello = { .version = HELLO_VERSION, .features = features,
			   .mtu = e->mtu },
		.state = FWD_STATE_WAIT,
		.tap = { .fd = tap_fd, .ready = fwd_tap_ready },
		.conn = { .fd = -1, .ready = fwd_conn_ready },
		.features = features,
		.offloads = features,
		.retry.fire = fwd_retry,
		.came.burst = FWD_LOG_BURST,
		.gone.burst = FWD_LOG_BURST,
		.reap.run = fwd_reap,
	};
	memcpy(f->hello.mac, e->mac, sizeof(f->hello.mac));
	memcpy(f->hello.token, token, sizeof(f->hello.token));
	fwd_boot_id(f->hello.boot_id);
	report_set(r, "LINK_STATE", "%s", "down");
	report_time(r, "LINK_SINCE");
	rc = ev_add(ev, &f->tap, 0);
	if (rc) {
		fd_close(&f->tap.fd);
		return rc;
	}
	fwd_dial(f);
	return 0;
}

void fwd_stop(struct fwd *f)
{
	timer_del(ev_timerq(f->ev), &f->retry);
	ev_undefer(f->ev, &f->reap);
	if (f->state == FWD_STATE_HELLO || f->state == FWD_STATE_UP)
		link_close(&f->framed.link);
	ev_del(f->ev, &f->conn);
	fd_close(&f->conn.fd);
	ev_del(f->ev, &f->tap);
	fd_close(&f->tap.fd);
	secure_zero(&f->hello, sizeof(f->hello));
}
