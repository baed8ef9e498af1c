#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "agent/nl_text.h"
#include "agent/plan.h"
#include "base/inet.h"
#include "base/util.h"

#define NL_TEXT_GET	2	/* each kind has NEW, DEL, GET and SET */

bool nl_text_changes(const struct nlmsghdr *nlh)
{
	return ((nlh->nlmsg_type - RTM_BASE) & 3) != NL_TEXT_GET;
}

/* " WORD ADDRESS", or nothing if the length is none of an address */
static void nl_text_ip(const struct nlattr *attr, const char *word,
		       struct wr *w)
{
	const uint8_t *p = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);
	char text[IPADDR_STRLEN];
	struct ipaddr a;

	if (len != 4 && len != 16)
		return;
	a = len == 4 ? ipaddr_v4(p) : ipaddr_v6(p);
	wr_fmt(w, "%s%s", word, ipaddr_fmt(&a, text));
}

static void nl_text_flags(uint16_t flags, struct wr *w)
{
	static const struct {
		uint16_t bit;
		const char *name;
	} names[] = {
		{ NLM_F_CREATE, "CREATE" },
		{ NLM_F_REPLACE, "REPLACE" },
		{ NLM_F_EXCL, "EXCL" },
	};
	const char *sep = " flags ";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].bit) {
			wr_fmt(w, "%s%s", sep, names[i].name);
			sep = "|";
		}
}

static void nl_text_addr(const struct nlmsghdr *nlh, struct wr *w)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	char name[IF_NAMESIZE];
	struct nlattr *attr;

	wr_fmt(w, "RTM_NEWADDR");
	mnl_attr_for_each(attr, nlh, sizeof(*ifa))
		if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			nl_text_ip(attr, " ", w);
	wr_fmt(w, "/%u dev %s", ifa->ifa_prefixlen,
	       plan_name(ifa->ifa_index, name));
	mnl_attr_for_each(attr, nlh, sizeof(*ifa))
		if (mnl_attr_get_type(attr) == IFA_BROADCAST)
			nl_text_ip(attr, " broadcast ", w);
	if (ifa->ifa_flags & IFA_F_NODAD)
		wr_fmt(w, " nodad");
}

static void nl_text_route(const struct nlmsghdr *nlh, struct wr *w)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	char name[IF_NAMESIZE];
	struct nlattr *attr;

	wr_fmt(w, "RTM_NEWROUTE default");
	mnl_attr_for_each(attr, nlh, sizeof(*rtm)) {
		if (mnl_attr_get_type(attr) == RTA_GATEWAY)
			nl_text_ip(attr, " via ", w);
		else if (mnl_attr_get_type(attr) == RTA_OIF)
			wr_fmt(w, " dev %s",
			       plan_name(mnl_attr_get_u32(attr), name));
	}
	if (rtm->rtm_protocol == RTPROT_STATIC)
		wr_fmt(w, " proto static");
	if (rtm->rtm_flags & RTNH_F_ONLINK)
		wr_fmt(w, " onlink");
}

void nl_text(const struct nlmsghdr *nlh, struct wr *w)
{
	if (nlh->nlmsg_type == RTM_NEWADDR)
		nl_text_addr(nlh, w);
	else if (nlh->nlmsg_type == RTM_NEWROUTE)
		nl_text_route(nlh, w);
	else
		wr_fmt(w, "type %u", nlh->nlmsg_type);
	nl_text_flags(nlh->nlmsg_flags, w);
}
