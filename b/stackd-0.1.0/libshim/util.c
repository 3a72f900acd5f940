/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Helpers that mOS programs expect: words of a string, and xxHash (written from the algorithm's description, XXH32 and XXH64).
 */
#include <endian.h>
#include <string.h>

#include "libshim/api_mos.h"
#include "libshim/shim.h"

static const uint32_t p32[] = { 0, 2654435761u, 2246822519u, 3266489917u, 668265263u, 374761393u };
static const uint64_t p64[] = { 0, 11400714785074694791ull, 14029467366897019727ull, 1609587929392839161ull,
				9650029242287828579ull, 2870177450012600261ull };

int StrToArgs(char *str, int *argc, char **argv, int max_argc)
{
	int n = words_split(str, argv, max_argc);

	if (argc != NULL)
		*argc = n;
	return n;
}

static uint32_t rot32(uint32_t x, int r)
{
	return x << r | x >> (32 - r);
}

static uint64_t rot64(uint64_t x, int r)
{
	return x << r | x >> (64 - r);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint32_t round32(uint32_t acc, uint32_t lane)
{
	return rot32(acc + lane * p32[2], 13) * p32[1];
}

static uint64_t round64(uint64_t acc, uint64_t lane)
{
	return rot64(acc + lane * p64[2], 31) * p64[1];
}

unsigned int XXH32(const void *input, size_t len, unsigned int seed)
{
	const uint8_t *p = input, *end = p + len;
	uint32_t h = seed + p32[5];

	if (len >= 16) {
		uint32_t a[4] = { seed + p32[1] + p32[2], seed + p32[2], seed, seed - p32[1] };

		for (; end - p >= 16; p += 16) {
			for (int i = 0; i < 4; i++)
				a[i] = round32(a[i], get32(p + 4 * i));
		}
		h = rot32(a[0], 1) + rot32(a[1], 7) + rot32(a[2], 12) + rot32(a[3], 18);
	}
	h += (uint32_t)len;
	for (; end - p >= 4; p += 4)
		h = rot32(h + get32(p) * p32[3], 17) * p32[4];
	for (; p < end; p++)
		h = rot32(h + *p * p32[5], 11) * p32[1];
	h = (h ^ h >> 15) * p32[2];
	h = (h ^ h >> 13) * p32[3];
	return h ^ h >> 16;
}

unsigned long long XXH64(const void *input, size_t len, unsigned long long seed)
{
	const uint8_t *p = input, *end = p + len;
	uint64_t h = seed + p64[5];

	if (len >= 32) {
		uint64_t a[4] = { seed + p64[1] + p64[2], seed + p64[2], seed, seed - p64[1] };

		for (; end - p >= 32; p += 32) {
			for (int i = 0; i < 4; i++)
				a[i] = round64(a[i], get64(p + 8 * i));
		}
		h = rot64(a[0], 1) + rot64(a[1], 7) + rot64(a[2], 12) + rot64(a[3], 18);
		for (int i = 0; i < 4; i++)
			h = (h ^ round64(0, a[i])) * p64[1] + p64[4];
	}
	h += len;
	for (; end - p >= 8; p += 8)
		h = rot64(h ^ round64(0, get64(p)), 27) * p64[1] + p64[4];
	if (end - p >= 4) {
		h = rot64(h ^ get32(p) * p64[1], 23) * p64[2] + p64[3];
		p += 4;
	}
	for (; p < end; p++)
		h = rot64(h ^ *p * p64[5], 11) * p64[1];
	h = (h ^ h >> 33) * p64[2];
	h = (h ^ h >> 29) * p64[3];
	return h ^ h >> 32;
}
