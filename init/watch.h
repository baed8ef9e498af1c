#ifndef INIT_WATCH_H
#define INIT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * watch - what PID 1 knows of the agent: its lines, its token, its back-off
 *
 * The agent reads hostile bytes, so its lines are not trusted more than needed:
 * they are bounded, one that is malformed is counted and forgotten, and no line
 * makes PID 1 do anything but take note.  agent/agent.h lists them.
 */
#define WATCH_TOKEN_LEN	32	/* hex digits */
#define WATCH_LINE_MAX	512

/**
 * struct watch - Kept from one life of the agent to the next
 * @line:	The line that is being received, @len bytes of it
 * @skip:	It is too long: drop the rest of it
 * @token:	Valid if @has_token; never printed, wiped when replaced
 * @ca_bundle:	File for SSL_CERT_FILE and its like; "" if no CA is installed
 * @ca_file:	File for NODE_EXTRA_CA_CERTS and its like, or ""
 * @ca_jks:	Trust store of Java, or ""
 * @reason:	Of the last FAILED=
 * @backoff_ms:	Pause before the last restart; 0 if none was needed yet
 */
struct watch {
	char line[WATCH_LINE_MAX];
	size_t len;
	bool skip;
	char token[WATCH_TOKEN_LEN];
	bool has_token;
	char ca_bundle[256], ca_file[256], ca_jks[256];
	char reason[256];
	uint32_t backoff_ms;
};

/** What a line means for the boot */
enum watch_said {
	WATCH_SAID_NOTHING,	/* noted, or unknown */
	WATCH_SAID_READY,	/* READY=1 */
	WATCH_SAID_FAILED,	/* FAILED=reason: see @reason */
};

/** watch_said_fn - Told of each line that matters */
typedef void (*watch_said_fn)(void *arg, enum watch_said what);

/** watch_begin() - A new agent with a new pipe: forget half a line */
void watch_begin(struct watch *w);

/**
 * watch_feed() - Take bytes from the agent's pipe
 * @p:		Borrowed during the call; the caller wipes them, for a token may
 *		be among them
 */
void watch_feed(struct watch *w, const char *p, size_t n, watch_said_fn said,
		void *arg);

/**
 * watch_delay_ms() - How long to wait before the agent is started again
 * @lived_ns:	How long the one that ended had lived
 *
 * Return: as restart_delay_ms()
 */
uint32_t watch_delay_ms(struct watch *w, uint64_t lived_ns);

#endif /* INIT_WATCH_H */
