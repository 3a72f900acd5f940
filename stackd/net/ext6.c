/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Extension headers of IPv6 (RFC 8200, 4), against chains that are made to be long: as many headers, options and bytes as
 * anybody has a use for, no more (RFC 8504, 5.3), and what RFC 8883 says to who sends more.
 *
 * None of them means anything to us but the fragment header: a router's alert is for routers, and a routing header that has
 * more than nothing left to do is refused whatever its type (RFC 5095).
 */
#include "stackd/net/priv.h"

enum {
	EXT_HEADERS_MAX = 8,
	EXT_OPTIONS_MAX = 32, /* of one header */
	EXT_LEN_MIN = 8,
	OPT_PAD1 = 0,
	OPT_PADN = 1,
	OPT_ACTION = 0xc0,    /* of one that we don't know: */
	OPT_SKIP = 0,
	OPT_DISCARD = 0x40,
	OPT_TELL = 0x80,
	OPT_TELL_HOST = 0xc0, /* unless the packet was sent to a group */
	PROBLEM_FIELD = 0,
	PROBLEM_NEXT = 1,
	PROBLEM_OPTION = 2,
	PROBLEM_CHAIN = 7,    /* RFC 8883, 3: too long, */
	PROBLEM_HEADERS = 8,  /* of too many headers, */
	PROBLEM_OPTIONS = 9,  /* of too many options in one */
};

static bool fail(struct ext6 *e, enum stats_counter why, uint8_t code, uint32_t pointer)
{
	e->why = why;
	e->code = code;
	e->pointer = pointer;
	e->even_group = false;
	return false;
}

/* One that is not known: its number says what is to be done (4.2). */
static bool unknown_option(struct ext6 *e, uint8_t type, uint32_t at)
{
	switch (type & OPT_ACTION) {
	case OPT_SKIP:
		return true;
	case OPT_DISCARD:
		return fail(e, CNT_IP6_EXT_BAD, EXT6_SILENT, 0);
	default:
		fail(e, CNT_IP6_EXT_BAD, PROBLEM_OPTION, at);
		e->even_group = (type & OPT_ACTION) == OPT_TELL;
		return false;
	}
}

static bool options(const uint8_t *ip, uint32_t at, uint32_t end, struct ext6 *e)
{
	for (unsigned n = 0; at < end; n++) {
		uint32_t len = ip[at] == OPT_PAD1 ? 1 : at + 1 < end ? ip[at + 1] + 2u : 0;

		if (len == 0 || len > end - at)
			return fail(e, CNT_IP6_EXT_BAD, PROBLEM_FIELD, at);
		if (n == EXT_OPTIONS_MAX)
			return fail(e, CNT_IP6_EXT_LIMIT, PROBLEM_OPTIONS, at);
		if (ip[at] != OPT_PAD1 && ip[at] != OPT_PADN && !unknown_option(e, ip[at], at))
			return false;
		at += len;
	}
	return true;
}

static bool is_extension(uint8_t next)
{
	return next == PROTO_HOP_BY_HOP || next == PROTO_ROUTING || next == PROTO_DEST;
}

/* One header that ends within the packet. */
static bool one(const uint8_t *ip, uint32_t len, struct ext6 *e)
{
	const uint8_t *ext = ip + e->off;

	if (e->next == PROTO_ROUTING)
		return ext[3] == 0 ? true : fail(e, CNT_IP6_EXT_BAD, PROBLEM_FIELD, e->off + 2u);
	if (e->next == PROTO_HOP_BY_HOP && e->off != IP6_HDR) /* 4.1: only right behind the IPv6 header */
		return fail(e, CNT_IP6_EXT_BAD, PROBLEM_NEXT, e->named_at);
	return options(ip, e->off + 2u, e->off + len, e);
}

bool ext6_walk(const uint8_t *ip, uint32_t l3_len, struct ext6 *e)
{
	e->fragment = false;
	for (unsigned n = 0; is_extension(e->next); n++) {
		uint32_t len;

		if (l3_len - e->off < EXT_LEN_MIN)
			return fail(e, CNT_IP6_EXT_BAD, EXT6_SILENT, 0);
		len = (ip[e->off + 1] + 1u) * 8;
		if (n == EXT_HEADERS_MAX)
			return fail(e, CNT_IP6_EXT_LIMIT, PROBLEM_HEADERS, e->named_at);
		if (e->off + len > IP6_HDR + (uint32_t)EXT6_BYTES_MAX)
			return fail(e, CNT_IP6_EXT_LIMIT, PROBLEM_CHAIN, e->off);
		if (len > l3_len - e->off)
			return fail(e, CNT_IP6_EXT_BAD, PROBLEM_FIELD, e->off + 1u);
		if (!one(ip, len, e))
			return false;
		e->next = ip[e->off];
		e->named_at = e->off;
		e->off = (uint16_t)(e->off + len);
	}
	if (e->next != PROTO_FRAGMENT)
		return true;
	e->fragment = true;
	return l3_len - e->off >= EXT_LEN_MIN ? true : fail(e, CNT_IP6_EXT_BAD, EXT6_SILENT, 0);
}

uint8_t ext6_skip(const uint8_t *ip, uint32_t l3_len, uint32_t *off)
{
	uint8_t next = ip[6];

	*off = IP6_HDR;
	for (unsigned n = 0; n < 2 * EXT_HEADERS_MAX && *off + EXT_LEN_MIN <= l3_len; n++) {
		const uint8_t *ext = ip + *off;

		if (!is_extension(next) && next != PROTO_FRAGMENT)
			break;
		*off += next == PROTO_FRAGMENT ? (uint32_t)IP6_FRAG_HDR : (ext[1] + 1u) * 8;
		if (next == PROTO_FRAGMENT && (get16(ext + 2) & IP6_OFFSET) != 0)
			*off = l3_len;
		next = ext[0];
	}
	return next;
}
