#ifndef AGENT_JKS_H
#define AGENT_JKS_H

#include "agent/roots.h"

/*
 * jks - a trust store for Java, in its own format
 *
 * Version 2 with trusted certificates only; a digest that is keyed with the
 * password "changeit" ends it.  Every Java since 1.2 reads it.  The dates of
 * the entries are 0, so that the same certificates make the same file.
 */

#define JKS_PASSWORD	"changeit"

/** jks_size() - How long the store will be */
size_t jks_size(const struct roots *set);

/** jks_emit() - Append a store that trusts the set; test @w->bad */
void jks_emit(const struct roots *set, struct wr *w);

#endif /* AGENT_JKS_H */
