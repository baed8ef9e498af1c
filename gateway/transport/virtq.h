#ifndef TRANSPORT_VIRTQ_H
#define TRANSPORT_VIRTQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gateway/wire/vhost.h"

/*
 * virtq - device side of a split virtqueue in shared guest memory
 *
 * Theory of operation
 * -------------------
 * The guest may write to all of this at any time, from another CPU.  So each
 * word of a ring is read once, by an atomic load; each descriptor is copied
 * once, and the copy is checked and used; and every loop is bounded by the size
 * of the ring, which the VMM has told us and the guest cannot change.
 *
 *	avail --virtq_pop()--> held by us --virtq_put()--> used
 *	  ^------virtq_unpop()------'
 *
 * Chains are popped in order, and only the newest can be un-popped.  Those put
 * are visible to the guest at once; virtq_notify() then tells it, if it wants
 * to be told.  virtq_kick_on() asks the guest to tell us; until then, and after
 * virtq_kick_off(), it need not.
 *
 * Any error of virtq_pop() means that the ring makes no sense: the owner stops
 * it and does not come back.
 *
 * Truncation  A region is mapped only as far as its file reaches, but a VMM
 *             that shrinks the file afterwards makes our next access a SIGBUS.
 *             QEMU seals its memfds against it; a VMM that does not is trusted
 *             with the life of its own gateway, and no more than that: the
 *             monitor restarts it.
 */

#define VIRTQ_NUM_MAX		1024	/* descriptors in a ring; QEMU: 128 */

/* struct virtq_mem - Guest memory; zeroed is empty */
struct virtq_mem {
	unsigned int n;
	struct virtq_region {
		uint64_t gpa, len, uaddr;
		uint8_t *p;
		void *map;
		size_t map_len;
	} region[VHOST_REGIONS_MAX];
};

/**
 * virtq_mem_set() - Map guest memory, and unmap what was mapped before
 * @fds:	One for each region; borrowed
 *
 * On failure nothing is mapped.  Rings must be mapped again afterwards.
 *
 * Return: 0; -EINVAL if a region is empty, wraps, or reaches beyond its file;
 *	   -errno of fstat() and mmap()
 */
int virtq_mem_set(struct virtq_mem *m, const struct vhost_mem *t,
		  const int *fds);

/** virtq_mem_clear() - Unmap everything */
void virtq_mem_clear(struct virtq_mem *m);

/**
 * virtq_mem_iov() - Translate guest physical memory
 * @iov:	Filled with one piece for each region that is touched
 * @max:	Size of @iov
 *
 * Return: number of pieces; -EFAULT if a byte of it is not mapped; -E2BIG if
 *	   @max is too small
 */
int virtq_mem_iov(const struct virtq_mem *m, uint64_t gpa, uint64_t len,
		  struct iovec *iov, int max);

typedef _Atomic uint16_t virtq_u16;
typedef _Atomic uint32_t virtq_u32;

/**
 * struct virtq - One ring
 * @mem:	Borrowed
 * @num:	Descriptors; a power of two, at most VIRTQ_NUM_MAX
 * @addr:	Where the VMM says that it is
 * @last_avail:	Next entry of the avail ring that we shall take
 * @used_idx:	Next entry of the used ring that we shall fill
 * @notified:	@used_idx when the guest was last told, or did not want to be
 * @call_fd:	Tells the guest; -1 if it polls. Owned by whoever set it
 * @mapped:	The pointers below are valid
 */
struct virtq {
	const struct virtq_mem *mem;
	uint16_t num;
	struct vhost_addr addr;
	uint16_t last_avail, used_idx, notified;
	bool event_idx, indirect, mapped;
	int call_fd;
	const uint8_t *desc;
	virtq_u16 *avail, *used;
};

/** struct virtq_chain - What virtq_pop() found; the pieces are the caller's */
struct virtq_chain {
	uint16_t head;
	int n_out, n_in;	/* pieces to read, and to write after them */
	size_t out_len, in_len;
};

/**
 * virtq_map() - Find the ring in guest memory
 * @fresh:	The ring starts: take up the used index that is there.  Else it
 *		goes on with ours, in memory that was mapped anew
 *
 * Return: 0; -EINVAL if the size or the alignment is wrong; -EFAULT if it does
 *	   not lie in one region
 */
int virtq_map(struct virtq *vq, bool fresh);

/** virtq_unmap() - Forget the ring's memory; its indices stay */
void virtq_unmap(struct virtq *vq);

/**
 * virtq_waiting() - Chains that the guest has made available
 *
 * Return: number of chains; -EPROTO if the guest claims more than fit
 */
int virtq_waiting(const struct virtq *vq);

/**
 * virtq_pop() - Take a chain
 * @c:		Set on success
 * @iov:	Filled with its pieces, those to read first
 * @max:	Size of @iov
 *
 * Return: 1; 0 if there is none; -EPROTO if descriptors are out of range, loop,
 *	   are nested or in the wrong order; -EFAULT if they point outside of
 *	   memory; -E2BIG if there are more than @max pieces
 */
int virtq_pop(struct virtq *vq, struct virtq_chain *c, struct iovec *iov,
	      int max);

/** virtq_unpop() - Put the newest @n chains back where they came from */
void virtq_unpop(struct virtq *vq, unsigned int n);

/** virtq_put() - Return a chain to the guest, @len bytes of it written */
void virtq_put(struct virtq *vq, uint16_t head, uint32_t len);

/** virtq_notify() - Tell the guest what was put, if it wants to know */
void virtq_notify(struct virtq *vq);

/** virtq_call() - Tell the guest to look, whether it wants to know or not */
void virtq_call(const struct virtq *vq);

/**
 * virtq_kick_on() - Ask the guest to tell us of new chains
 *
 * Return: whether there are more than @seen already: then it may not tell
 */
bool virtq_kick_on(struct virtq *vq, int seen);

/** virtq_kick_off() - The guest need not tell us */
void virtq_kick_off(struct virtq *vq);

/**
 * virtq_copy() - Copy bytes that the guest may be changing, exactly once
 *
 * What follows works on the copy: the compiler may not read the source again.
 */
void virtq_copy(void *dst, const void *src, size_t n);

#endif /* TRANSPORT_VIRTQ_H */
