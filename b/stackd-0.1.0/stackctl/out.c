/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Tables and JSON.
 */
#include "stackctl/out.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void keep(struct out *o, const char *s);
static void json_key(struct out *o);
static void next_cell(struct out *o);
static size_t title_length(const struct out_col *c);
static void print_titles(const struct out *o);
static void print_rows(const struct out *o);
static void number_text(enum out_kind kind, uint64_t n, char *text, size_t size);

/* The cells of one table. */
static void begin(struct out *o, const struct out_col *col, unsigned cols)
{
	o->col = col;
	o->cols = cols;
	o->rows = o->text_len = 0;
	if (o->json)
		return;
	free(o->width);
	o->width = calloc(cols, sizeof(*o->width));
	if (o->width == NULL) {
		o->failed = true;
		return;
	}
	for (unsigned i = 0; i < cols; i++)
		o->width[i] = (unsigned)title_length(&col[i]);
}

void out_open(struct out *o, FILE *f, bool json, const char *name, const struct out_col *col, unsigned cols)
{
	*o = (struct out){ .f = f, .json = json };
	if (json)
		fprintf(f, "{\"%s\":[", name);
	begin(o, col, cols);
}

static void print_table(const struct out *o)
{
	if (o->failed)
		return;
	print_titles(o);
	print_rows(o);
}

void out_next(struct out *o, const char *name, const struct out_col *col, unsigned cols)
{
	if (o->json) {
		fprintf(o->f, "%s],\n\"%s\":[", o->rows > 0 ? "\n" : "", name);
	} else {
		print_table(o);
		fputc('\n', o->f);
	}
	begin(o, col, cols);
}

void out_text(struct out *o, const char *s)
{
	if (o->json) {
		json_key(o);
		out_json_string(o->f, s);
	} else {
		keep(o, s);
	}
	next_cell(o);
}

void out_number(struct out *o, uint64_t n)
{
	enum out_kind kind = o->col[o->cell].kind;
	char text[32];

	if (!o->json) {
		number_text(kind, n, text, sizeof(text));
		keep(o, text);
	} else {
		json_key(o);
		if (kind == OUT_AGE)
			fprintf(o->f, "%" PRIu64 ".%06" PRIu64, n / 1000000, n % 1000000);
		else if (kind == OUT_BOOL)
			fputs(n != 0 ? "true" : "false", o->f);
		else
			fprintf(o->f, "%" PRIu64, n);
	}
	next_cell(o);
}

int out_close(struct out *o)
{
	if (o->json) {
		fprintf(o->f, "%s]}\n", o->rows > 0 ? "\n" : "");
	} else {
		print_table(o);
	}
	free(o->text);
	free(o->width);
	return !o->failed && fflush(o->f) == 0 && !ferror(o->f) ? 0 : -1;
}

/* --- JSON (RFC 8259) ------------------------------------------------------------------------------------------------ */

static void json_key(struct out *o)
{
	if (o->cell == 0)
		fprintf(o->f, "%s\n{", o->rows > 0 ? "," : "");
	fprintf(o->f, "%s\"%s\":", o->cell > 0 ? "," : "", o->col[o->cell].key);
}

/* Bytes of the UTF-8 sequence at s (RFC 3629), 0 when there is none. */
static unsigned utf8(const unsigned char *s)
{
	unsigned n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
	             s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] >= 0x90))
		return 0; /* overlong, a surrogate, or beyond Unicode */
	return n;
}

void out_json_string(FILE *f, const char *string)
{
	const unsigned char *s = (const unsigned char *)string;
	unsigned n;

	fputc('"', f);
	for (; *s != '\0'; s += n > 0 ? n : 1) {
		n = utf8(s);
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if (*s < ' ' || *s == 127)
			fprintf(f, "\\u%04x", *s);
		else if (n == 0)
			fputs("\\ufffd", f);
		else
			fwrite(s, 1, n, f);
	}
	fputc('"', f);
}

/* --- Tables --------------------------------------------------------------------------------------------------------- */

static void next_cell(struct out *o)
{
	if (++o->cell < o->cols)
		return;
	o->cell = 0;
	o->rows++;
	if (o->json)
		fputc('}', o->f);
}

static void keep(struct out *o, const char *s)
{
	size_t len = strlen(s);

	if (o->failed)
		return;
	if (o->text_len + len + 1 > o->text_room) {
		size_t room = (o->text_room + len + 64) * 2;
		char *text = realloc(o->text, room);

		if (text == NULL) {
			o->failed = true;
			return;
		}
		o->text = text;
		o->text_room = room;
	}
	memcpy(o->text + o->text_len, s, len + 1);
	o->text_len += len + 1;
	if (len > o->width[o->cell])
		o->width[o->cell] = (unsigned)len;
}

/* Numbers to the right; the last column is not filled up with spaces. */
static void print_cell(const struct out *o, unsigned col, const char *s)
{
	int width = (int)o->width[col];

	if (o->col[col].kind != OUT_TEXT && o->col[col].kind != OUT_BOOL)
		fprintf(o->f, "%*s", width, s);
	else if (col + 1 < o->cols)
		fprintf(o->f, "%-*s", width, s);
	else
		fputs(s, o->f);
	fputs(col + 1 < o->cols ? "  " : "\n", o->f);
}

/* An age_s is 3m12s in a table, so its title is AGE. */
static size_t title_length(const struct out_col *c)
{
	size_t n = strlen(c->key);

	return c->kind == OUT_AGE && n > 2 ? n - 2 : n;
}

static void print_titles(const struct out *o)
{
	char title[64];

	for (unsigned i = 0; i < o->cols; i++) {
		size_t n = 0;

		for (const char *k = o->col[i].key; n < title_length(&o->col[i]) && n + 1 < sizeof(title); k++)
			title[n++] = *k == '_' ? ' ' : (char)toupper((unsigned char)*k);
		title[n] = '\0';
		print_cell(o, i, title);
	}
}

static void print_rows(const struct out *o)
{
	char *s = o->text;

	for (size_t row = 0; row < o->rows; row++)
		for (unsigned i = 0; i < o->cols; i++) {
			size_t len = strlen(s);

			/* names come from programs: nothing of theirs may steer a terminal */
			for (size_t k = 0; k < len; k++)
				if ((unsigned char)s[k] < ' ' || s[k] == 127)
					s[k] = '?';
			print_cell(o, i, s);
			s += len + 1;
		}
}

void out_age(uint64_t us, char *text, size_t size)
{
	uint64_t s = us / 1000000;

	if (us < 1000000)
		snprintf(text, size, "%" PRIu64 "ms", us / 1000);
	else if (s < 60)
		snprintf(text, size, "%" PRIu64 ".%" PRIu64 "s", s, us / 100000 % 10);
	else if (s < 3600)
		snprintf(text, size, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, size, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(text, size, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

static void bytes_text(uint64_t n, char *text, size_t size)
{
	static const char unit[] = " KMGTPE";
	unsigned u = 0;
	double v = (double)n;

	while (v >= 1024 && unit[u + 1] != '\0') {
		v /= 1024;
		u++;
	}
	if (u == 0)
		snprintf(text, size, "%" PRIu64, n);
	else
		snprintf(text, size, v < 10 ? "%.1f%c" : "%.0f%c", v, unit[u]);
}

static void number_text(enum out_kind kind, uint64_t n, char *text, size_t size)
{
	if (kind == OUT_BYTES)
		bytes_text(n, text, size);
	else if (kind == OUT_AGE)
		out_age(n, text, size);
	else if (kind == OUT_BOOL)
		snprintf(text, size, "%s", n != 0 ? "yes" : "");
	else
		snprintf(text, size, "%" PRIu64, n);
}
