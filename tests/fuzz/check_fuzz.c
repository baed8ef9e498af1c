/* The status file, which whoever is root in the guest may have written */
#include <string.h>

#include "agent/check.h"
#include "agent/status.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM	(1 << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const words[] = { "MTU ", NULL };
	static uint8_t out[ROOM];
	static struct checks c;
	struct span text = { data, len };
	struct wr w = wr_init(out, sizeof(out));
	struct check *k;
	struct env e;

	if (len > ROOM / 8)
		return 0;
	check_asked(text, &e);
	ASSERT(!e.net || (e.iface[0] && memchr(e.iface, '\0',
					       sizeof(e.iface))));
	memset(&c, 0, sizeof(c));
	k = check_add(&c, text, "mtu", false, words);
	ASSERT(memchr(k->why, '\0', sizeof(k->why)));
	status_text(text, 1, &c, &w);
	ASSERT(!w.bad);
	w = wr_init(out, sizeof(out));
	status_json(text, &c, &w);
	ASSERT(!w.bad && out[0] == '{' && w.p[-2] == '}');
	/* No byte of a value gets through that would end a string or a line */
	for (const uint8_t *p = out; p < w.p - 1; p++)
		ASSERT(*p >= ' ' && *p < 0x7f);
	return 0;
}
