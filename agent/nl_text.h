#ifndef AGENT_NL_TEXT_H
#define AGENT_NL_TEXT_H

#include <linux/netlink.h>
#include <stdbool.h>

#include "base/wr.h"

/** nl_text_changes() - Whether a request changes something: all but RTM_GET* */
bool nl_text_changes(const struct nlmsghdr *nlh);

/**
 * nl_text() - An rtnetlink request of ours in words
 * @nlh:	Complete request
 *
 * Such as "RTM_NEWADDR 10.0.0.2/30 dev eth0 flags CREATE|REPLACE".
 */
void nl_text(const struct nlmsghdr *nlh, struct wr *w);

#endif /* AGENT_NL_TEXT_H */
