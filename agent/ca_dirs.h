#ifndef AGENT_CA_DIRS_H
#define AGENT_CA_DIRS_H

#include "agent/file.h"
#include "agent/roots.h"

/*
 * ca_dirs - directories with a file for each certificate
 *
 * A struct file_where names the directory in its @path.  One that is missing
 * has nothing in it; anchors make it.
 */

/**
 * ca_dirs_ours() - What of ours is in a directory
 * @had:	An entry for each of @set: set to true if it has a file
 * @gone:	The certificates of those that are not in @set are added
 *
 * Return: 0; -ENOMEM
 */
int ca_dirs_ours(const struct file_where *dir, const struct roots *set,
		 bool *had, struct roots *gone);

/**
 * ca_dirs_anchors() - A file for each certificate, and none else of ours
 * @want:	An entry for each of @set: whether it is to have one
 *
 * Return: 0; the first -errno, after all has been tried
 */
int ca_dirs_anchors(const struct file_where *dir, const struct roots *set,
		    const bool *want);

/**
 * ca_dirs_hashed() - A file and a link <hash>.<n> for each certificate
 *
 * One that has a link already, be it ours or not, needs none.
 *
 * Return: as ca_dirs_anchors()
 */
int ca_dirs_hashed(const struct file_where *dir, const struct roots *set);

/** ca_dirs_is_hashed() - Whether there are links <hash>.<n> in a directory */
bool ca_dirs_is_hashed(const struct file_where *dir);

/** ca_dirs_found() - How many of the set OpenSSL would find in a directory */
unsigned int ca_dirs_found(const struct file_where *dir,
			   const struct roots *set);

#endif /* AGENT_CA_DIRS_H */
