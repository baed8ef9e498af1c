#ifndef GATEWAY_LINKS_H
#define GATEWAY_LINKS_H

#include "base/ev.h"
#include "gateway/conf.h"
#include "gateway/stack/netif.h"
#include "proto/hello.h"

/*
 * links - from whoever connects to the one link that the netif uses
 *
 * Theory of operation
 * -------------------
 *	WAITING --hello or bare frames, accepted--> RUNNING --down--> gone
 *	        --refused, silent, too many-------> gone
 *
 * A few peers may wait; one runs.  The first hello of a sandbox is answered with
 * a random token.  From then on a hello without it is refused, and one with it
 * takes the running link's place: that is how a restarted agent comes back.  A
 * bare peer has no token, so it is refused once there is one, and while another
 * peer runs.
 *
 *	token: NONE --hello--> KEEPING --links_token_kept()--> KEPT --> TOLD
 *
 * Hellos wait while it is KEEPING; then the first of them is answered with it.
 * If nobody waits any more, the next one is.
 *
 * Around the framed link lie --fault and --pcap, in this order: the capture shows
 * what the gateway saw.
 */

struct links;

/**
 * struct links_cfg - What links need to know
 * @token:	The sandbox's token, if @has_token: the guest knows it
 * @on_token:	A token was made, and must be kept before the guest hears it:
 *		call links_token_kept() then. 0; -errno if that will not happen
 */
struct links_cfg {
	const struct gw_conf *conf;
	struct netif *netif;
	uint8_t token[HELLO_TOKEN_LEN];
	bool has_token;
	int (*on_token)(void *arg, const uint8_t token[static HELLO_TOKEN_LEN]);
	void *arg;
};

/**
 * links_new() - Serve the way in that the configuration names
 *
 * Takes over the descriptors in @cfg->conf->fd.
 *
 * Return: owned by the caller; NULL with errno set
 */
struct links *links_new(struct ev *ev, const struct links_cfg *cfg);

/** links_token_kept() - What on_token() was given is kept; once is enough */
void links_token_kept(struct links *l);

/** links_free() - Close every peer and the listener */
void links_free(struct links *l);

#endif /* GATEWAY_LINKS_H */
