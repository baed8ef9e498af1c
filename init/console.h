#ifndef INIT_CONSOLE_H
#define INIT_CONSOLE_H

#include <stdbool.h>

/**
 * console_open() - Give descriptors 0 to 2 something to be
 * @first:	Nothing is mounted yet
 *
 * Those that are closed become /dev/console; without that /dev/null, or the
 * root directory, so that no other file lands there.  To be called again when
 * /dev is mounted: the kernel opens /dev/console for PID 1 if it can, but that
 * of the initramfs, which is hidden then: ttyname() would not find it.
 */
void console_open(bool first);

/**
 * console_last() - Write the very last line, and wait until it has been sent
 * @status:	Of the workload, as reap_code() gives it
 */
void console_last(int status);

#endif /* INIT_CONSOLE_H */
