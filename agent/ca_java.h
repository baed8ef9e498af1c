#ifndef AGENT_CA_JAVA_H
#define AGENT_CA_JAVA_H

#include "agent/file.h"
#include "agent/roots.h"

/*
 * ca_java - programs with a database of their own: Java, and NSS
 *
 * Java reads no PEM: it gets a trust store with the image's certificates and
 * ours in the run directory.  Databases of NSS are SQLite; where p11-kit stands
 * in for NSS's own list of roots, its anchors are enough.
 */

/** ca_java_found() - Whether there is a Java in the image */
bool ca_java_found(const struct file_where *w);

/**
 * ca_java_write() - Write the trust store
 * @bundle:	The image's roots, and ours, if it could be edited; "" for none
 * @path:	Set to the store
 *
 * Return: 0; -ENOSPC if the bundle has too many certificates; -errno
 */
int ca_java_write(const struct file_where *w, const struct roots *set,
		  const char *bundle, char *path, size_t size);

/** ca_java_nss() - A system database of NSS that does not know us, or NULL */
const char *ca_java_nss(const struct file_where *w);

#endif /* AGENT_CA_JAVA_H */
