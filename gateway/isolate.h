#ifndef GATEWAY_ISOLATE_H
#define GATEWAY_ISOLATE_H

/*
 * isolate - what the packet process gives up before the first guest byte
 *
 * Stage        Must                             Must not any more
 * ---------------------------------------------------------------------------
 * early        know its descriptors             capabilities, new privileges,
 *                                               core dumps, ptrace by others,
 *                                               any descriptor but its own
 * late         have opened what it needs        any system call that is not
 *                                               listed in a #syscalls comment
 *
 * A call that is not on the list ends the process (SECCOMP_RET_KILL_PROCESS); the
 * monitor says so and starts it again.  socket() is allowed for AF_INET and
 * AF_INET6 only.
 */

/**
 * isolate_early() - Close every other descriptor, give up all privileges
 * @keep:	Highest descriptor in use; everything above it is closed
 *
 * Return: 0; -errno of the step that failed, which is logged
 */
int isolate_early(int keep);

/**
 * isolate_late() - Install the seccomp filter
 *
 * Return: 0; -errno, which is logged
 */
int isolate_late(void);

#endif /* GATEWAY_ISOLATE_H */
