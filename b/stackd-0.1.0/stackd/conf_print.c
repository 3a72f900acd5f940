/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Printing the configuration: its keys (--keys), and the values in effect (--check) as a file that conf_read() takes.
 */
#include <string.h>

#include "stackd/conf_keys.h"

static const char *default_of(const struct conf_key *k)
{
	if (k->def == NULL)
		return k->need ? "(must be given)" : "(none)";
	return k->def[0] == '\0' ? "\"\"" : k->def;
}

void conf_print_keys(FILE *out)
{
	char range[64];

	fprintf(out, "%-22s %-8s %-24s %-30s %s\n", "KEY", "TYPE", "DEFAULT", "RANGE", "MEANING");
	for (unsigned i = 0; i < conf_keys; i++) {
		const struct conf_key *k = &conf_key[i];
		char values[96];

		conf_key_range(k, range, sizeof(range));
		snprintf(values, sizeof(values), "%s%s%s", range, range[0] != '\0' ? " " : "", k->type == CONF_WORD ? "" : k->unit);
		fprintf(out, "%-22s %-8s %-24s %-30s %s\n", k->path, conf_type_name(k), default_of(k), values, k->help);
	}
}

/* The keys of one group, and of the groups in it. */
static void print_group(const struct conf_section *s, const void *base, const char *indent, FILE *out)
{
	char text[CONF_TEXT];
	size_t skip = strlen(s->name) + 1;
	const char *open = NULL; /* the inner group being printed */
	size_t open_len = 0;

	for (unsigned i = 0; i < conf_keys; i++) {
		const char *name = conf_key[i].path + skip, *dot;

		if (strncmp(conf_key[i].path, s->name, skip - 1) != 0 || conf_key[i].path[skip - 1] != '.')
			continue;
		dot = strchr(name, '.');
		if (open != NULL && (dot == NULL || strncmp(name, open, open_len) != 0)) {
			fprintf(out, "%s};\n", indent);
			open = NULL;
		}
		if (dot != NULL && open == NULL) {
			open = name;
			open_len = (size_t)(dot - name) + 1;
			fprintf(out, "%s%.*s = {\n", indent, (int)(dot - name), name);
		}
		conf_value_get(&conf_key[i], base, text, sizeof(text));
		fprintf(out, "%s%s%s = %s;\n", indent, dot != NULL ? "\t" : "", dot != NULL ? dot + 1 : name, text);
	}
	if (open != NULL)
		fprintf(out, "%s};\n", indent);
}

static void print_list(const struct conf_section *s, const struct conf *c, FILE *out)
{
	unsigned n = *(const unsigned *)((const char *)c + s->count_off);

	if (s->off == offsetof(struct conf, client) && n > 0)
		n--; /* the last rule is root's, which is always there */
	fprintf(out, "%s = (", s->name);
	for (unsigned i = 0; i < n; i++) {
		fprintf(out, "%s\n\t{\n", i > 0 ? "," : "");
		print_group(s, (const char *)c + s->off + i * s->stride, "\t\t", out);
		fprintf(out, "\t}");
	}
	fprintf(out, n > 0 ? "\n);\n" : ");\n");
}

void conf_print(const struct conf *c, FILE *out)
{
	for (unsigned i = 0; i < conf_sections; i++) {
		if (conf_section[i].list) {
			print_list(&conf_section[i], c, out);
		} else {
			fprintf(out, "%s = {\n", conf_section[i].name);
			print_group(&conf_section[i], c, "\t", out);
			fprintf(out, "};\n");
		}
	}
	fprintf(out, "# and root may attach, bind every port, and use stackctl\n");
}
