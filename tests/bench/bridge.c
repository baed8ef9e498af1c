/*
 * bridge FD FD - carry frames between two open TAP devices
 *
 * The ceiling of a gateway that has to move every frame through user space: no
 * protocol, one thread for each direction, one read() and one write() a frame.
 * The devices are open, blocking, and have the same offloads, so the metadata in
 * front of a frame passes through as it is.  Ends by a signal.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME_MAX	(65536 + 64)

struct way {
	int from, to;
};

/* A frame that the other device does not take is lost, as on a wire */
static void *carry(void *arg)
{
	static _Thread_local char frame[FRAME_MAX];
	const struct way *w = arg;
	ssize_t n;

	while ((n = read(w->from, frame, sizeof(frame))) > 0 || errno == EINTR)
		if (n > 0 && write(w->to, frame, (size_t)n) < 0 &&
		    errno == EBADFD)
			break;
	fprintf(stderr, "bridge: %s\n", strerror(errno));
	exit(1);
}

static int number(const char *s)
{
	char *end;
	long n = strtol(s, &end, 10);

	return *s && !*end && n >= 0 && n < 65536 ? (int)n : -1;
}

int main(int argc, char **argv)
{
	struct way up, down;
	pthread_t t;

	if (argc != 3 || number(argv[1]) < 0 || number(argv[2]) < 0) {
		fprintf(stderr, "usage: bridge FD FD\n");
		return 2;
	}
	up = (struct way){ number(argv[1]), number(argv[2]) };
	down = (struct way){ up.to, up.from };
	if (pthread_create(&t, NULL, carry, &up)) {
		fprintf(stderr, "bridge: no thread\n");
		return 1;
	}
	carry(&down);
}
