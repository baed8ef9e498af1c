/*
 * nb - small requests, datagrams and idle flows, for the benchmark
 *
 *	nb server IP PORT		echo on TCP until a signal
 *	nb rr IP PORT SECS CONNS	one byte each way, on CONNS connections
 *	nb crr IP PORT SECS WORKERS	connect, one byte each way, close
 *	nb flows IP PORT SECS FLOWS	open them within SECS, and keep them
 *					until standard input ends
 *	nb udptx IP PORT SECS SIZE	send datagrams flat out
 *	nb udprx IP PORT SECS SIZE	count what comes there
 *	nb udpsrv IP PORT SECS SIZE	flood whoever says hello there
 *	nb udpask IP PORT SECS SIZE	say hello there, count what comes back
 *
 * Each is bounded by time, and prints one JSON object.
 */
#include "tests/bench/nb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX	(1u << 22)
#define CONNS_MAX	64
#define TIMEOUT_S	3

static uint32_t samples_ns[SAMPLES_MAX];	/* touched as they are used */
static size_t nsamples;

double nb_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

_Noreturn void nb_die(const char *what)
{
	fprintf(stderr, "nb: %s: %s\n", what, strerror(errno));
	exit(1);
}

void nb_sample(double s)
{
	size_t i = __atomic_fetch_add(&nsamples, 1, __ATOMIC_RELAXED);

	if (i < SAMPLES_MAX)
		samples_ns[i] = s > 4.0 ? 4000000000u : (uint32_t)(s * 1e9);
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double percentile_us(size_t n, double p)
{
	return n ? samples_ns[(size_t)((double)(n - 1) * p)] / 1e3 : 0;
}

void nb_report(const char *test, double s, uint64_t errors)
{
	size_t n = nsamples < SAMPLES_MAX ? nsamples : SAMPLES_MAX;

	qsort(samples_ns, n, sizeof(*samples_ns), by_value);
	printf("{\"test\":\"%s\",\"n\":%zu,\"per_s\":%.1f,\"p50_us\":%.1f,"
	       "\"p99_us\":%.1f,\"p999_us\":%.1f,\"errors\":%llu}\n", test,
	       nsamples, (double)nsamples / s, percentile_us(n, .5),
	       percentile_us(n, .99), percentile_us(n, .999),
	       (unsigned long long)errors);
}

int nb_connect(const struct sockaddr_in *a)
{
	const struct timeval tv = { .tv_sec = TIMEOUT_S };
	const int one = 1;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return -1;
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(s, (const struct sockaddr *)a, sizeof(*a))) {
		close(s);
		return -1;
	}
	return s;
}

/* A whole number from 1 to @max; 0 if it is none */
static int number(const char *s, long max)
{
	char *end;
	long n = strtol(s, &end, 10);

	return *s && !*end && n > 0 && n <= max ? (int)n : 0;
}

static const struct {
	const char *name, *args;
	int (*run)(const struct sockaddr_in *a, double secs, int n);
	long max;
} tests[] = {
	{ "rr", "SECS CONNS", nb_rr, CONNS_MAX },
	{ "crr", "SECS WORKERS", nb_crr, CONNS_MAX },
	{ "flows", "SECS FLOWS", nb_flows, NB_FLOWS_MAX },
	{ "udptx", "SECS SIZE", nb_udp_send, NB_UDP_MAX },
	{ "udprx", "SECS SIZE", nb_udp_receive, NB_UDP_MAX },
	{ "udpsrv", "SECS SIZE", nb_udp_serve, NB_UDP_MAX },
	{ "udpask", "SECS SIZE", nb_udp_ask, NB_UDP_MAX },
};

#define TESTS	(sizeof(tests) / sizeof(*tests))

static int usage(void)
{
	fprintf(stderr, "usage: nb server IP PORT\n");
	for (size_t i = 0; i < TESTS; i++)
		fprintf(stderr, "       nb %s IP PORT %s\n", tests[i].name,
			tests[i].args);
	return 2;
}

/* Thousands of flows are thousands of descriptors, at either end */
static void raise_nofile(void)
{
	struct rlimit r;

	if (!getrlimit(RLIMIT_NOFILE, &r)) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	double secs;
	int port, n;

	signal(SIGPIPE, SIG_IGN);
	raise_nofile();
	if (argc < 4 || inet_pton(AF_INET, argv[2], &a.sin_addr) != 1)
		return usage();
	port = number(argv[3], UINT16_MAX);
	if (!port)
		return usage();
	a.sin_port = htons((uint16_t)port);
	if (argc == 4 && !strcmp(argv[1], "server"))
		return nb_server(&a);
	if (argc != 6)
		return usage();
	secs = strtod(argv[4], NULL);
	if (!(secs > 0 && secs < 3600))
		return usage();
	for (size_t i = 0; i < TESTS; i++) {
		if (strcmp(argv[1], tests[i].name))
			continue;
		n = number(argv[5], tests[i].max);
		return n ? tests[i].run(&a, secs, n) : usage();
	}
	return usage();
}
