#ifndef AGENT_JSON_H
#define AGENT_JSON_H

#include "base/wr.h"

/**
 * json_str() - Append a JSON string with its quotes
 * @s:		Text; a byte that is not ASCII becomes U+FFFD
 */
void json_str(struct wr *w, const char *s);

/** json_key() - Append ,"key": with the comma unless @first, and clear that */
void json_key(struct wr *w, bool *first, const char *key);

#endif /* AGENT_JSON_H */
