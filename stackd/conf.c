/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading and printing the configuration.  The only file that knows libconfig: it turns every value of the file into text
 * and leaves the rest to the table (conf_keys.c, conf_value.c, conf_check.c).
 */
#include "stackd/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "stackd/conf_keys.h"

struct reader {
	struct conf *c;
	config_t cfg;
	const char *file;
	FILE *err;
	unsigned errors;
	bool spoilt; /* the group at hand has a word, or a key, that was not understood */
};

static int read_text(struct reader *r, const char *text);

/* The rule that lets root in, also when no rule names it. */
static void add_root(struct conf *c)
{
	struct conf_client *root = &c->client[c->clients++];

	conf_section_default(conf_section_find("clients"), root);
	root->by_user = root->endpoint = root->operator_ = true;
	root->uid = 0;
	root->port[0] = (struct conf_range){ 1, 65535 };
	root->ports = 1;
	snprintf(root->name, sizeof(root->name), "root");
}

static void set_defaults(struct conf *c)
{
	memset(c, 0, sizeof(*c));
	for (unsigned i = 0; i < conf_sections; i++)
		if (!conf_section[i].list)
			conf_section_default(&conf_section[i], c);
	c->tcp.max_conns = c->max_flows;
	/* not a key: keyed hashes want a key that nobody can know */
	if (getrandom(c->tcp.secret, sizeof(c->tcp.secret), 0) != sizeof(c->tcp.secret))
		abort();
}

void conf_default(struct conf *c)
{
	set_defaults(c);
	add_root(c);
}

int conf_read(struct conf *c, const char *file, FILE *err)
{
	struct reader r = { .c = c, .file = file, .err = err };
	char *text, dir[sizeof(c->file)];
	int rc;

	set_defaults(c);
	if (strlen(file) >= sizeof(c->file)) {
		fprintf(err, "%.64s...: the name is too long\n", file);
		return -1;
	}
	snprintf(c->file, sizeof(c->file), "%s", file);
	text = conf_text_read(file);
	if (text == NULL) {
		fprintf(err, "%s: cannot be read: %s\n", file, strerror(errno));
		return -1;
	}
	config_init(&r.cfg);
	snprintf(dir, sizeof(dir), "%s", file);
	config_set_include_dir(&r.cfg, dirname(dir));
	rc = read_text(&r, text);
	config_destroy(&r.cfg);
	free(text);
	return rc;
}

/* --- Errors --------------------------------------------------------------------------------------------------------- */

/* path is the key's, without the root; s says which line. */
static void complain(struct reader *r, const config_setting_t *s, const char *path, const char *sentence)
{
	const char *file = s != NULL ? config_setting_source_file(s) : NULL;

	fprintf(r->err, "%s:", file != NULL ? file : r->file);
	if (s != NULL && config_setting_source_line(s) > 0)
		fprintf(r->err, "%u:", config_setting_source_line(s));
	fprintf(r->err, " %s: %s\n", path, sentence);
	r->errors++;
}

/* A group with a word that was not understood, as of a mode: what does not fit together in it is no news. */
static bool is_spoilt(const config_setting_t *s)
{
	while (s != NULL && config_setting_get_hook(s) == NULL)
		s = config_setting_parent(s);
	return s != NULL;
}

/* A conf_say_fn: the line is that of the path, or of the group it would stand in. */
static void complain_at(void *arg, const char *path, const char *sentence)
{
	struct reader *r = arg;
	const config_setting_t *s;
	char at[128], *dot;

	snprintf(at, sizeof(at), "%s", path);
	while ((s = config_lookup(&r->cfg, at)) == NULL && (dot = strrchr(at, '.')) != NULL)
		*dot = '\0';
	if (!is_spoilt(s))
		complain(r, s, path, sentence);
}

/* --- Values --------------------------------------------------------------------------------------------------------- */

static bool scalar_text(const config_setting_t *s, char *text, size_t size)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64: snprintf(text, size, "%lld", config_setting_get_int64(s)); return true;
	case CONFIG_TYPE_FLOAT: snprintf(text, size, "%.15g", config_setting_get_float(s)); return true;
	case CONFIG_TYPE_BOOL: snprintf(text, size, "%s", config_setting_get_bool(s) ? "true" : "false"); return true;
	case CONFIG_TYPE_STRING: return snprintf(text, size, "%s", config_setting_get_string(s)) < (int)size;
	default: return false;
	}
}

/* The elements of an array or a list, with commas between. */
static bool list_text(const config_setting_t *s, char *text, size_t size)
{
	char item[256];
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < config_setting_length(s); i++) {
		if (!scalar_text(config_setting_get_elem(s, (unsigned)i), item, sizeof(item)))
			return false;
		used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? "," : "", item);
		if (used >= size)
			return false;
	}
	return true;
}

static bool takes_list(const struct conf_key *k)
{
	return k->type == CONF_NUMBERS || k->type == CONF_ADDRS || k->type == CONF_ROUTERS || k->type == CONF_PORTS;
}

/* What follows from a value that could not be read is no news. */
static void unread(struct reader *r, const struct conf_key *k, void *base)
{
	r->spoilt |= k->type == CONF_WORD || strcmp(k->path, "routes.via") == 0;
	if (k->type == CONF_ADDRS)
		((struct conf_port *)base)->addrs_unread = true;
}

static void read_value(struct reader *r, const struct conf_key *k, const config_setting_t *s, void *base, const char *path)
{
	unsigned before = r->errors;
	char text[CONF_TEXT], why[CONF_WHY];
	bool is_list = config_setting_is_array(s) || config_setting_is_list(s);

	/* 0660 without quotes would be 660: libconfig knows no octal */
	if (k->type == CONF_OCTAL && config_setting_type(s) != CONFIG_TYPE_STRING) {
		complain(r, s, path, "write it as a string, like \"0660\"");
	} else if (is_list ? !takes_list(k) || !list_text(s, text, sizeof(text)) : !scalar_text(s, text, sizeof(text))) {
		complain(r, s, path, is_list || config_setting_is_group(s) ? "one value is wanted here" : "is too long");
	} else if (conf_value_set(k, base, text, why) < 0) {
		complain(r, s, path, why);
	}
	if (r->errors > before)
		unread(r, k, base);
}

static void unknown(struct reader *r, const struct conf_section *sec, const char *group, const config_setting_t *s,
                    void *base, const char *path)
{
	const char *name = config_setting_name(s), *near = conf_key_near(sec, group, name);
	const struct conf_key *meant = sec != NULL && near != NULL ? conf_key_find(sec, near) : NULL;
	char sentence[CONF_WHY];

	if (meant != NULL)
		unread(r, meant, base);
	if (near != NULL)
		snprintf(sentence, sizeof(sentence), "unknown %s; did you mean \"%s\"?", sec == NULL ? "section" : "key", near);
	else
		snprintf(sentence, sizeof(sentence), "unknown %s; stackd --keys lists all", sec == NULL ? "section" : "key");
	complain(r, s, path, sentence);
}

/* --- Groups --------------------------------------------------------------------------------------------------------- */

/* One group of a section.  group is "" or, one level down, "fault."; path is the group's own. */
static void read_group(struct reader *r, const struct conf_section *sec, const char *group, const config_setting_t *g,
                       void *base, const char *path)
{
	for (int i = 0; i < config_setting_length(g); i++) {
		const config_setting_t *s = config_setting_get_elem(g, (unsigned)i);
		char name[128], at[192];
		const struct conf_key *k;

		snprintf(name, sizeof(name), "%s%.64s", group, config_setting_name(s));
		snprintf(at, sizeof(at), "%s.%.64s", path, config_setting_name(s));
		k = conf_key_find(sec, name);
		if (k != NULL) {
			read_value(r, k, s, base, at);
		} else if (!conf_key_is_group(sec, name)) {
			unknown(r, sec, group, s, base, at);
		} else if (!config_setting_is_group(s)) {
			complain(r, s, at, "a group { ... } is wanted here");
		} else {
			strcat(name, ".");
			read_group(r, sec, name, s, base, at);
		}
	}
}

static void need_keys(struct reader *r, const struct conf_section *sec, const config_setting_t *g, void *base, const char *path)
{
	char sentence[CONF_WHY];
	size_t skip = strlen(sec->name) + 1;

	for (unsigned i = 0; i < conf_keys; i++) {
		const struct conf_key *k = &conf_key[i];

		if (!k->need || strncmp(k->path, sec->name, skip - 1) != 0 ||
		    config_setting_get_member(g, k->path + skip) != NULL)
			continue;
		snprintf(sentence, sizeof(sentence), "%s is missing: %s", k->path + skip, k->help);
		complain(r, g, path, sentence);
		unread(r, k, base);
	}
}

static void read_list(struct reader *r, const struct conf_section *sec, const config_setting_t *list)
{
	unsigned n = (unsigned)config_setting_length(list);
	char path[64];

	if (n > sec->max) {
		snprintf(path, sizeof(path), "more than %u of them", sec->max);
		complain(r, list, sec->name, path);
		n = sec->max;
	}
	for (unsigned i = 0; i < n; i++) {
		config_setting_t *g = config_setting_get_elem(list, i);
		char *base = (char *)r->c + sec->off + i * sec->stride;

		snprintf(path, sizeof(path), "%s.[%u]", sec->name, i);
		conf_section_default(sec, base);
		r->spoilt = false;
		if (config_setting_is_group(g)) {
			read_group(r, sec, "", g, base, path);
			need_keys(r, sec, g, base, path);
		} else {
			complain(r, g, path, "a group { ... } is wanted here");
			r->spoilt = true;
		}
		if (r->spoilt)
			config_setting_set_hook(g, r);
	}
	*(unsigned *)((char *)r->c + sec->count_off) = n;
}

static void read_section(struct reader *r, const config_setting_t *s)
{
	const struct conf_section *sec = conf_section_find(config_setting_name(s));

	if (sec == NULL)
		unknown(r, NULL, "", s, NULL, config_setting_name(s));
	else if (sec->list && config_setting_is_list(s))
		read_list(r, sec, s);
	else if (sec->list)
		complain(r, s, sec->name, "a list of groups ( { ... }, { ... } ) is wanted here");
	else if (!config_setting_is_group(s))
		complain(r, s, sec->name, "a group { ... } is wanted here");
	else
		read_group(r, sec, "", s, r->c, sec->name);
}

static int read_text(struct reader *r, const char *text)
{
	const config_setting_t *root;

	if (conf_text_check(text, r->file, r->err) > 0)
		return -1;
	if (!config_read_string(&r->cfg, text)) {
		const char *file = config_error_file(&r->cfg);

		fprintf(r->err, "%s:%d: %s\n", file != NULL ? file : r->file, config_error_line(&r->cfg), config_error_text(&r->cfg));
		return -1;
	}
	root = config_root_setting(&r->cfg);
	for (int i = 0; i < config_setting_length(root); i++)
		read_section(r, config_setting_get_elem(root, (unsigned)i));
	conf_check(r->c, complain_at, r);
	add_root(r->c);
	return r->errors == 0 ? 0 : -1;
}

/* --- Rules ---------------------------------------------------------------------------------------------------------- */

static bool has_group(const gid_t *gids, unsigned n, gid_t gid)
{
	for (unsigned i = 0; i < n; i++)
		if (gids[i] == gid)
			return true;
	return false;
}

const struct conf_client *conf_client_for(const struct conf *c, uid_t uid, const gid_t *gids, unsigned n)
{
	for (unsigned i = 0; i < c->clients; i++) {
		const struct conf_client *r = &c->client[i];

		if ((!r->by_user || r->uid == uid) && (!r->by_group || has_group(gids, n, r->gid)) &&
		    (r->any || r->by_user || r->by_group))
			return r;
	}
	return NULL;
}

bool conf_client_may_bind(const struct conf_client *rule, uint16_t port)
{
	for (unsigned i = 0; i < rule->ports; i++)
		if (port >= rule->port[i].from && port <= rule->port[i].to)
			return true;
	return false;
}
