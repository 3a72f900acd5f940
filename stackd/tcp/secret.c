/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keyed hashes of secret.h.
 */
#include "stackd/tcp/secret.h"

#include <string.h>

enum purpose { FOR_FLOW = 1, FOR_ISN, FOR_TS, FOR_PORT, FOR_COOKIE = FOR_PORT + 4, FOR_NUMBER };

static uint64_t siphash(const uint64_t key[2], const uint64_t *word, unsigned words);
static uint64_t tuple_hash(const uint64_t key[2], const struct tuple *t, enum purpose purpose, uint64_t extra);

void secret_init(struct secret *s, const uint8_t bytes[32])
{
	memcpy(s->key, bytes, sizeof(s->key));
}

uint32_t secret_flow(const struct secret *s, const struct tuple *t)
{
	return (uint32_t)tuple_hash(s->key, t, FOR_FLOW, 0);
}

uint32_t secret_isn(const struct secret *s, const struct tuple *t, uint64_t now_us)
{
	return (uint32_t)(now_us / 4) + (uint32_t)tuple_hash(s->key + 2, t, FOR_ISN, 0);
}

uint32_t secret_ts_offset(const struct secret *s, const struct tuple *t)
{
	return (uint32_t)tuple_hash(s->key + 2, t, FOR_TS, 0);
}

uint32_t secret_port(const struct secret *s, const struct tuple *t, unsigned which)
{
	struct tuple key = *t;

	key.lport = 0;
	return (uint32_t)tuple_hash(s->key + 2, &key, (enum purpose)(FOR_PORT + (which & 1)), 0);
}

uint32_t secret_cookie(const struct secret *s, const struct tuple *t, uint32_t irs, uint32_t minute, unsigned mss)
{
	return (uint32_t)tuple_hash(s->key + 2, t, FOR_COOKIE, (uint64_t)irs << 24 | (minute & 0x1fffff) << 3 | (mss & 7));
}

uint32_t secret_number(const struct secret *s, uint64_t n)
{
	const uint64_t word[2] = { (uint64_t)FOR_NUMBER << 56, n };

	return (uint32_t)siphash(s->key + 2, word, 2);
}

static uint64_t tuple_hash(const uint64_t key[2], const struct tuple *t, enum purpose purpose, uint64_t extra)
{
	uint64_t word[7];
	unsigned n = 0;

	word[n++] = (uint64_t)purpose << 56 | extra;
	word[n++] = (uint64_t)t->local.w[3] << 32 | t->peer.w[3];
	word[n++] = (uint64_t)t->lport << 16 | t->pport;
	if (t->local.w[0] != 0 || t->peer.w[0] != 0) { /* IPv4 ends here: its upper words are constant */
		word[n++] = (uint64_t)t->local.w[0] << 32 | t->local.w[1];
		word[n++] = (uint64_t)t->peer.w[0] << 32 | t->peer.w[1];
		word[n++] = (uint64_t)t->local.w[2] << 32 | t->peer.w[2];
	}
	return siphash(key, word, n);
}

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
	v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 of whole 64-bit words. */
static uint64_t siphash(const uint64_t key[2], const uint64_t *word, unsigned words)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull,
		          key[0] ^ 0x6c7967656e657261ull, key[1] ^ 0x7465646279746573ull };
	uint64_t last = (uint64_t)words << 59; /* the length in bytes, in the top byte */

	for (unsigned i = 0; i <= words; i++) {
		uint64_t m = i < words ? word[i] : last;

		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
