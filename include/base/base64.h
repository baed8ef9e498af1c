#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdint.h>

/**
 * base64_digit() - Value of a digit of RFC 4648, -1 if @c is none
 * @c62, @c63:	The last two: '+' and '/' (section 4), or '-' and '_' (5)
 */
static inline int base64_digit(uint8_t c, char c62, char c63)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == (uint8_t)c62 ? 62 : c == (uint8_t)c63 ? 63 : -1;
}

#endif /* BASE_BASE64_H */
