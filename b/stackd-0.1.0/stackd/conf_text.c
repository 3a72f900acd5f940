/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration's text, before libconfig sees it: libconfig 1.5 reads 5000000000 as 705032704.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/conf_keys.h"

enum { TEXT_MAX = 1 << 20 };

char *conf_text_read(const char *file)
{
	FILE *f = fopen(file, "re");
	char *text = NULL;
	size_t n;

	if (f == NULL)
		return NULL;
	text = malloc(TEXT_MAX + 1);
	if (text == NULL)
		goto out;
	n = fread(text, 1, TEXT_MAX + 1, f);
	text[n < TEXT_MAX ? n : TEXT_MAX] = '\0';
	if (n > TEXT_MAX || ferror(f)) {
		errno = n > TEXT_MAX ? EFBIG : errno;
		free(text);
		text = NULL;
	}
out:
	fclose(f);
	return text;
}

/* Past a comment or a string that begins at p; p when none does. */
static const char *skip(const char *p)
{
	const char *end;

	if (*p == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		return end != NULL ? end + 2 : p + strlen(p);
	}
	if (*p != '"')
		return p;
	for (p++; *p != '\0' && *p != '"'; p++)
		if (p[0] == '\\' && p[1] != '\0')
			p++;
	return *p == '"' ? p + 1 : p;
}

/* Is the word an integer that does not fit an int, without the L that makes it a long one? */
static bool is_cut(const char *word, size_t len)
{
	char *end;
	bool hex = len > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X');
	unsigned long long v;

	if (!isdigit((unsigned char)word[0]))
		return false;
	errno = 0;
	v = strtoull(word, &end, hex ? 16 : 10);
	return (size_t)(end - word) == len && (errno == ERANGE || v > (hex ? UINT_MAX : INT_MAX));
}

unsigned conf_text_check(const char *text, const char *file, FILE *err)
{
	unsigned line = 1, found = 0;

	for (const char *p = text, *next; *p != '\0'; p = next) {
		size_t len = strspn(p, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.");

		next = len > 0 ? p + len : skip(p);
		if (len > 0 && is_cut(p, len)) {
			fprintf(err, "%s:%u: %.*s: is too long a number; write %.*sL, or a size as a string\n", file, line,
			        (int)len, p, (int)len, p);
			found++;
		}
		if (next == p)
			next++;
		for (; p < next; p++)
			line += *p == '\n';
	}
	return found;
}
