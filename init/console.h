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

#define CONSOLE_KEY_FILE	"/etc/msb/exit-key"
#define CONSOLE_KEY_NEXT	"/run/msb/exit-key"

/**
 * console_key() - Take the key of the last line out of its file
 *
 * Who boots us may put up to 64 letters and digits there: the workload cannot
 * print what it does not know.  The file is empty afterwards, so this is to be
 * called before there is a workload.  Without the file there is no key, unless
 * an earlier PID 1 has left it in CONSOLE_KEY_NEXT.
 */
void console_key(void);

/** console_key_leave() - Leave the key, if any, to the program that goes on */
void console_key_leave(void);

/**
 * console_last() - Write the very last line, and wait until it has been sent;
 *		    neither longer than 2 s, for nobody may be reading
 * @status:	Of the workload, as reap_code() gives it
 *
 * With the key behind it, if there is one.
 */
void console_last(int status);

#endif /* INIT_CONSOLE_H */
