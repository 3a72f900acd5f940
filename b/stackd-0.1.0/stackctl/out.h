/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What stackctl prints: rows of named cells, either as an aligned table for people or as JSON for programs.  A command
 * says its columns once and then puts cells, left to right, row by row.
 */
#ifndef STACKCTL_OUT_H
#define STACKCTL_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum out_kind {
	OUT_TEXT,
	OUT_COUNT, /* a number in both */
	OUT_BYTES, /* table: 1.5M; JSON: a number */
	OUT_AGE,   /* put in us; table: 3m12s; JSON: seconds with decimals */
	OUT_BOOL,  /* table: yes or nothing; JSON: true or false */
};

struct out_col {
	const char *key; /* of JSON; the table's title is the same in capitals, without an age's _s */
	enum out_kind kind;
};

struct out {
	FILE *f;
	bool json;
	const struct out_col *col;
	unsigned cols, cell; /* cell: the next one's column */
	size_t rows;
	/* table: cells wait as text, one after the other, until the widths are known */
	char *text;
	size_t text_len, text_room;
	unsigned *width;
	bool failed; /* out of memory */
};

/* JSON: {"name":[{...},...]}, and ,"other":[...] for each out_next. */
void out_open(struct out *o, FILE *f, bool json, const char *name, const struct out_col *col, unsigned cols);
void out_text(struct out *o, const char *s);
void out_number(struct out *o, uint64_t n); /* every kind but text */

/* Another table below; in JSON another key of the same object. */
void out_next(struct out *o, const char *name, const struct out_col *col, unsigned cols);

/* 0, or -1 when something could not be printed. */
int out_close(struct out *o);

/* s as a JSON string, with its quotes; what is not UTF-8 becomes U+FFFD. */
void out_json_string(FILE *f, const char *s);

/* 3m12s, 250ms */
void out_age(uint64_t us, char *text, size_t size);

#endif
