#ifndef WIRE_VHOST_H
#define WIRE_VHOST_H

#include <stddef.h>
#include <stdint.h>

#include "base/rd.h"
#include "base/wr.h"

/*
 * vhost - messages of the vhost-user protocol, and the header of virtio-vsock
 *
 * vhost-user is native-endian between two processes of one host; we build for
 * little-endian hosts only, and vhost.c refuses to compile elsewhere.
 */

#define VHOST_HDR_LEN		12
#define VHOST_REGIONS_MAX	8
#define VHOST_CONFIG_MAX	256	/* configuration space of a device */
#define VHOST_PAYLOAD_MAX	(12 + VHOST_CONFIG_MAX)

#define VHOST_FLAG_VERSION	0x1u	/* two bits, and this is the value */
#define VHOST_FLAG_REPLY	0x4u
#define VHOST_FLAG_NEED_REPLY	0x8u

/* What SET_VRING_KICK, _CALL and _ERR carry in their u64 */
#define VHOST_VRING_INDEX	0xffu
#define VHOST_VRING_NOFD	0x100u

enum vhost_req {
	VHOST_REQ_GET_FEATURES		= 1,
	VHOST_REQ_SET_FEATURES		= 2,
	VHOST_REQ_SET_OWNER		= 3,
	VHOST_REQ_RESET_OWNER		= 4,
	VHOST_REQ_SET_MEM_TABLE		= 5,
	VHOST_REQ_SET_VRING_NUM		= 8,
	VHOST_REQ_SET_VRING_ADDR	= 9,
	VHOST_REQ_SET_VRING_BASE	= 10,
	VHOST_REQ_GET_VRING_BASE	= 11,
	VHOST_REQ_SET_VRING_KICK	= 12,
	VHOST_REQ_SET_VRING_CALL	= 13,
	VHOST_REQ_SET_VRING_ERR		= 14,
	VHOST_REQ_GET_PROTOCOL_FEATURES	= 15,
	VHOST_REQ_SET_PROTOCOL_FEATURES	= 16,
	VHOST_REQ_GET_QUEUE_NUM		= 17,
	VHOST_REQ_SET_VRING_ENABLE	= 18,
	VHOST_REQ_GET_CONFIG		= 24,
};

/* Feature bits: of virtio, of the transport, of the vhost-user protocol */
#define VHOST_F_INDIRECT_DESC		(1ULL << 28)
#define VHOST_F_EVENT_IDX		(1ULL << 29)
#define VHOST_F_PROTOCOL_FEATURES	(1ULL << 30)
#define VHOST_F_VERSION_1		(1ULL << 32)

#define VHOST_PROTOCOL_F_MQ		(1ULL << 0)
#define VHOST_PROTOCOL_F_REPLY_ACK	(1ULL << 3)
#define VHOST_PROTOCOL_F_CONFIG		(1ULL << 9)

struct vhost_state {
	uint32_t index, num;
};

struct vhost_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

/**
 * struct vhost_region - Guest memory behind one descriptor
 * @gpa:	Guest physical address
 * @len:	Size
 * @uaddr:	Address in the VMM: what SET_VRING_ADDR counts in
 * @offset:	Where it begins in the file
 */
struct vhost_region {
	uint64_t gpa, len, uaddr, offset;
};

struct vhost_mem {
	uint32_t n;
	struct vhost_region region[VHOST_REGIONS_MAX];
};

struct vhost_config {
	uint32_t offset, size, flags;
	uint8_t data[VHOST_CONFIG_MAX];
};

/** struct vhost_hdr - What stands before each payload */
struct vhost_hdr {
	uint32_t req, flags, size;
};

/**
 * struct vhost_msg - A whole message
 *
 * Which member is valid follows from @req; none for a request without payload.
 */
struct vhost_msg {
	uint32_t req, flags;
	union {
		uint64_t u64;
		struct vhost_state state;
		struct vhost_addr addr;
		struct vhost_mem mem;
		struct vhost_config config;
	};
};

/**
 * vhost_hdr_parse() - Parse a header of VHOST_HDR_LEN bytes
 *
 * Return: 0; -EBADMSG if it is torn, has a wrong version, or announces more
 *	   than VHOST_PAYLOAD_MAX
 */
int vhost_hdr_parse(struct rd r, struct vhost_hdr *h);

/**
 * vhost_msg_parse() - Parse the payload of a request
 * @h:		Its header
 * @r:		Exactly the payload
 *
 * Return: 0; -EBADMSG if the payload does not have the form of its request;
 *	   -EOPNOTSUPP for a request that is not in enum vhost_req
 */
int vhost_msg_parse(const struct vhost_hdr *h, struct rd r,
		    struct vhost_msg *m);

/**
 * vhost_msg_emit() - Append header and payload of a request
 *
 * @m->req must be in enum vhost_req.
 */
void vhost_msg_emit(struct wr *w, const struct vhost_msg *m);

/** vhost_reply_u64() - Append a reply of 8 bytes to request @req */
void vhost_reply_u64(struct wr *w, uint32_t req, uint64_t v);

/** vhost_reply_state() - Append the reply to GET_VRING_BASE */
void vhost_reply_state(struct wr *w, uint32_t req, const struct vhost_state *s);

/** vhost_reply_config() - Append the reply to GET_CONFIG; NULL: refused */
void vhost_reply_config(struct wr *w, const struct vhost_config *c);

/* --- virtio-vsock (virtio 1.2, 5.10.6) ----------------------------------- */

#define VSOCK_HDR_LEN		44
#define VSOCK_TYPE_STREAM	1

#define VSOCK_SHUT_RCV		1u	/* the sender takes no more */
#define VSOCK_SHUT_SEND		2u	/* the sender sends no more */

enum vsock_op {
	VSOCK_OP_INVALID	= 0,
	VSOCK_OP_REQUEST	= 1,
	VSOCK_OP_RESPONSE	= 2,
	VSOCK_OP_RST		= 3,
	VSOCK_OP_SHUTDOWN	= 4,
	VSOCK_OP_RW		= 5,
	VSOCK_OP_CREDIT_UPDATE	= 6,
	VSOCK_OP_CREDIT_REQUEST	= 7,
};

struct vsock_hdr {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

/**
 * vsock_hdr_parse() - Parse a packet header
 * @r:		At least VSOCK_HDR_LEN bytes; what follows is not looked at
 *
 * Return: 0; -EBADMSG if it is torn
 */
int vsock_hdr_parse(struct rd r, struct vsock_hdr *h);

/** vsock_hdr_emit() - Append a packet header */
void vsock_hdr_emit(struct wr *w, const struct vsock_hdr *h);

#endif /* WIRE_VHOST_H */
