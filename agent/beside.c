#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/beside.h"
#include "agent/keep.h"
#include "agent/memtoken.h"
#include "base/fd.h"

/**
 * leave_console() - Log to the kernel from now on
 *
 * The console is the other init's: it hangs up who has it open.
 */
static void leave_console(struct beside *b, const struct conf *c)
{
	int kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	int null = kmsg < 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0) {
		fd_close(&kmsg);
		return;
	}
	b->away = true;
	log_info("another init takes over; from here on to the kernel's log");
	log_init(kmsg, "msb-init", LOG_SINK_KMSG, c->level);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	fd_close(&null);
}

/** load() - Take over the token of an earlier life */
static void load(struct beside *b, struct conf *c)
{
	int rc = b->token_fd < 0 ? -ENOENT :
		 memtoken_load(b->token_fd, c->token);

	if (rc == 0 && c->handoff)
		leave_console(b, c);	/* not our first life */
	if (rc < 0 && rc != -ENOENT)
		log_warn("the token of an earlier agent: %s", strerror(-rc));
}

/** service() - Another init started us */
static void service(struct beside *b, struct conf *c)
{
	const char *socket = getenv("NOTIFY_SOCKET");

	if (notify_open(&b->notify, socket, c->notify_fd) < 0)
		log_warn("NOTIFY_SOCKET: %.64s: neither a path nor \"@\" and "
			 "a name", socket);
	unsetenv("NOTIFY_SOCKET");	/* it is not for our children */
	b->token_fd = notify_stored();
	b->stored = b->token_fd >= 0;
	if (b->token_fd < 0)
		b->token_fd = memtoken_file();
}

int beside_start(struct beside *b, struct conf *c)
{
	int rc = -1;

	*b = (struct beside){ .token_fd = -1, .notify.fd = -1 };
	if (c->dry)
		return rc;
	if (!c->pid1)
		service(b, c);
	else if (c->handoff)
		b->token_fd = memtoken_file();
	if (c->handoff || c->keep)
		rc = keep_child(!c->handoff);
	if (rc < 0)
		load(b, c);
	return rc;
}

bool beside_ready(struct beside *b, const struct conf *c,
		  const struct report *r, bool works)
{
	beside_status(b, r);
	if (works)
		notify_ready(&b->notify);
	else if (b->notify.len)
		return false;
	if (c->handoff && !b->away)
		leave_console(b, c);
	return true;
}

void beside_status(struct beside *b, const struct report *r)
{
	char text[REPORT_VALUE + 32];
	const char *link = report_get(r, "LINK_STATE");

	if (r->failed)
		snprintf(text, sizeof(text), "no network: %s",
			 report_get(r, "ERROR1"));
	else
		snprintf(text, sizeof(text), "network %s%s%s",
			 report_get(r, "STATE"), *link ? ", link " : "", link);
	notify_status(&b->notify, text);
}

void beside_token(struct beside *b,
		  const uint8_t token[static HELLO_TOKEN_LEN])
{
	if (b->token_fd < 0 || memtoken_save(b->token_fd, token) < 0 || b->stored)
		return;
	b->stored = notify_store(&b->notify, b->token_fd, "token") == 0;
}

void beside_stop(struct beside *b)
{
	(void)notify_send(&b->notify, "STOPPING=1");
	fd_close(&b->notify.fd);
	fd_close(&b->token_fd);
}
