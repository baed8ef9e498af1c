#ifndef UNIT_GUEST_H
#define UNIT_GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/timer.h"
#include "base/util.h"
#include "gateway/stack/netif.h"
#include "link/memlink.h"

/* guest - a netif on a memory link; the test plays the guest */

#define GUEST_FRAMES	80

struct guest_frame {
	struct link_vnet vh;
	size_t len;
	uint8_t *b;		/* owned; exactly @len bytes */
};

struct guest {
	struct timerq tq;
	struct memlink mem;
	struct netif n;
	struct guest_frame out[GUEST_FRAMES];	/* what came back */
	int nout;
};

extern const uint8_t guest_mac[6], guest_gw_mac[6];

/** guest_new() - Both families: 100.96.0.2/30 and fd42:6d73:62::2/64 */
struct guest *guest_new(uint32_t features, uint16_t mtu);

/** guest_free() - With everything that came back */
void guest_free(struct guest *g);

/** guest_clear() - Forget what came back */
void guest_clear(struct guest *g);

/** guest_addr() - From text */
struct ipaddr guest_addr(const char *text);

/** guest_eth() - Ethernet header to the gateway */
size_t guest_eth(uint8_t *b, uint16_t type);

/**
 * guest_ip() - Ethernet and IP header for what is in @l4, and @l4
 *
 * Return: length of the frame in @b
 */
size_t guest_ip(uint8_t *b, const char *src, const char *dst, uint8_t proto,
		const void *l4, size_t len);

/** guest_l4_csum() - Write the checksum of @l4 at @off into it */
void guest_l4_csum(const char *src, const char *dst, uint8_t proto,
		   uint8_t *l4, size_t len, size_t off);

/** guest_udp() - A datagram with its checksum; returns its length */
size_t guest_udp(uint8_t *l4, const char *src, const char *dst, uint16_t sport,
		 uint16_t dport, const void *data, size_t len);

/** guest_ip4_fix() - The header checksum of a frame that was changed */
void guest_ip4_fix(uint8_t *frame);

/** guest_rx() - The gateway gets the frame, in pieces of @step bytes (0: one) */
void guest_rx(struct guest *g, const struct link_vnet *vh, const uint8_t *b,
	      size_t len, size_t step);

/**
 * guest_check_ip() - Check headers and checksum of a frame that came back
 * @l4:		Set to the upper layer; may be NULL
 *
 * Return: its length
 */
size_t guest_check_ip(const struct guest_frame *f, const char *src,
		      const char *dst, uint8_t proto, const uint8_t **l4);

#endif /* UNIT_GUEST_H */
