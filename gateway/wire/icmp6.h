#ifndef WIRE_ICMP6_H
#define WIRE_ICMP6_H

#include <stdint.h>

#include "base/rd.h"
#include "base/wr.h"

#define ICMP6_HDR_LEN		8

#define ICMP6_UNREACH		1
#define ICMP6_TOO_BIG		2
#define ICMP6_TIME_EXCEEDED	3
#define ICMP6_PARAM_PROB	4
#define ICMP6_ECHO		128
#define ICMP6_ECHO_REPLY	129
#define ICMP6_MLD_QUERY		130
#define ICMP6_MLD_REPORT	131
#define ICMP6_MLD_DONE		132
#define ICMP6_RS		133
#define ICMP6_RA		134
#define ICMP6_NS		135
#define ICMP6_NA		136
#define ICMP6_REDIRECT		137
#define ICMP6_MLD2_REPORT	143

#define ICMP6_UNREACH_ROUTE	0	/* codes of ICMP6_UNREACH */
#define ICMP6_UNREACH_ADMIN	1
#define ICMP6_UNREACH_ADDR	3
#define ICMP6_UNREACH_PORT	4
#define ICMP6_PARAM_FIRST_FRAG 3	/* RFC 7112 */
#define ICMP6_PARAM_NEXT	1	/* of ICMP6_PARAM_PROB: unknown header */

/**
 * struct icmp6 - The first 8 bytes of every ICMPv6 message (RFC 4443)
 * @csum:	Over pseudo header and message: the caller's affair
 * @rest:	Echo: identifier and sequence; TOO_BIG: MTU; PARAM_PROB: pointer
 */
struct icmp6 {
	uint8_t type, code;
	uint16_t csum;
	uint32_t rest;
};

/** icmp6_parse() - Read the first 8 bytes; 0, or -EBADMSG if cut off */
int icmp6_parse(struct rd *r, struct icmp6 *out);

/** icmp6_emit() - Write the first 8 bytes */
void icmp6_emit(const struct icmp6 *m, struct wr *w);

/** icmp6_is_error() - Whether this type is an error message */
static inline bool icmp6_is_error(uint8_t type)
{
	return type < 128;
}

#endif /* WIRE_ICMP6_H */
