#ifndef WIRE_TCP_H
#define WIRE_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rd.h"
#include "base/wr.h"

/* tcp - the TCP header and its options (RFC 9293 3.1, 7323, 2018) */

#define TCP_HDR_MIN	20
#define TCP_HDR_MAX	60
#define TCP_HDR_CSUM	16	/* offset of the checksum */
#define TCP_TS_LEN	12	/* the timestamp option with its padding */
#define TCP_SACK_MAX	4	/* blocks in one header; 3 beside a timestamp */
#define TCP_WSCALE_MAX	14	/* RFC 7323 2.3 */

#define TCP_FLAG_FIN	0x01
#define TCP_FLAG_SYN	0x02
#define TCP_FLAG_RST	0x04
#define TCP_FLAG_PSH	0x08
#define TCP_FLAG_ACK	0x10
#define TCP_FLAG_URG	0x20
#define TCP_FLAG_ECE	0x40
#define TCP_FLAG_CWR	0x80

/** struct tcp_range - Sequence numbers from @start up to, without, @end */
struct tcp_range {
	uint32_t start, end;
};

/**
 * struct tcp_opts - The options that we know
 * @bad:	Parsing stopped at one whose length is impossible; those before
 *		it stand (RFC 9293 3.1, MUST-7)
 * @mss:	0 when absent
 * @wscale:	Shift as sent; above TCP_WSCALE_MAX counts as that
 * @nsack:	Blocks in @sack; 0 when the option is absent
 */
struct tcp_opts {
	bool bad, has_wscale, sack_ok, has_ts;
	uint8_t wscale, nsack;
	uint16_t mss;
	uint32_t tsval, tsecr;
	struct tcp_range sack[TCP_SACK_MAX];
};

/**
 * struct tcp_hdr - A header in host order
 * @hlen:	Its length with options; set by both directions
 * @csum:	As received; emitted as 0, the IP layer fills it in
 */
struct tcp_hdr {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags, hlen;
	uint16_t wnd, csum, urg;
	struct tcp_opts opt;
};

/**
 * tcp_hdr_parse() - Read a header with its options
 * @r:		From the first byte of the header; what follows it may be there
 * @h:		Set on success
 *
 * Return: 0; -EBADMSG if there are fewer bytes than the header says, or if it
 *	   says less than 20.  Options that make no sense are not an error
 */
int tcp_hdr_parse(struct rd r, struct tcp_hdr *h);

/** tcp_hdr_len() - Bytes that tcp_hdr_emit() will write: 20 to 60 */
size_t tcp_hdr_len(const struct tcp_hdr *h);

/**
 * tcp_hdr_emit() - Write a header with its options
 *
 * In the order MSS, SACK-permitted, timestamps, window scale, SACK, padded with
 * NOPs.  @w goes bad if the header does not fit into it; the caller does not
 * ask for more options than a header can hold (60 bytes).
 */
void tcp_hdr_emit(struct wr *w, const struct tcp_hdr *h);

#endif /* WIRE_TCP_H */
