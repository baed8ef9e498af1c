#ifndef UNIT_CORE_RIG_H
#define UNIT_CORE_RIG_H

#include "base/ev.h"
#include "gateway/relay/dns_fwd.h"
#include "gateway/relay/icmp_relay.h"
#include "gateway/relay/tcp_relay.h"
#include "gateway/relay/udp_relay.h"
#include "gateway/stack/radv.h"
#include "link/memlink.h"

/*
 * core - the whole packet process but its links: netif, stack and relays over
 * real sockets, on a memory link, with servers to talk to
 *
 * It belongs into a network namespace of its own that has nothing but lo, so
 * whatever the guest asks for stays there.  Of what the guest sees,
 *
 *	the gateway	is the loopback, where servers are
 *	CORE_FAR4, 6	are addresses of lo: the same servers
 *	CORE_NOWHERE4, 6 have no route
 *	CORE_DENIED4, 6	are denied by the policy
 *
 * The loop's clock is moved by core_sleep(), far ahead of the real one, which
 * therefore never matters.
 *
 * ASSERT, not cmocka's assertions: this runs in a child process.
 */

#define CORE_GW4	"100.96.0.1"
#define CORE_GUEST4	"100.96.0.2"
#define CORE_GW6	"fd42:6d73:62::1"
#define CORE_GUEST6	"fd42:6d73:62::2"
#define CORE_FAR4	"192.0.2.1"
#define CORE_FAR6	"2001:db8::1"
#define CORE_NOWHERE4	"203.0.113.1"
#define CORE_NOWHERE6	"2001:db8:dead::1"
#define CORE_DENIED4	"198.18.0.1"
#define CORE_DENIED6	"2001:db8:bad::1"

/* Ports of both TCP and UDP; others are closed */
enum core_port {
	CORE_PORT_ECHO = 7,
	CORE_PORT_TALK = 9,	/* says more than it hears */
	CORE_PORT_DEAF = 11,	/* TCP: never accepts; UDP: never answers */
};

#define CORE_CONNS	32

/** struct core_host - The servers; @conn are accepted TCP connections */
struct core_host {
	int tcp[4], udp[4];
	struct {
		int fd;
		bool talk;
	} conn[CORE_CONNS];
	unsigned int next;
};

/**
 * struct core_conf - What differs from run to run
 * @features:	LINK_F_* of the link
 */
struct core_conf {
	uint32_t features;
	uint32_t (*roll)(uint32_t below);
	void (*peer)(struct memlink *m, const struct link_vnet *vh,
		     const uint8_t *frame, size_t len);
	bool no_peek_off, reno, endpoint_independent, nud, ra;
};

struct core {
	struct core_conf conf;
	struct ev *ev;
	struct timerq *tq;
	struct netif netif;
	struct memlink mem;
	struct icmp icmp;
	struct udp udp;
	struct radv radv;
	struct policy policy;
	struct dial dial;
	struct icmp_relay *icmp_relay;
	struct dns_fwd *dns;
	struct udp_relay *udp_relay;
	struct tcp_relay *tcp_relay;
	struct core_host host;
	unsigned int fds_before, fds_idle;
};

/** core_namespace() - Enter one with lo alone; false if this is not allowed */
bool core_namespace(void);

/** core_addr() - From text */
struct ipaddr core_addr(const char *text);

/** core_open() - Build it all */
void core_open(struct core *c, const struct core_conf *conf);

/** core_turn() - One turn of the loop, and of the servers */
void core_turn(struct core *c);

/** core_sleep() - Let time pass */
void core_sleep(struct core *c, uint64_t ns);

/**
 * core_settle() - The servers go, the guest is silent, time passes
 *
 * Then there is no flow, timer, early segment, set of fragments or descriptor
 * any more, or the process ends.
 */
void core_settle(struct core *c);

/** core_close() - Release everything; no descriptor is left */
void core_close(struct core *c);

/* core_host.c */
void core_host_open(struct core_host *h);
void core_host_turn(struct core_host *h, uint32_t (*roll)(uint32_t below));
void core_host_close(struct core_host *h);

#endif /* UNIT_CORE_RIG_H */
