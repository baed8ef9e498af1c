#ifndef AGENT_FWD_H
#define AGENT_FWD_H

#include "agent/report.h"
#include "base/ev.h"
#include "base/log.h"
#include "link/framed.h"
#include "link/stream.h"
#include "proto/env.h"

/*
 * fwd - move frames between the TAP and the gateway
 *
 * Theory of operation
 * -------------------
 *	WAIT --timer--> DIAL --connected--> HELLO --answered--> UP
 *	DIAL, HELLO, UP --error--> WAIT
 *
 * The TAP is ours for as long as we live: the interface keeps its carrier, its
 * addresses and its routes whatever becomes of the gateway.  While the link is
 * not up we do not read it: frames wait in the kernel, as many as its queue
 * holds, so that the first packets of a boot are not lost.  It is the same
 * while the stream is full.
 *
 * Copies     A frame is read from the TAP straight into the stream's send
 *            buffer (link_reserve), and written to it straight from the
 *            receive buffer.
 * Retries    10 ms, doubled up to 1 s, each less a random part of up to a
 *            quarter; anew from 10 ms once the link has been up for 5 s: a
 *            gateway may well end every one at once.  Up to 30 s where nothing answers at all: a vsock device whose other side has
 *            died keeps every packet that we queue, for ever.
 * Freeing    A link that is down is closed at the end of the turn.
 */

#define FWD_RETRY_MIN_MS	10
#define FWD_RETRY_MAX_MS	1000
#define FWD_RETRY_DEAD_MS	30000
#define FWD_STABLE_NS		(5 * NS_PER_S)

enum fwd_state {
	FWD_STATE_WAIT,
	FWD_STATE_DIAL,
	FWD_STATE_HELLO,
	FWD_STATE_UP,
};

/**
 * struct fwd - The forwarder
 * @link:	Where the gateway is
 * @hello:	What we say, with the token as far as we know it
 * @tap:	The TAP; its descriptor is owned
 * @features:	LINK_F_* that the TAP has
 * @offloads:	Those that are switched on now
 * @conn:	Socket that is being connected; owned while in DIAL
 * @up_ns:	When the link came up, CLOCK_MONOTONIC
 * @why:	Error that ended the link, or the last attempt
 * @on_token:	Told when the gateway has given us a token; NULL for nobody
 * @tap_gone:	Somebody deleted the interface, so the loop was stopped
 */
struct fwd {
	void (*on_token)(struct fwd *f);
	struct ev *ev;
	struct report *report;
	struct env_link link;
	struct hello hello;
	enum fwd_state state;
	struct ev_src tap, conn;
	uint32_t features, offloads;
	struct stream_fd stream;
	struct framed framed;
	struct timer retry;
	struct log_limit came, gone;
	struct ev_task reap;
	unsigned int retry_ms;
	uint64_t up_ns;
	int why;
	bool complained, was_up, tap_gone;
};

/**
 * fwd_start() - Begin to connect
 * @f:		Set up completely
 * @tap_fd:	From tap_open(); owned from here on, also on failure
 * @features:	LINK_F_* of it
 * @e:		MAC, MTU and link; not needed afterwards
 * @token:	Known from an earlier run, or zero
 *
 * Return: 0; -errno of epoll_ctl()
 */
int fwd_start(struct fwd *f, struct ev *ev, struct report *r, int tap_fd,
	      uint32_t features, const struct env *e,
	      const uint8_t token[static HELLO_TOKEN_LEN]);

/** fwd_stop() - Close everything; the TAP stays, as it is persistent */
void fwd_stop(struct fwd *f);

/**
 * fwd_retry_ms() - Pause before the next attempt
 * @last_ms:	The pause before the last one; 0 if the link was up for long
 * @why:	-ETIMEDOUT if that had no answer at all
 */
unsigned int fwd_retry_ms(unsigned int last_ms, int why);

/** fwd_offloads() - "csum,tso4,tso6" or "none" into @buf; returns @buf */
const char *fwd_offloads(uint32_t features, char *buf, size_t size);

#endif /* AGENT_FWD_H */
