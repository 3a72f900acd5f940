/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration's values: from text to memory and back, one pair of functions for each type of key.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <math.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/conf_keys.h"

#define FAIL(...) (snprintf(why, CONF_WHY, __VA_ARGS__), -EINVAL)

static void store(void *at, size_t size, uint64_t v)
{
	switch (size) {
	case 1: *(uint8_t *)at = (uint8_t)v; break;
	case 2: *(uint16_t *)at = (uint16_t)v; break;
	case 4: *(uint32_t *)at = (uint32_t)v; break;
	default: *(uint64_t *)at = v;
	}
}

static uint64_t load(const void *at, size_t size)
{
	switch (size) {
	case 1: return *(const uint8_t *)at;
	case 2: return *(const uint16_t *)at;
	case 4: return *(const uint32_t *)at;
	default: return *(const uint64_t *)at;
	}
}

static double scale(const struct conf_key *k)
{
	return k->scale == 0 ? 1 : k->scale;
}

/* --- Numbers -------------------------------------------------------------------------------------------------------- */

void conf_key_range(const struct conf_key *k, char *text, size_t size)
{
	text[0] = '\0';
	if (k->type == CONF_WORD)
		snprintf(text, size, "%s", k->unit);
	else if (k->type == CONF_OCTAL)
		snprintf(text, size, "%04o..%04o", (unsigned)k->min, (unsigned)k->max);
	else if (k->max > k->min)
		snprintf(text, size, "%.15g..%.15g", k->min, k->max);
}

static int in_range(const struct conf_key *k, double v, const char *text, char *why)
{
	char range[64];

	if (v >= k->min && v <= k->max)
		return 0;
	conf_key_range(k, range, sizeof(range));
	return FAIL("%.64s is out of range (%s)", text, range);
}

static int set_number(const struct conf_key *k, void *at, const char *text, char *why)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(v))
		return FAIL("\"%.64s\" is not a number", text);
	if (in_range(k, v, text, why) < 0)
		return -EINVAL;
	if (k->type == CONF_REAL) {
		*(double *)at = v;
		return 0;
	}
	if (scale(k) == 1 && v != floor(v))
		return FAIL("%.64s is not a whole number", text);
	store(at, k->size, (uint64_t)llround(v * scale(k)));
	return 0;
}

static int set_size(const struct conf_key *k, void *at, const char *text, char *why)
{
	static const char unit[] = "KMGT";
	const char *u;
	char *end;
	double v = strtod(text, &end);

	if (end == text || !isfinite(v) || v < 0)
		return FAIL("\"%.64s\" is not a size; write bytes, or 64K, 256M, 4G", text);
	if (*end != '\0' && (u = strchr(unit, toupper((unsigned char)*end))) != NULL && end[1] == '\0')
		v *= exp2(10.0 * (double)(u - unit + 1));
	else if (*end != '\0')
		return FAIL("\"%.64s\" is not a size; write bytes, or 64K, 256M, 4G", text);
	if (in_range(k, v, text, why) < 0)
		return -EINVAL;
	store(at, k->size, (uint64_t)v);
	return 0;
}

static void get_size(uint64_t v, char *text, size_t size)
{
	static const char *const unit[] = { "", "K", "M", "G" };
	unsigned u = 0;

	while (u < 3 && v != 0 && v % 1024 == 0) {
		v /= 1024;
		u++;
	}
	snprintf(text, size, u == 0 ? "%" PRIu64 : "\"%" PRIu64 "%s\"", v, unit[u]);
}

static int set_octal(const struct conf_key *k, void *at, const char *text, char *why)
{
	char *end;
	unsigned long v = strtoul(text, &end, 8);

	if (!isdigit((unsigned char)*text) || *end != '\0')
		return FAIL("\"%.64s\" is not octal; write \"0660\"", text);
	if (in_range(k, (double)v, text, why) < 0)
		return -EINVAL;
	store(at, k->size, v);
	return 0;
}

static int set_bool(const struct conf_key *k, void *at, const char *text, char *why)
{
	(void)k;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return FAIL("\"%.64s\" is neither true nor false", text);
	*(bool *)at = text[0] == 't';
	return 0;
}

/* --- Words ---------------------------------------------------------------------------------------------------------- */

static int set_string(const struct conf_key *k, void *at, const char *text, char *why)
{
	if (strlen(text) >= k->size)
		return FAIL("is longer than %zu bytes", k->size - 1);
	if (k->min > 0 && text[0] == '\0')
		return FAIL("must not be empty");
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			return FAIL("has a control character in it");
	memset(at, 0, k->size);
	memcpy(at, text, strlen(text));
	return 0;
}

/* The i-th of "a|b|c"; its length, 0 beyond the last. */
static size_t word(const char *words, unsigned i, const char **at)
{
	while (i-- > 0) {
		words = strchr(words, '|');
		if (words++ == NULL)
			return 0;
	}
	*at = words;
	return strcspn(words, "|");
}

static int set_word(const struct conf_key *k, void *at, const char *text, char *why)
{
	const char *w;
	size_t n;

	for (unsigned i = 0; (n = word(k->unit, i, &w)) > 0; i++) {
		if (strlen(text) != n || strncmp(text, w, n) != 0)
			continue;
		if (k->words_kept)
			return set_string(k, at, text, why);
		store(at, k->size, i);
		return 0;
	}
	return FAIL("\"%.64s\" is none of %s", text, k->unit);
}

static void get_word(const struct conf_key *k, const void *at, char *text, size_t size)
{
	const char *w = "";
	size_t n;

	if (k->words_kept) {
		snprintf(text, size, "\"%s\"", (const char *)at);
		return;
	}
	n = word(k->unit, (unsigned)load(at, k->size), &w);
	snprintf(text, size, "\"%.*s\"", (int)n, w);
}

/* --- Lists ---------------------------------------------------------------------------------------------------------- */

/* The next of "a, b, c": copied to item without spaces; false at the end. */
static bool next_item(const char **text, char *item, size_t size)
{
	const char *p = *text + strspn(*text, ", \t");
	size_t n = strcspn(p, ", \t");

	if (n == 0)
		return false;
	snprintf(item, size, "%.*s", (int)n, p);
	*text = p + n;
	return true;
}

static int set_numbers(const struct conf_key *k, void *base, const char *text, char *why)
{
	int *at = (int *)((char *)base + k->off);
	unsigned *count = (unsigned *)((char *)base + k->off2), n = 0;
	struct conf_key one = { .type = CONF_NUMBER, .min = k->min, .max = k->max, .size = sizeof(int) };
	char item[64];

	while (next_item(&text, item, sizeof(item))) {
		if (n == k->size / sizeof(int))
			return FAIL("more than %u of them", n);
		if (set_number(&one, &at[n], item, why) < 0)
			return -EINVAL;
		for (unsigned i = 0; i < n; i++)
			if (at[i] == at[n])
				return FAIL("%d is named twice", at[n]);
		n++;
	}
	if (n == 0)
		return FAIL("must name at least one");
	*count = n;
	return 0;
}

static int set_range(struct conf_range *r, char *item, const char *text, char *why)
{
	struct conf_key one = { .type = CONF_NUMBER, .min = 1, .max = 65535, .size = sizeof(uint16_t) };
	char *dash = strchr(item, '-');

	if (dash != NULL)
		*dash++ = '\0';
	if (set_number(&one, &r->from, item, why) < 0 || set_number(&one, &r->to, dash != NULL ? dash : item, why) < 0)
		return -EINVAL;
	if (r->from > r->to)
		return FAIL("\"%.64s\": a range goes from the lower port to the higher", text);
	return 0;
}

static int set_ports(const struct conf_key *k, void *base, const char *text, char *why)
{
	struct conf_range *at = (struct conf_range *)((char *)base + k->off);
	unsigned n = 0;
	const char *p = text;
	char item[64];

	while (next_item(&p, item, sizeof(item))) {
		if (n == CONF_RANGES_MAX)
			return FAIL("more than %u ranges", n);
		if (set_range(&at[n], item, text, why) < 0)
			return -EINVAL;
		n++;
	}
	*(unsigned *)((char *)base + k->off2) = n;
	return 0;
}

/* --- Addresses ------------------------------------------------------------------------------------------------------ */

/* IPv4 is stored v4-mapped.  "" is the unspecified address, all zeros. */
static int set_addr(struct ipaddr *a, const char *text, char *why)
{
	struct in_addr in;

	memset(a, 0, sizeof(*a));
	if (text[0] == '\0')
		return 0;
	if (inet_pton(AF_INET6, text, a->b) == 1 && !net_is_ip4(a))
		return 0;
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &in) != 1)
		return FAIL("\"%.64s\" is not an IPv4 or IPv6 address", text);
	a->b[10] = a->b[11] = 0xff;
	a->w[3] = in.s_addr;
	return 0;
}

static bool is_none(const struct ipaddr *a)
{
	return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

static void get_addr(const struct ipaddr *a, char *text, size_t size)
{
	text[0] = '\0';
	if (net_is_ip4(a))
		inet_ntop(AF_INET, &a->w[3], text, (socklen_t)size);
	else if (!is_none(a))
		inet_ntop(AF_INET6, a->b, text, (socklen_t)size);
}

/* "10.9.0.1/24", "fd00::1/64" */
static int set_prefixed(struct ipaddr *a, uint8_t *prefix, const char *text, char *why)
{
	struct conf_key one = { .type = CONF_NUMBER, .min = 0, .max = 128, .size = 1 };
	char addr[64];
	const char *slash = strchr(text, '/');
	int err = -EINVAL;

	if (slash != NULL && slash != text && (size_t)(slash - text) < sizeof(addr)) {
		snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
		err = set_addr(a, addr, why);
		one.max = net_is_ip4(a) ? 32 : 128;
		if (err == 0 && isdigit((unsigned char)slash[1]))
			err = set_number(&one, prefix, slash + 1, why);
		else
			err = -EINVAL;
	}
	if (err < 0)
		return FAIL("\"%.64s\" is not an address with its prefix length, like 10.9.0.1/24 or fd00::1/64", text);
	return 0;
}

/* Without the bits beyond the prefix; false: there were none. */
static bool clear_host_bits(struct ipaddr *a, unsigned prefix)
{
	bool had = false;

	for (unsigned bit = prefix + (net_is_ip4(a) ? 96 : 0); bit < 128; bit++) {
		uint8_t one = (uint8_t)(0x80 >> bit % 8);

		had |= (a->b[bit / 8] & one) != 0;
		a->b[bit / 8] &= (uint8_t)~one;
	}
	return had;
}

static int set_prefix(const struct conf_key *k, void *base, const char *text, char *why)
{
	struct ipaddr *a = (struct ipaddr *)((char *)base + k->off), clean;
	uint8_t *prefix = (uint8_t *)base + k->off2;
	char good[INET6_ADDRSTRLEN];

	if (set_prefixed(a, prefix, text, why) < 0)
		return -EINVAL;
	clean = *a;
	if (!clear_host_bits(&clean, *prefix))
		return 0;
	if (is_none(&clean))
		snprintf(good, sizeof(good), "::");
	else
		get_addr(&clean, good, sizeof(good));
	return FAIL("%.64s has bits beyond its prefix; did you mean %s/%u?", text, good, *prefix);
}

static int check_host6(const struct ipaddr *a, const char *text, char *why)
{
	if (a->b[0] == 0xff || (a->w[0] == 0 && a->w[1] == 0))
		return FAIL("%.64s cannot be the address of a host", text);
	if (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80 && (a->b[1] != 0x80 || a->b[2] != 0 || a->b[3] != 0 || a->w[1] != 0))
		return FAIL("%.64s: a link-local address begins with fe80::", text);
	return 0;
}

static int check_host(const struct net_addr *a, const char *text, char *why)
{
	uint32_t v = ntohl(a->addr.w[3]), all, host;

	if (!net_is_ip4(&a->addr))
		return check_host6(&a->addr, text, why);
	all = (uint32_t)((1ull << (32 - a->prefix)) - 1);
	host = v & all;
	if (v >> 28 >= 14 || v >> 24 == 0 || v >> 24 == 127)
		return FAIL("%.64s cannot be the address of a host", text);
	if (a->prefix < 31 && (host == 0 || host == all))
		return FAIL("%.64s is the address of a network or its broadcast, not of a host", text);
	return 0;
}

static int set_addrs(const struct conf_key *k, void *base, const char *text, char *why)
{
	struct net_addr *at = (struct net_addr *)((char *)base + k->off);
	unsigned n = 0;
	char item[80];

	while (next_item(&text, item, sizeof(item))) {
		if (n == NET_ADDRS_MAX)
			return FAIL("more than %u addresses", n);
		if (set_prefixed(&at[n].addr, &at[n].prefix, item, why) < 0 || check_host(&at[n], item, why) < 0)
			return -EINVAL;
		for (unsigned i = 0; i < n; i++)
			if (memcmp(&at[i].addr, &at[n].addr, sizeof(at[i].addr)) == 0)
				return FAIL("%.64s is named twice", item);
		n++;
	}
	*(unsigned *)((char *)base + k->off2) = n;
	return 0;
}

static int set_routers(struct ipaddr at[2], const char *text, char *why)
{
	struct ipaddr a;
	char item[80];

	memset(at, 0, 2 * sizeof(at[0]));
	while (next_item(&text, item, sizeof(item))) {
		unsigned six;

		if (set_addr(&a, item, why) < 0)
			return -EINVAL;
		six = !net_is_ip4(&a);
		if (!is_none(&at[six]))
			return FAIL("%.64s is the second router of its family", item);
		at[six] = a;
	}
	return 0;
}

/* --- Users ---------------------------------------------------------------------------------------------------------- */

static int set_number_id(const char *text, uint32_t *id)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end != '\0' || v >= UINT32_MAX)
		return -EINVAL;
	*id = (uint32_t)v;
	return 0;
}

static int set_user(struct conf_client *c, const char *text, char *why)
{
	struct passwd *p;

	c->any = strcmp(text, "*") == 0;
	c->by_user = !c->any && text[0] != '\0';
	if (strlen(text) >= sizeof(c->name))
		return FAIL("is longer than %zu bytes", sizeof(c->name) - 1);
	if (c->any || c->by_user)
		snprintf(c->name, sizeof(c->name), "%s", text);
	if (!c->by_user || set_number_id(text, &c->uid) == 0)
		return 0;
	p = getpwnam(text);
	if (p == NULL)
		return FAIL("there is no user \"%.64s\" on this machine", text);
	c->uid = p->pw_uid;
	return 0;
}

static int set_group(struct conf_client *c, const char *text, char *why)
{
	struct group *g;

	c->by_group = text[0] != '\0';
	if (strlen(text) >= sizeof(c->name))
		return FAIL("is longer than %zu bytes", sizeof(c->name) - 1);
	if (!c->by_group)
		return 0;
	if (!c->any && !c->by_user)
		snprintf(c->name, sizeof(c->name), "%s", text);
	if (set_number_id(text, &c->gid) == 0)
		return 0;
	g = getgrnam(text);
	if (g == NULL)
		return FAIL("there is no group \"%.64s\" on this machine", text);
	c->gid = g->gr_gid;
	return 0;
}

static void get_user(const struct conf_client *c, char *text, size_t size)
{
	if (c->any)
		snprintf(text, size, "\"*\"");
	else if (c->by_user)
		snprintf(text, size, "\"%" PRIu32 "\"", (uint32_t)c->uid);
	else
		snprintf(text, size, "\"\"");
}

static void get_group(const struct conf_client *c, char *text, size_t size)
{
	if (c->by_group)
		snprintf(text, size, "\"%" PRIu32 "\"", (uint32_t)c->gid);
	else
		snprintf(text, size, "\"\"");
}

/* --- All types ------------------------------------------------------------------------------------------------------ */

int conf_value_set(const struct conf_key *k, void *base, const char *text, char *why)
{
	char *at = (char *)base + k->off;

	switch (k->type) {
	case CONF_NUMBER:
	case CONF_REAL: return set_number(k, at, text, why);
	case CONF_BOOL: return set_bool(k, at, text, why);
	case CONF_STRING: return set_string(k, at, text, why);
	case CONF_WORD: return set_word(k, at, text, why);
	case CONF_SIZE: return set_size(k, at, text, why);
	case CONF_OCTAL: return set_octal(k, at, text, why);
	case CONF_NUMBERS: return set_numbers(k, base, text, why);
	case CONF_ADDR: return set_addr((struct ipaddr *)at, text, why);
	case CONF_ROUTERS: return set_routers((struct ipaddr *)at, text, why);
	case CONF_PREFIX: return set_prefix(k, base, text, why);
	case CONF_ADDRS: return set_addrs(k, base, text, why);
	case CONF_PORTS: return set_ports(k, base, text, why);
	case CONF_USER: return set_user(base, text, why);
	case CONF_GROUP: return set_group(base, text, why);
	}
	return FAIL("has no type");
}

/* Append to text. */
static void add(char *text, size_t size, const char *sep, const char *item)
{
	size_t n = strlen(text);

	snprintf(text + n, size - n, "%s%s", n > 1 ? sep : "", item);
}

static void get_numbers(const struct conf_key *k, const void *base, char *text, size_t size)
{
	const int *at = (const int *)((const char *)base + k->off);
	unsigned n = *(const unsigned *)((const char *)base + k->off2);
	char item[16];

	snprintf(text, size, "[");
	for (unsigned i = 0; i < n; i++) {
		snprintf(item, sizeof(item), "%d", at[i]);
		add(text, size, ", ", item);
	}
	add(text, size, "", "]");
}

static void get_addrs(const struct conf_key *k, const void *base, char *text, size_t size)
{
	const struct net_addr *at = (const struct net_addr *)((const char *)base + k->off);
	unsigned n = *(const unsigned *)((const char *)base + k->off2);
	char addr[INET6_ADDRSTRLEN], item[INET6_ADDRSTRLEN + 8];

	snprintf(text, size, "[");
	for (unsigned i = 0; i < n; i++) {
		get_addr(&at[i].addr, addr, sizeof(addr));
		snprintf(item, sizeof(item), "\"%s/%u\"", addr, at[i].prefix);
		add(text, size, ", ", item);
	}
	add(text, size, "", "]");
}

static void get_ports(const struct conf_key *k, const void *base, char *text, size_t size)
{
	const struct conf_range *at = (const struct conf_range *)((const char *)base + k->off);
	unsigned n = *(const unsigned *)((const char *)base + k->off2);
	char item[16];

	snprintf(text, size, "\"");
	for (unsigned i = 0; i < n; i++) {
		snprintf(item, sizeof(item), at[i].from == at[i].to ? "%u" : "%u-%u", at[i].from, at[i].to);
		add(text, size, ",", item);
	}
	add(text, size, "", "\"");
}

static void get_quoted(const char *s, char *text, size_t size)
{
	size_t n = 0;

	for (text[n++] = '"'; *s != '\0' && n + 4 < size; s++) {
		if (*s == '"' || *s == '\\')
			text[n++] = '\\';
		text[n++] = *s;
	}
	text[n++] = '"';
	text[n] = '\0';
}

static void get_number(const struct conf_key *k, const void *at, char *text, size_t size)
{
	if (k->type == CONF_REAL)
		snprintf(text, size, "%.9g", *(const double *)at);
	else if (k->type == CONF_OCTAL)
		snprintf(text, size, "\"%04o\"", (unsigned)load(at, k->size));
	else if (k->type == CONF_SIZE)
		get_size(load(at, k->size), text, size);
	else
		snprintf(text, size, "%.15g", (double)load(at, k->size) / scale(k));
}

static void get_routers(const struct ipaddr at[2], char *text, size_t size)
{
	char addr[INET6_ADDRSTRLEN], item[INET6_ADDRSTRLEN + 2];

	snprintf(text, size, "[");
	for (unsigned i = 0; i < 2; i++) {
		get_addr(&at[i], addr, sizeof(addr));
		snprintf(item, sizeof(item), "\"%s\"", addr);
		if (addr[0] != '\0')
			add(text, size, ", ", item);
	}
	add(text, size, "", "]");
}

static void get_address(const struct conf_key *k, const void *base, char *text, size_t size)
{
	const struct ipaddr *a = (const struct ipaddr *)((const char *)base + k->off);
	char addr[INET6_ADDRSTRLEN];

	if (k->type == CONF_PREFIX && is_none(a)) /* of all prefixes only ::/0 */
		snprintf(addr, sizeof(addr), "::");
	else
		get_addr(a, addr, sizeof(addr));
	if (k->type == CONF_PREFIX)
		snprintf(text, size, "\"%s/%u\"", addr, *((const uint8_t *)base + k->off2));
	else
		snprintf(text, size, "\"%s\"", addr);
}

void conf_value_get(const struct conf_key *k, const void *base, char *text, size_t size)
{
	const char *at = (const char *)base + k->off;

	switch (k->type) {
	case CONF_NUMBER:
	case CONF_REAL:
	case CONF_OCTAL:
	case CONF_SIZE: get_number(k, at, text, size); break;
	case CONF_BOOL: snprintf(text, size, "%s", *(const bool *)at ? "true" : "false"); break;
	case CONF_STRING: get_quoted(at, text, size); break;
	case CONF_WORD: get_word(k, at, text, size); break;
	case CONF_NUMBERS: get_numbers(k, base, text, size); break;
	case CONF_ADDR:
	case CONF_PREFIX: get_address(k, base, text, size); break;
	case CONF_ROUTERS: get_routers((const struct ipaddr *)at, text, size); break;
	case CONF_ADDRS: get_addrs(k, base, text, size); break;
	case CONF_PORTS: get_ports(k, base, text, size); break;
	case CONF_USER: get_user(base, text, size); break;
	case CONF_GROUP: get_group(base, text, size); break;
	}
}

const char *conf_type_name(const struct conf_key *k)
{
	static const char *const name[] = {
		[CONF_NUMBER] = "number", [CONF_REAL] = "number", [CONF_BOOL] = "boolean", [CONF_STRING] = "string",
		[CONF_WORD] = "word", [CONF_SIZE] = "size", [CONF_OCTAL] = "octal", [CONF_NUMBERS] = "list",
		[CONF_ADDR] = "address", [CONF_ROUTERS] = "list", [CONF_PREFIX] = "network", [CONF_ADDRS] = "list", [CONF_PORTS] = "ports",
		[CONF_USER] = "user", [CONF_GROUP] = "group",
	};

	return name[k->type];
}
