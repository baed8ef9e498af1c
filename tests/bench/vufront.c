/*
 * vufront - the other side of `msb-gateway run --vhost-user`, without a guest
 *
 *	vufront MODE PATH [OPTIONS]
 *	  up	 TCP, as fast as it goes, to a server on this host's loopback
 *	  down	 TCP from there
 *	  rr	 so many bytes there and back, one at a time
 *	  udp	 datagrams to the server
 *	-n N	 frames of payload (down: as many bytes as N frames of ours)
 *	-t SECS	 instead of -n
 *	-s LEN	 payload of a frame (up, down 65160; rr 1; udp 64)
 *	-g LEN	 segment size, where a frame has more (1448)
 *	-p N	 frames in a packet (1)
 *	-c	 frames with a whole checksum; they cannot have more than a segment
 *	-k	 check every byte, on both sides
 *
 * The gateway must allow its own address (--net all), and know the guest by
 * IPv4 as slot 0.  Prints one JSON object.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "tests/bench/vufront_net.h"
#include "tests/bench/vufront_server.h"

#define RTT_MAX		(1u << 20)
#define SEG_MAX		65160

struct job {
	enum vf_mode mode;
	const char *path;
	uint64_t frames;
	double secs;
};

static const char *const modes[] = { "up", "down", "rr", "udp" };
static float rtt_us[RTT_MAX];
static size_t nrtt;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- modes ----------------------------------------------------------------- */

/* Bytes that are still to be sent, some of them once more; without a limit but
 * time there is no end until then */
static uint64_t still(const struct job *j, const struct vf_net *n, double end)
{
	if (!j->frames)
		return now() < end ? n->seg * 128 : n->most - n->sent;
	return j->frames * n->seg - n->sent;
}

static void run_up(const struct job *j, struct vf_net *n, double end)
{
	uint64_t left;

	do {
		left = still(j, n, end);
		while (left && vf_net_send(n, left))
			left = still(j, n, end);
		vf_net_step(n, n->udp);
	} while (left || (n->udp ? n->dev.nfree < VF_NUM :
				   n->acked < n->most));
}

static void run_down(const struct job *j, struct vf_net *n, double end)
{
	while (j->frames ? n->got < j->frames * n->seg : now() < end)
		vf_net_step(n, false);
}

static void run_rr(const struct job *j, struct vf_net *n, double end)
{
	double start;

	n->lazy_ack = true;
	for (uint64_t k = 0; j->frames ? k < j->frames : now() < end; k++) {
		start = now();
		while (!vf_net_send(n, n->seg))
			vf_net_step(n, false);
		while (n->got < n->sent)
			vf_net_step(n, false);
		if (nrtt < RTT_MAX)
			rtt_us[nrtt++] = (float)((now() - start) * 1e6);
	}
}

/* --- report ---------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double rtt(double p)
{
	return nrtt ? (double)rtt_us[(size_t)((double)(nrtt - 1) * p)] : 0;
}

static void report(const struct job *j, const struct vf_net *n,
		   const struct vf_shared *sh, double s)
{
	uint64_t bytes = j->mode == VF_MODE_DOWN ? n->got :
			 j->mode == VF_MODE_UDP ? sh->bytes : n->acked;
	uint64_t frames = j->mode == VF_MODE_DOWN ? n->frames_in :
			  j->mode == VF_MODE_UDP ? sh->reads :
			  n->acked / n->seg;	/* not what was sent twice */
	uint64_t bad = n->bad + sh->bad;

	qsort(rtt_us, nrtt, sizeof(rtt_us[0]), by_value);
	printf("{\"mode\":\"%s\",\"secs\":%.4f,\"bytes\":%llu,\"gbps\":%.4f,"
	       "\"frames\":%llu,\"frames_per_s\":%.1f,\"sent\":%llu,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"again\":%llu,\"bad\":%llu,"
	       "\"kicks\":%llu,\"waits\":%llu}\n",
	       modes[j->mode], s, (unsigned long long)bytes,
	       (double)bytes * 8e-9 / s, (unsigned long long)frames,
	       (double)frames / s, (unsigned long long)n->frames_out,
	       rtt(.5), rtt(.99), (unsigned long long)n->again, (unsigned long long)bad,
	       (unsigned long long)n->dev.kicks,
	       (unsigned long long)n->dev.waits);
}

/* --- */

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: vufront up|down|rr|udp PATH [-n N | -t SECS] "
		"[-s LEN] [-g LEN] [-p N] [-c] [-k]\n");
	exit(2);
}

static unsigned long number(const char *s, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (!*s || *end || *s == '-' || n < 1 || n > max)
		usage();
	return n;
}

static void options(int argc, char **argv, struct job *j, struct vf_net *n)
{
	int c;

	while ((c = getopt(argc, argv, "n:t:s:g:p:ck")) != -1) {
		switch (c) {
		case 'n':
			j->frames = number(optarg, 1ul << 32);
			break;
		case 't':
			j->secs = strtod(optarg, NULL);
			break;
		case 's':
			n->seg = number(optarg, SEG_MAX);
			break;
		case 'g':
			n->gso = (uint16_t)number(optarg, UINT16_MAX);
			break;
		case 'p':
			n->pack = (unsigned int)number(optarg, 1024);
			break;
		case 'c':
			n->csum = true;
			break;
		case 'k':
			n->check = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc || !j->frames == !(j->secs > 0) ||
	    (n->csum && n->seg > n->gso))
		usage();
}

static struct job arguments(int argc, char **argv, struct vf_net *n)
{
	static const size_t segs[] = { SEG_MAX, SEG_MAX, 1, 64 };
	struct job j = { 0 };
	unsigned int m;

	if (argc < 3)
		usage();
	for (m = 0; m < ARRAY_SIZE(modes) && strcmp(argv[1], modes[m]); m++)
		;
	if (m == ARRAY_SIZE(modes))
		usage();
	j.mode = (enum vf_mode)m;
	j.path = argv[2];
	n->seg = segs[m];
	n->gso = 1448;
	n->pack = 1;
	n->udp = j.mode == VF_MODE_UDP;
	options(argc - 2, argv + 2, &j, n);
	return j;
}

/* Whatever its period, the stream holds this at the start of each */
static uint8_t *make_pattern(size_t period)
{
	uint8_t *p = malloc(2 * period);

	if (!p)
		die("no memory");
	for (size_t i = 0; i < period; i++)
		p[i] = p[i + period] = (uint8_t)(i * 7 + i / 251);
	return p;
}

int main(int argc, char **argv)
{
	static struct vf_net n;
	const struct job j = arguments(argc, argv, &n);
	struct vf_shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t *pattern = make_pattern(n.seg);
	struct vf_server server = { .mode = j.mode, .check = n.check,
				    .pattern = pattern, .period = n.seg,
				    .sh = sh };
	double start;

	if (sh == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	if (j.mode == VF_MODE_DOWN)
		server.bytes = j.frames * n.seg;
	n.pattern = pattern;
	n.port = vf_server_start(&server);
	vf_net_open(&n, j.path);
	start = now();
	if (j.mode == VF_MODE_DOWN)
		run_down(&j, &n, start + j.secs);
	else if (j.mode == VF_MODE_RR)
		run_rr(&j, &n, start + j.secs);
	else
		run_up(&j, &n, start + j.secs);
	start = now() - start;
	vf_server_stop(&server, n.most);
	report(&j, &n, sh, start);
	free(pattern);
	return 0;
}
