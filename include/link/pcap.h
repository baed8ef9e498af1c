#ifndef LINK_PCAP_H
#define LINK_PCAP_H

#include <stdint.h>

#include "link/link.h"

struct pcap;

/**
 * pcap_new() - Wrap a link and record every frame, in both directions
 * @inner:	Up already, since its limits are read now; its callbacks become
 *		ours; borrowed
 * @fd:		File to append records to; owned by the result. A file header is
 *		written if the file is empty
 * @snaplen:	Longest part of a frame that is kept
 *
 * pcap format, nanoseconds, link type Ethernet
 * (draft-ietf-opsawg-pcap).  A write that fails is counted, and recording
 * stops: the link goes on.
 *
 * Return: the wrapper, owned by the caller; NULL if memory is short
 */
struct pcap *pcap_new(struct link *inner, int fd, uint32_t snaplen);

/** pcap_link() - What the upper layer uses */
struct link *pcap_link(struct pcap *p);

/** pcap_free() - Close the file and release the wrapper; not the inner link */
void pcap_free(struct pcap *p);

#endif /* LINK_PCAP_H */
