#ifndef PROTO_HELLO_H
#define PROTO_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rd.h"
#include "base/wr.h"

/*
 * hello - first message in each direction on the frame stream
 *
 * Big-endian: "MSBL", u16 version, u16 length of the whole message, u32
 * features, u16 MTU, 6 bytes MAC, 16 bytes boot id, 16 bytes token; TLVs may
 * follow (u16 type, u16 length, value; unknown ones are skipped).  The guest
 * speaks first; the gateway answers in the same form with what it accepts.
 * After that both sides send records: u32 big-endian length of what follows, a
 * 12-byte little-endian virtio_net_hdr_v1, the frame.  Length 0 is a keepalive.
 */
#define HELLO_MAGIC	"MSBL"
#define HELLO_VERSION	1
#define HELLO_LEN	52	/* without TLVs */
#define HELLO_MAX	512	/* with TLVs; longer is refused */
#define HELLO_TOKEN_LEN	16
#define HELLO_BOOT_ID_LEN 16

/* Features: what the sender is ready to receive; unknown bits are ignored */
#define HELLO_F_CSUM	(1u << 0)	/* partly checksummed frames */
#define HELLO_F_TSO4	(1u << 1)	/* TCP over IPv4 up to 64 KiB */
#define HELLO_F_TSO6	(1u << 2)	/* TCP over IPv6 up to 64 KiB */
#define HELLO_F_USO4	(1u << 3)	/* UDP over IPv4 up to 64 KiB */
#define HELLO_F_USO6	(1u << 4)	/* UDP over IPv6 up to 64 KiB */
#define HELLO_F_ALL	0x1fu

struct hello {
	uint16_t version;
	uint32_t features;
	uint16_t mtu;
	uint8_t mac[6];
	uint8_t boot_id[HELLO_BOOT_ID_LEN];
	uint8_t token[HELLO_TOKEN_LEN];		/* zero the first time */
};

/**
 * hello_need() - How many bytes the message at the start of @s has
 * @s:		What has been received so far
 *
 * Return: the length of the whole message; 0 if more bytes are needed to tell;
 *	   -EBADMSG if it cannot be a hello (magic, or a length out of range)
 */
int hello_need(struct span s);

/**
 * hello_parse() - Parse one whole message
 * @r:		Reader over exactly the message
 * @h:		Set on success
 *
 * Return: 0; -EBADMSG if malformed; -EPROTONOSUPPORT for version 0
 */
int hello_parse(struct rd r, struct hello *h);

/** hello_emit() - Append a message without TLVs; test @w->bad afterwards */
void hello_emit(struct wr *w, const struct hello *h);

/** hello_has_token() - Whether the token is not all zero */
bool hello_has_token(const struct hello *h);

#endif /* PROTO_HELLO_H */
