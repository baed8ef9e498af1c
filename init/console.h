#ifndef INIT_CONSOLE_H
#define INIT_CONSOLE_H

/**
 * console_open() - Give descriptors 0 to 2 something to be
 *
 * Those that are closed become /dev/console; without that /dev/null, or the
 * root directory, so that no other file lands there; then call again when /dev
 * is mounted.  The kernel opens /dev/console for PID 1 if it can.
 */
void console_open(void);

/**
 * console_last() - Write the very last line, and wait until it has been sent
 * @status:	Of the workload, as reap_code() gives it
 */
void console_last(int status);

#endif /* INIT_CONSOLE_H */
