#ifndef BENCH_VUFRONT_SERVER_H
#define BENCH_VUFRONT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The server on the loopback that the guest's flow ends at: a process */

enum vf_mode {
	VF_MODE_UP,		/* takes */
	VF_MODE_DOWN,		/* gives */
	VF_MODE_RR,		/* echoes */
	VF_MODE_UDP,		/* takes */
};

/* What it has seen; both processes look at it */
struct vf_shared {
	volatile uint64_t bytes, reads, bad;
};

/**
 * struct vf_server - What it does
 * @bytes:	To give; 0 is without end
 * @check:	Compare what comes with the pattern
 * @pattern:	Two periods; for UDP a datagram is a period
 */
struct vf_server {
	enum vf_mode mode;
	bool check;
	uint64_t bytes;
	const uint8_t *pattern;
	size_t period;
	struct vf_shared *sh;
	pid_t pid;
};

/** vf_server_start() - Listen on 127.0.0.1 and serve one flow; the port */
uint16_t vf_server_start(struct vf_server *s);

/**
 * vf_server_stop() - End it
 * @want:	Bytes that it should have seen; if it takes, they are awaited
 */
void vf_server_stop(struct vf_server *s, uint64_t want);

#endif /* BENCH_VUFRONT_SERVER_H */
