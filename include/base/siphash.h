#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/** siphash() - SipHash-2-4 of @len bytes (Aumasson, Bernstein 2012) */
uint64_t siphash(const uint8_t key[static 16], const void *data, size_t len);

/** siphash_key() - Fill @key from getrandom(); dies if that is impossible */
void siphash_key(uint8_t key[static 16]);

#endif /* BASE_SIPHASH_H */
