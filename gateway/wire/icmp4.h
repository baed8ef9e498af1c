#ifndef WIRE_ICMP4_H
#define WIRE_ICMP4_H

#include <stdint.h>

#include "base/rd.h"
#include "base/wr.h"

#define ICMP4_HDR_LEN		8

#define ICMP4_ECHO_REPLY	0
#define ICMP4_UNREACH		3
#define ICMP4_REDIRECT		5
#define ICMP4_ECHO		8
#define ICMP4_TIME_EXCEEDED	11
#define ICMP4_PARAM_PROB	12

#define ICMP4_UNREACH_NET	0	/* codes of ICMP4_UNREACH */
#define ICMP4_UNREACH_HOST	1
#define ICMP4_UNREACH_PROTO	2
#define ICMP4_UNREACH_PORT	3
#define ICMP4_UNREACH_TOO_BIG	4
#define ICMP4_UNREACH_ADMIN	13

/**
 * struct icmp4 - The first 8 bytes of every ICMP message (RFC 792)
 * @csum:	Over the whole message: the caller's affair, in both directions
 * @rest:	Echo: identifier and sequence; TOO_BIG: the MTU in the low half
 */
struct icmp4 {
	uint8_t type, code;
	uint16_t csum;
	uint32_t rest;
};

/** icmp4_parse() - Read the first 8 bytes; 0, or -EBADMSG if cut off */
int icmp4_parse(struct rd *r, struct icmp4 *out);

/** icmp4_emit() - Write the first 8 bytes */
void icmp4_emit(const struct icmp4 *m, struct wr *w);

/** icmp4_is_error() - Whether this type is an error, or unknown (RFC 1122) */
bool icmp4_is_error(uint8_t type);

#endif /* WIRE_ICMP4_H */
