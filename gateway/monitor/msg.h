#ifndef MONITOR_MSG_H
#define MONITOR_MSG_H

#include <stdint.h>
#include <sys/types.h>

#include "base/inet.h"

/*
 * msg - what monitor and packet process say to each other
 *
 * Over a SOCK_SEQPACKET pair, one message a packet: u32 type, then the payload,
 * in the machine's own layout, since both ends are the same program.  The table
 * is fixed: there is no message that names a path or a command.
 *
 *	monitor -> packet   CONF, once, first      the configuration, opaque here
 *	                    TOKEN                  the sandbox's token: what it
 *	                                           is, or that it is kept now
 *	                    DNS                    the host's resolvers
 *	                    STOP                   end cleanly
 *	packet -> monitor   READY                  isolated, and serving
 *	                    TOKEN                  keep this across restarts
 *	                    MOVED                  what was moved, as text, at the end
 */
enum mon_type {
	MON_TYPE_CONF = 1,
	MON_TYPE_TOKEN,
	MON_TYPE_DNS,
	MON_TYPE_STOP,
	MON_TYPE_READY,
	MON_TYPE_MOVED,
	MON_TYPE_NUM,
};

#define MON_TOKEN_LEN	16
#define MON_DNS_MAX	4
#define MON_MAX		(64u * 1024)

/** struct mon_dns - Payload of MON_TYPE_DNS */
struct mon_dns {
	uint32_t n;
	struct {
		struct ipaddr addr;
		uint16_t port;
	} server[MON_DNS_MAX];
};

/** mon_send() - Send one message; 0 or -errno */
int mon_send(int fd, enum mon_type type, const void *payload, size_t len);

/**
 * mon_recv() - Receive one message
 * @type:	Set on success
 * @buf:	Receives the payload
 *
 * Return: length of the payload; -EPIPE if the other end is gone; -EBADMSG if it
 *	   is no message; -errno, -EAGAIN among them
 */
ssize_t mon_recv(int fd, enum mon_type *type, void *buf, size_t size);

#endif /* MONITOR_MSG_H */
