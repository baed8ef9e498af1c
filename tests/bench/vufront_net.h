#ifndef BENCH_VUFRONT_NET_H
#define BENCH_VUFRONT_NET_H

#include "gateway/wire/tcp.h"
#include "tests/bench/vufront_dev.h"

/*
 * vufront_net - the guest's frames: hello, records, one TCP or UDP flow
 *
 * As little TCP as bulk data over a link without loss needs: a SYN with the
 * options of Linux, timestamps, the gateway's window, an ACK for each frame that
 * brings data, go-back-N after three duplicate ACKs or a second.  The payload of
 * each slot is written once; the stream has the period of a frame, so that every
 * frame carries the same bytes.
 */

/* A frame's headers with its record's, at most: what is looked at */
#define VF_HEAD		(4 + 12 + 14 + 20 + 60)

/**
 * struct vf_net - One guest with one flow
 * @port:	Of the server behind the gateway's address
 * @udp:	The flow is UDP
 * @seg:	Payload of a frame: the period of what is sent
 * @gso:	Segment size; 0 where the frame is one
 * @pack:	Frames in a packet, at most
 * @csum:	Frames to the host carry a whole checksum
 * @lazy_ack:	Data is acknowledged by data only
 * @pattern:	Twice what a whole period of the stream holds, in both directions
 * @check:	Compare what comes
 * @up:		The hello was answered
 * @estab:	The gateway has accepted the connection
 * @sent:	Bytes of ours up to where we are; going back lowers it, and @most
 *		says how far we have been
 * @acked:	Bytes of ours that the gateway has acknowledged
 * @got:	Bytes that have come
 * @bad:	Frames that held something else than the pattern
 * @frames_out:	Those with payload, each as often as it was sent
 * @again:	Times that we went back
 */
struct vf_net {
	struct vf_dev dev;
	uint16_t port;
	bool udp, csum, lazy_ack, check;
	size_t seg;
	unsigned int pack;
	uint16_t gso;
	const uint8_t *pattern;

	bool up, estab;
	uint32_t una, nxt, rcv_nxt, wnd, tsecr;
	uint8_t wscale;
	unsigned int dups;
	bool ack_due;
	uint64_t recover;		/* @most when we went back last */
	uint64_t acked, sent, most, got;
	uint64_t frames_out, frames_in, again, bad;

	/* the record that is coming in */
	uint8_t head[VF_HEAD];
	size_t have, want, left;
	bool fresh;			/* its payload is what comes next */
	bool filled[VF_NUM];		/* slots that hold whole frames */
};

/** vf_net_open() - Start the device, say hello, connect the flow */
void vf_net_open(struct vf_net *n, const char *path);

/**
 * vf_net_send() - Send a packet of frames with payload
 * @max:	Bytes of payload at most
 *
 * Return: bytes of payload sent; 0 if window, credit or slots forbid it
 */
size_t vf_net_send(struct vf_net *n, uint64_t max);

/** vf_net_step() - Kick, take what came; wait if it was nothing
 *
 * @tx:		What we wait for may also be that slots come back
 */
void vf_net_step(struct vf_net *n, bool tx);

#endif /* BENCH_VUFRONT_NET_H */
