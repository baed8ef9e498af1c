#ifndef AGENT_CA_STORES_H
#define AGENT_CA_STORES_H

#include <limits.h>

#include "agent/file.h"
#include "agent/roots.h"

/*
 * ca_stores - where Linux distributions keep the certificates they trust
 *
 * Theory of operation
 * -------------------
 * Bundles     One file with all certificates; ours go in at the end.  All that
 *             exist are edited, each inode once.
 * Anchors     A directory from which a tool of the distribution makes the
 *             bundle: update-ca-certificates, or p11-kit's trust.  A file for
 *             each certificate that the bundle would lack, so that what we
 *             trust survives the tool.
 * Hashed      A directory in which OpenSSL looks for <hash>.<n>.
 *
 * Our files are named msb-init-ID, ID being made from the certificate: those
 * whose certificate is no longer wanted are found by name and removed.  When
 * the tool has run, our certificates stand in the bundle without marks; what an
 * anchor of ours brought in is taken out again together with the anchor.
 *
 * Every file is replaced as a whole, so whoever is killed leaves the old one or
 * the new one.  There is no fsync(): it would cost every boot of a throw-away
 * root, and file systems order a rename() over a file behind its data.  A bundle
 * that is a mount point itself is covered by a copy, and what it covers stays as
 * it is.
 */

#define CA_BUNDLE_MAX	(16 * 1024 * 1024)

enum ca_store_kind {
	CA_STORE_BUNDLE,
	CA_STORE_ANCHORS,
	CA_STORE_HASHED,
};

/**
 * struct ca_stores - Outcome
 * @bundle:	First bundle that has all; "" if none
 * @rc:		First failure to write a bundle; 0 if there was none
 * @skipped:	Anchors or hashed links could not be written
 */
struct ca_stores {
	char bundle[PATH_MAX];
	int rc;
	bool skipped;
};

/**
 * ca_stores_install() - Make every store have the set, and nothing else of ours
 * @w:		@w->path is ignored
 * @set:	Empty to take out all
 */
void ca_stores_install(const struct file_where *w, const struct roots *set,
		       struct ca_stores *out);

/**
 * ca_stores_save() - The image's roots and ours in a file of the run directory
 * @path:	Set to the file, with @w->root
 *
 * For programs that are pointed to it where no bundle can be written.
 *
 * Return: 0; -errno
 */
int ca_stores_save(const struct file_where *w, const struct roots *set,
		   const char *name, char *path, size_t size);

/**
 * ca_stores_each() - Call @fn for every store that the image has
 * @fn:		@have: certificates of the set that are in it
 */
void ca_stores_each(const struct file_where *w, const struct roots *set,
		    void (*fn)(void *arg, enum ca_store_kind kind,
			       const char *path, unsigned int have),
		    void *arg);

/** ca_stores_bundle() - Path of bundle number @i; NULL behind the last one */
const char *ca_stores_bundle(size_t i);

#endif /* AGENT_CA_STORES_H */
