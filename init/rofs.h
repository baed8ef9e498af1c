#ifndef INIT_ROFS_H
#define INIT_ROFS_H

/*
 * rofs - a root that cannot be written to
 *
 * The agent writes /etc/resolv.conf and its like.  On a read-only file system
 * it mounts its copies over them, which takes files to mount over.
 */

/**
 * rofs_etc() - Make /etc fit for that
 *
 * If it is read-only, and one of the files is missing or a symbolic link that
 * leads nowhere, an overlay makes the whole of /etc writable; what is written
 * there is in memory.  A failure is reported.
 *
 * Return: 0; -errno
 */
int rofs_etc(void);

#endif /* INIT_ROFS_H */
