#ifndef WIRE_DNS_H
#define WIRE_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/rd.h"
#include "base/span.h"
#include "base/wr.h"

/*
 * dns - messages of a resolver and its clients (RFC 1035, 6891)
 *
 * Text form of a name: labels joined by dots, no dot at the end, "." for the
 * root; A-Z are lower-cased; a dot or backslash within a label is \. or \\ and
 * any byte outside 0x21..0x7e is \DDD.  So two names are the same name exactly
 * if their texts are equal, and text never holds a blank or control character.
 */

#define DNS_HDR_LEN	12
#define DNS_NAME_MAX	255	/* on the wire, with the root label */
#define DNS_LABEL_MAX	63
#define DNS_TEXT_MAX	1004	/* 250 bytes as \DDD in 4 labels, dots, NUL */
#define DNS_MSG_MAX	65535
#define DNS_UDP_MAX	512	/* a client without EDNS takes no more */

#define DNS_TYPE_A	1
#define DNS_TYPE_NS	2
#define DNS_TYPE_CNAME	5
#define DNS_TYPE_SOA	6
#define DNS_TYPE_PTR	12
#define DNS_TYPE_MX	15
#define DNS_TYPE_TXT	16
#define DNS_TYPE_AAAA	28
#define DNS_TYPE_SRV	33
#define DNS_TYPE_OPT	41
#define DNS_TYPE_SVCB	64
#define DNS_TYPE_HTTPS	65
#define DNS_TYPE_ANY	255
#define DNS_CLASS_IN	1

#define DNS_RCODE_OK		0
#define DNS_RCODE_FORMERR	1
#define DNS_RCODE_SERVFAIL	2
#define DNS_RCODE_NXDOMAIN	3
#define DNS_RCODE_NOTIMP	4
#define DNS_RCODE_REFUSED	5
#define DNS_RCODE_BADVERS	16	/* needs EDNS */

/* struct dns_msg, @flags */
#define DNS_F_QR	0x8000
#define DNS_F_AA	0x0400
#define DNS_F_TC	0x0200
#define DNS_F_RD	0x0100
#define DNS_F_RA	0x0080
#define DNS_F_AD	0x0020
#define DNS_F_CD	0x0010

/**
 * struct dns_msg - The 12 bytes that every message begins with
 * @flags:	All 16 bits; DNS_F_*
 * @opcode:	Of @flags
 * @rcode:	Of @flags, without the upper bits of EDNS
 * @count:	Questions, answers, authority, additional
 */
struct dns_msg {
	uint16_t id, flags;
	uint8_t opcode, rcode;
	uint16_t count[4];
};

/** dns_msg_parse() - Read the head; 0, or -EBADMSG if it is cut off */
int dns_msg_parse(struct rd *r, struct dns_msg *out);

/** dns_msg_emit() - Write the head: @opcode and @rcode go into @flags */
void dns_msg_emit(const struct dns_msg *m, struct wr *w);

/**
 * dns_name_parse() - Read a name
 * @msg:	The whole message, for compression pointers
 * @r:		Reader over @msg, at the name; left behind it
 * @text:	Set on success
 *
 * A pointer must go to an earlier place than every label and pointer read so
 * far, and not into the head: so this always ends.
 *
 * Return: 0; -EBADMSG
 */
int dns_name_parse(struct span msg, struct rd *r,
		   char text[static DNS_TEXT_MAX]);

/**
 * dns_name_emit() - Write a name, uncompressed
 * @text:	As above; a dot at the end is allowed
 *
 * Return: 0; -EINVAL if it is no name: an empty or too long label, longer than
 *	   DNS_NAME_MAX, a broken escape; nothing is written then
 */
int dns_name_emit(const char *text, struct wr *w);

/** dns_name_eq() - Same name in text form, whatever the case of the letters */
bool dns_name_eq(const char *a, const char *b);

/**
 * struct dns_query - A query with one question
 * @flags:	Of the head
 * @qname:	Text form
 * @question:	Name, type and class as they came, case kept; borrowed from the
 *		message, and uncompressed
 * @edns:	An OPT record was there: @version, @payload and @dnssec_ok are set
 * @payload:	Largest UDP answer that the client takes, at least DNS_UDP_MAX;
 *		that value without EDNS
 * @dnssec_ok:	DO bit
 */
struct dns_query {
	uint16_t id, flags;
	uint8_t opcode;
	bool rd;
	char qname[DNS_TEXT_MAX];
	uint16_t qtype, qclass;
	struct span question;
	bool edns, dnssec_ok;
	uint8_t version;
	uint16_t payload;
};

/**
 * dns_parse_query() - Read a client's message
 * @out:	Set on success. With -EINVAL it holds @id, @flags, @opcode and @rd,
 *		and an empty question: good for a reply with DNS_RCODE_FORMERR
 *
 * Opcode, EDNS version and class are not judged: the caller answers NOTIMP,
 * BADVERS, REFUSED.
 *
 * Return: 0; -EBADMSG if there is no head or it is itself a response: drop it;
 *	   -EINVAL if anything after the head is malformed, there is not exactly
 *	   one question, or more than one OPT record
 */
int dns_parse_query(struct span msg, struct dns_query *out);

/**
 * dns_emit_reply() - Write a whole answer from here
 * @rcode:	DNS_RCODE_*; above 15 only to a query with EDNS
 * @aa:		Authoritative
 * @addr:	The one answer, or NULL for none. One that does not fit the
 *		question's type gives an answer without records
 * @ttl_s:	Of @addr
 *
 * RA is set, RD and CD are copied.  EDNS is answered with EDNS.
 *
 * Return: bytes written; -ENOSPC if @w is too small
 */
int dns_emit_reply(const struct dns_query *q, int rcode, bool aa,
		   const struct ipaddr *addr, uint32_t ttl_s, struct wr *w);

/**
 * dns_check_answer() - Whether a server's message answers this query
 *
 * Id, QR, opcode, and the one question, letters in any case.
 *
 * Return: 0; -EBADMSG if it is malformed up to there; -ENOMSG if it answers
 *	   something else
 */
int dns_check_answer(struct span msg, const struct dns_query *q);

/**
 * dns_truncate() - Shorten an answer for UDP
 * @msg:	A well-formed answer, as by dns_check_answer()
 *
 * Head with TC, question, and the OPT record if there is one.
 *
 * Return: bytes written; -EBADMSG; -ENOSPC if @w is too small
 */
int dns_truncate(struct span msg, struct wr *w);

enum dns_section {
	DNS_SECTION_ANSWER,
	DNS_SECTION_AUTHORITY,
	DNS_SECTION_ADDITIONAL,
	DNS_SECTION_NUM,
};

/**
 * struct dns_rr - One resource record
 * @ttl_s:	0 if the highest bit was set (RFC 2181 8); OPT keeps all bits
 * @rdata:	Borrowed from the message
 * @raw:	The whole record as it stands in the message, borrowed
 */
struct dns_rr {
	enum dns_section section;
	char name[DNS_TEXT_MAX];
	uint16_t type, class;
	uint32_t ttl_s;
	struct span rdata, raw;
};

/** struct dns_rrs - Place of an iteration over a message's records; private */
struct dns_rrs {
	struct span msg;
	struct rd rd;
	uint16_t left[DNS_SECTION_NUM];
};

/** dns_rrs_init() - Go to the first record; 0, or -EBADMSG */
int dns_rrs_init(struct dns_rrs *it, struct span msg);

/** dns_rrs_next() - Next record: 1; 0 after the last; -EBADMSG */
int dns_rrs_next(struct dns_rrs *it, struct dns_rr *rr);

/** dns_rr_addr() - Address of an A or AAAA record of class IN; -ENOMSG if not
 *
 * An AAAA record with an IPv4-mapped address is -ENOMSG, too: in this program
 * it would turn into the IPv4 address.
 */
int dns_rr_addr(const struct dns_rr *rr, struct ipaddr *out);

/**
 * dns_rr_target() - Name in the record data of CNAME, NS or PTR
 *
 * Return: 0; -ENOMSG for another type; -EBADMSG
 */
int dns_rr_target(const struct dns_rrs *it, const struct dns_rr *rr,
		  char text[static DNS_TEXT_MAX]);

#endif /* WIRE_DNS_H */
