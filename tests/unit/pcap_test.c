#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/count.h"
#include "base/util.h"
#include "link/memlink.h"
#include "link/pcap.h"

int pcap_test(void);

static int came, sent, downs;
static struct memlink M;

static void on_peer(struct memlink *m, const struct link_vnet *vh,
		    const uint8_t *frame, size_t len)
{
	(void)m;
	(void)vh;
	(void)frame;
	(void)len;
	sent++;
}

static void on_input(struct link *l, const struct link_vnet *vh,
		     const struct iovec *iov, int n)
{
	(void)l;
	(void)vh;
	(void)iov;
	(void)n;
	came++;
}

static void on_down(struct link *l, int why)
{
	(void)l;
	(void)why;
	downs++;
}

static struct pcap *wrap(int fd, uint32_t snaplen)
{
	struct pcap *p;

	came = sent = downs = 0;
	memset(&M.link, 0, sizeof(M.link));
	memlink_init(&M, LINK_F_CSUM, on_peer, NULL);
	p = pcap_new(&M.link, fd, snaplen);
	assert_non_null(p);
	pcap_link(p)->input = on_input;
	pcap_link(p)->down = on_down;
	return p;
}

static uint32_t u32(const uint8_t *p)	/* as the file: in our byte order */
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The four frames of run(), as a reader finds them */
static void check_records(const uint8_t *p, size_t len, time_t now)
{
	static const struct {
		size_t len;
		uint8_t fill;
	} want[] = { { 60, 1 }, { 200, 2 }, { 14, 3 }, { 90, 4 } };

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		size_t kept = MIN(want[i].len, 100);

		assert_in_range(len, 16 + kept, SIZE_MAX);
		assert_in_range(u32(p), now - 5, now + 5);
		assert_in_range(u32(p + 4), 0, 999999999);
		assert_int_equal(u32(p + 8), kept);
		assert_int_equal(u32(p + 12), want[i].len);
		for (size_t j = 0; j < kept; j++)
			assert_int_equal(p[16 + j], want[i].fill);
		p += 16 + kept;
		len -= 16 + kept;
	}
	assert_int_equal(len, 0);
}

static void run(struct pcap *p)
{
	struct link *l = pcap_link(p);
	uint8_t frame[200];
	struct iovec iov[2] = { { frame, 9 }, { frame + 9, 51 } };
	struct link_room room;

	memset(frame, 1, sizeof(frame));
	assert_int_equal(link_send(l, NULL, iov, 2), 0);
	memset(frame, 2, sizeof(frame));
	memlink_deliver(&M, NULL, frame, 200);
	assert_int_equal(link_reserve(l, 60, &room), 0);
	memset(room.iov[0].iov_base, 3, 60);
	assert_int_equal(link_commit(l, &room, NULL, 14), 0);

	/* Not sent, not recorded */
	assert_int_equal(link_reserve(l, 60, &room), 0);
	assert_int_equal(link_commit(l, &room, NULL, 0), 0);
	M.refuse = true;
	assert_int_equal(link_send(l, NULL, iov, 2), -EAGAIN);
	M.refuse = false;
	assert_true(l->full);
	link_drained(&M.link);
	assert_false(l->full);

	memset(frame, 4, sizeof(frame));
	memlink_deliver(&M, NULL, frame, 90);
}

static void test_file(void **state)
{
	static uint8_t buf[4096];
	int fd = memfd_create("pcap", MFD_CLOEXEC);
	struct pcap *p;
	ssize_t len;

	(void)state;
	assert_in_range(fd, 0, 1000);
	p = wrap(dup(fd), 100);
	run(p);
	assert_int_equal(sent, 2);
	assert_int_equal(came, 2);
	pcap_free(p);

	/* Opened again it goes on, with no second head */
	assert_int_equal(lseek(fd, 0, SEEK_END), 24 + 4 * 16 + 60 + 100 + 14 +
						 90);
	p = wrap(dup(fd), 100);
	run(p);
	link_down(&M.link, -EIO);
	assert_int_equal(downs, 1);
	pcap_free(p);

	len = pread(fd, buf, sizeof(buf), 0);
	assert_int_equal(len, 24 + 2 * (4 * 16 + 60 + 100 + 14 + 90));
	assert_int_equal(u32(buf), 0xa1b23c4d);
	assert_int_equal(buf[4] | buf[5], 2);
	assert_int_equal(buf[6] | buf[7], 4);
	assert_int_equal(u32(buf + 16), 100);
	assert_int_equal(u32(buf + 20), 1);
	len = (len - 24) / 2;
	check_records(buf + 24, (size_t)len, time(NULL));
	check_records(buf + 24 + len, (size_t)len, time(NULL));
	close(fd);
}

/* A full disk ends the capture, not the link */
static void test_disk_full(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct pcap *p;

	(void)state;
	assert_in_range(fd, 0, 1000);
	count_reset();
	p = wrap(fd, 65535);
	run(p);
	assert_int_equal(sent, 2);
	assert_int_equal(came, 2);
	assert_int_equal(count_get("pcap_write_errors"), 1);
	pcap_free(p);
}

int pcap_test(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_disk_full),
	};

	return cmocka_run_group_tests_name("pcap", tests, NULL, NULL);
}
