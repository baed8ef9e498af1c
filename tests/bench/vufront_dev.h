#ifndef BENCH_VUFRONT_DEV_H
#define BENCH_VUFRONT_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/transport/virtq.h"

/*
 * vufront_dev - a VMM and the virtio-vsock driver of its guest, in one process
 *
 * The other side of vhost_user and vvsock: it connects, shares a memfd, starts
 * both rings as QEMU does, and opens one stream to port 1024.  Rings, tables and
 * buffers are laid out once, in the shape that Linux 6.1 gives them: 128 entries,
 * each an indirect table of header and payload; packets of up to 64 KiB to the
 * host, buffers of 4 KiB from it; EVENT_IDX in both directions.  To send, only
 * lengths and headers are written.
 *
 * What goes wrong ends the program with a line on stderr.
 */

#define VF_NUM		128		/* entries of a ring, as in QEMU */
#define VF_PACKET_MAX	65536		/* payload of a packet to the host */

enum vf_queue {
	VF_QUEUE_RX,
	VF_QUEUE_TX,
	VF_QUEUE_NUM,
};

/**
 * struct vf_ring - The driver's view of a ring
 * @put:	Next entry of the avail ring that we shall fill
 * @seen:	Next entry of the used ring that we shall take
 * @kicked:	@put when the device was last told, or did not want to be
 */
struct vf_ring {
	virtq_u16 *avail, *used;
	uint16_t put, seen, kicked;
};

/**
 * struct vf_dev - The device as its driver sees it, and the stream on it
 * @free:	Entries of the TX ring that are ours, @nfree of them
 * @tx_cnt:	Bytes sent on the stream; @peer_fwd of them were taken, and
 *		@peer_alloc may be on the way
 * @fwd_cnt:	Bytes received
 * @open:	The stream is
 * @owe:	The device has asked for our credit
 * @kicks:	Times that we told the device
 * @waits:	Times that we slept until it told us
 * @input:	Bytes of the stream came; borrowed during the call
 */
struct vf_dev {
	int sock, memfd, kick[VF_QUEUE_NUM], call[VF_QUEUE_NUM];
	uint8_t *mem;
	uint64_t cid;
	struct vf_ring ring[VF_QUEUE_NUM];
	uint16_t free[VF_NUM];
	unsigned int nfree;
	uint32_t tx_cnt, peer_fwd, peer_alloc, fwd_cnt;
	bool open, owe;
	uint64_t kicks, waits;
	void (*input)(void *arg, const uint8_t *p, size_t n);
	void *arg;
};

/**
 * vf_dev_open() - Connect to the gateway and start the device
 * @d:		Zeroed, with @input installed
 * @path:	Its socket, awaited for some seconds
 */
void vf_dev_open(struct vf_dev *d, const char *path);

/** vf_dev_stream() - Open the stream to port 1024, and wait for the answer */
void vf_dev_stream(struct vf_dev *d);

/** vf_dev_credit() - Bytes that the gateway would still take */
uint32_t vf_dev_credit(const struct vf_dev *d);

/**
 * vf_dev_slot() - Where the next packet may be written
 * @slot:	Set to its number: what was written there before still is
 *
 * Return: VF_PACKET_MAX bytes, the same ones until vf_dev_send(); NULL if the
 *	   device has all of them
 */
uint8_t *vf_dev_slot(struct vf_dev *d, unsigned int *slot);

/** vf_dev_send() - Send the first @len bytes of the slot on the stream */
void vf_dev_send(struct vf_dev *d, size_t len);

/** vf_dev_poll() - Take what the device is done with; whether it was anything */
bool vf_dev_poll(struct vf_dev *d);

/** vf_dev_kick() - Tell the device what there is, if it wants to be told */
void vf_dev_kick(struct vf_dev *d);

/**
 * vf_dev_wait() - Sleep until the device tells us
 * @tx:		Also of packets that it has taken
 *
 * Return: false if nothing came in @ms
 */
bool vf_dev_wait(struct vf_dev *d, bool tx, int ms);

#endif /* BENCH_VUFRONT_DEV_H */
