/* Our block in a text of somebody else's; the first byte is the body's length */
#include <string.h>

#include "agent/file.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM	16384
#define MARKS	64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t once[ROOM], twice[ROOM], none[ROOM];
	static const char *const lines[] = { "", "127.0.0.1\tx\n", "a\nb\n" };
	struct wr w1 = wr_init(once, sizeof(once));
	struct wr w2 = wr_init(twice, sizeof(twice));
	struct wr w3 = wr_init(none, sizeof(none));
	struct span old, body;

	if (!len || len > ROOM / 2)
		return 0;
	body = span_str(lines[data[0] % ARRAY_SIZE(lines)]);
	old = (struct span){ data + 1, len - 1 };
	file_block(old, body, &w1);
	ASSERT(!w1.bad && wr_len(&w1) <= old.len + body.len + MARKS);
	if (!body.len)
		return 0;
	/* Put in again it changes nothing; nobody else's line is lost by that */
	file_block((struct span){ once, wr_len(&w1) }, body, &w2);
	ASSERT(wr_len(&w1) == wr_len(&w2) &&
	       !memcmp(once, twice, wr_len(&w1)));
	file_block((struct span){ once, wr_len(&w1) }, (struct span){ 0 }, &w3);
	ASSERT(!w3.bad && wr_len(&w3) < wr_len(&w1));
	return 0;
}
