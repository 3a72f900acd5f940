/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of keys, private to conf*.c and their test.  A line of the table says everything about a key: where it may
 * stand, how it is written, what it is when it is not written, its range, its meaning, and where the value goes.
 *
 * conf_keys.c has the table and what needs no file; conf_value.c turns text into values and back; conf_check.c
 * compares values; conf_text.c looks at the file before libconfig does; conf.c alone knows libconfig.
 */
#ifndef STACKD_CONF_KEYS_H
#define STACKD_CONF_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stackd/conf.h"

enum conf_type {
	CONF_NUMBER,  /* an integer; with scale > 1 it may have decimals, and is stored multiplied */
	CONF_REAL,    /* double */
	CONF_BOOL,
	CONF_STRING,  /* at most size - 1 bytes */
	CONF_WORD,    /* one of key->words; stored as its index, or as the word itself when words_kept */
	CONF_SIZE,    /* bytes: 4096, "64K", "256M", "4G" */
	CONF_OCTAL,   /* permission bits, as a string: "0660" */
	CONF_NUMBERS, /* a list of CPU numbers; int [], its count at off2 */
	CONF_ADDR,    /* "10.9.0.254", "fd00::1"; "" for none */
	CONF_ROUTERS, /* the same, one or a list, of each family one at most: struct ipaddr [2], IPv4's first */
	CONF_PREFIX,  /* "10.0.0.0/8", without bits beyond the prefix; the length at off2 */
	CONF_ADDRS,   /* "10.9.0.1/24", one or a list; struct net_addr [], its count at off2 */
	CONF_PORTS,   /* "80,443,1024-65535"; struct conf_range [], its count at off2 */
	CONF_USER,    /* a rule's user: a name, a number, "*" */
	CONF_GROUP,   /* a rule's group: a name, a number */
};

/* Where keys may stand: one group of the file, or a list of groups. */
struct conf_section {
	const char *name;
	bool list;
	size_t off, stride, count_off; /* list: the array in struct conf, and its unsigned count */
	unsigned max;
	const char *help;
};

struct conf_key {
	const char *path; /* section.key, or section.group.key */
	enum conf_type type;
	const char *def;  /* as text; NULL: none */
	double min, max;  /* of what is written, before scaling; for lists, of each element */
	const char *unit; /* or the words allowed, "a|b|c" */
	const char *help;
	size_t off, size; /* in struct conf, or in the list's element */
	size_t off2;      /* where a count or a prefix length goes */
	double scale;     /* 0: 1 */
	bool need;        /* must be written */
	bool words_kept;
};

extern const struct conf_section conf_section[];
extern const struct conf_key conf_key[];
extern const unsigned conf_sections, conf_keys;

/* The key `name` (a path below the section) of a section, or NULL. */
const struct conf_key *conf_key_find(const struct conf_section *s, const char *name);
const struct conf_section *conf_section_find(const char *name);

/* Is there a group of this name in the section ("fault" in ports)? */
bool conf_key_is_group(const struct conf_section *s, const char *name);

/* The known name nearest to an unknown one, in the section (NULL: the sections themselves); NULL when none is near.
 * `group` is the part of the path that was right, "" or "fault.". */
const char *conf_key_near(const struct conf_section *s, const char *group, const char *name);

/* Set all values of one group or list element to their defaults. */
void conf_section_default(const struct conf_section *s, void *base);

enum { CONF_WHY = 256, CONF_TEXT = 1024 };

/* Store text as the key's value below base.  0, or -EINVAL with a sentence in why[CONF_WHY]. */
int conf_value_set(const struct conf_key *k, void *base, const char *text, char *why);

/* The value as one would write it in a file. */
void conf_value_get(const struct conf_key *k, const void *base, char *text, size_t size);

/* "number", "string", ... and the range, for people. */
const char *conf_type_name(const struct conf_key *k);
void conf_key_range(const struct conf_key *k, char *text, size_t size);

/* The whole file, to be freed; NULL and errno. */
char *conf_text_read(const char *file);

/* libconfig 1.5 cuts numbers without an L to 32 bits and says nothing.  Complains about such ones; returns how many. */
unsigned conf_text_check(const char *text, const char *file, FILE *err);

/* Checks that concern more than one key.  say() is told each fault: the path of the value, and a sentence. */
typedef void (*conf_say_fn)(void *arg, const char *path, const char *sentence);
void conf_check(struct conf *c, conf_say_fn say, void *arg);

#endif
