/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The program's configuration: files in the syntax of mtcp.conf (key = value) or mos.conf (blocks), and mtcp_getconf/setconf.
 *
 * One table per block says of each key whether it concerns the program (it is taken over), or the stack or the network card,
 * which are stackd's business (a notice says that the key is ignored).  Any other key is an error that names it.
 */
#define _GNU_SOURCE 1
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

enum { LINE_SIZE = 1024, RUN_SIZE = 200 };

enum take {
	IGNORE, /* stackd decides */
	INT,    /* a number of at least min */
	SECONDS, /* kept as ms; -1 stays */
	MASK,
	TEXT,
};

static const struct key {
	const char *name;
	enum take take;
	size_t off, size; /* in struct shim_conf, or struct conf_app for blocks of that kind */
	int min;
	const char *why; /* of IGNORE */
} flat_keys[] = {
	{ "num_cores", INT, offsetof(struct shim_conf, num_cores), 0, 1, NULL },
	{ "max_concurrency", INT, offsetof(struct shim_conf, max_concurrency), 0, 1, NULL },
	{ "max_num_buffers", INT, offsetof(struct shim_conf, max_num_buffers), 0, 1, NULL },
	{ "rcvbuf", INT, offsetof(struct shim_conf, rcvbuf), 0, 64, NULL },
	{ "sndbuf", INT, offsetof(struct shim_conf, sndbuf), 0, 64, NULL },
	{ "tcp_timeout", SECONDS, offsetof(struct shim_conf, timeout_ms), 0, -1, NULL },
	{ "tcp_timewait", SECONDS, offsetof(struct shim_conf, timewait_ms), 0, 0, NULL },
	{ "stackd_socket", TEXT, offsetof(struct shim_conf, socket), sizeof(((struct shim_conf *)0)->socket), 0, NULL },
	{ "io", IGNORE, 0, 0, 0, "stackd owns the ports" },
	{ "port", IGNORE, 0, 0, 0, "stackd owns the ports" },
	{ "core_mask", IGNORE, 0, 0, 0, "stackd's engines have their cores" },
	{ "num_mem_ch", IGNORE, 0, 0, 0, "stackd owns the memory" },
	{ "multiprocess", IGNORE, 0, 0, 0, "every program may share stackd" },
	{ "stat_print", IGNORE, 0, 0, 0, "stackctl shows statistics" },
	{ "cc", IGNORE, 0, 0, 0, "set TCP_CONGESTION on the socket" },
	{ "onvm_serv", IGNORE, 0, 0, 0, "stackd owns the ports" },
	{ "onvm_inst", IGNORE, 0, 0, 0, "stackd owns the ports" },
	{ "onvm_dest", IGNORE, 0, 0, 0, "stackd owns the ports" },
	{ 0 },
}, mos_keys[] = {
	{ "max_concurrency", INT, offsetof(struct shim_conf, max_concurrency), 0, 1, NULL },
	{ "rmem_size", INT, offsetof(struct shim_conf, rcvbuf), 0, 64, NULL },
	{ "wmem_size", INT, offsetof(struct shim_conf, sndbuf), 0, 64, NULL },
	{ "tcp_timeout", SECONDS, offsetof(struct shim_conf, timeout_ms), 0, -1, NULL },
	{ "tcp_tw_interval", SECONDS, offsetof(struct shim_conf, timewait_ms), 0, 0, NULL },
	{ "stackd_socket", TEXT, offsetof(struct shim_conf, socket), sizeof(((struct shim_conf *)0)->socket), 0, NULL },
	{ "nb_mem_channels", IGNORE, 0, 0, 0, "stackd owns the memory" },
	{ "forward", IGNORE, 0, 0, 0, "stackd's ports say what they forward" },
	{ "no_ring_buffers", INT, offsetof(struct shim_conf, no_buffers), 0, 0, NULL },
	{ "mos_log", IGNORE, 0, 0, 0, "stackd has its own log" },
	{ "stat_print", IGNORE, 0, 0, 0, "stackctl shows statistics" },
	{ "port", IGNORE, 0, 0, 0, "stackd owns the ports" },
	{ "multiprocess", IGNORE, 0, 0, 0, "every program may share stackd" },
	{ 0 },
}, app_keys[] = {
	{ "type", TEXT, offsetof(struct conf_app, type), sizeof(((struct conf_app *)0)->type), 0, NULL },
	{ "run", TEXT, offsetof(struct conf_app, run), sizeof(((struct conf_app *)0)->run), 0, NULL },
	{ "cpu_mask", MASK, offsetof(struct conf_app, cpu_mask), 0, 0, NULL },
	{ "core_mask", MASK, offsetof(struct conf_app, cpu_mask), 0, 0, NULL },
	{ "ip_forward", IGNORE, 0, 0, 0, "stackd's ports say what they forward" },
	{ 0 },
};

/* Blocks of mos.conf that say what stackd's own configuration says. */
static const char *const other_blocks[] = { "netdev", "arp_table", "route_table", "nic_forward_table" };

struct parser {
	const char *path;
	int line;
	struct shim_conf *conf;
	int depth;
	enum { IN_FLAT, IN_TOP, IN_MOS, IN_APP, IN_OTHER } in[4];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shim_conf shared;
static bool shared_set;

static void conf_default(struct shim_conf *c);
static int parse(FILE *f, const char *path, struct shim_conf *conf);
static int parse_line(struct parser *p, char *line);
static int open_block(struct parser *p, char *name);
static int set_key(struct parser *p, char *text);
static int store(struct parser *p, const struct key *k, void *base, const char *value);
static bool has_blocks(FILE *f);
static char *strip(char *s);
static void split_runs(struct shim_conf *c);

/* --- Public calls ------------------------------------------------------------------------------------------------------- */

int mtcp_init(const char *config_file)
{
	shim_text("%s", "");
	return config_file == NULL ? 0 : (int)shim_ret(conf_load(config_file));
}

int mtcp_getconf(struct mtcp_conf *conf)
{
	struct shim_conf *c = malloc(sizeof(*c));

	if (conf == NULL || c == NULL) {
		free(c);
		return (int)shim_ret(conf == NULL ? -EINVAL : -ENOMEM);
	}
	conf_get(c);
	conf->num_cores = c->num_cores;
	conf->max_concurrency = c->max_concurrency != 0 ? c->max_concurrency : CONF_CONCURRENCY;
	conf->max_num_buffers = c->max_num_buffers;
	conf->rcvbuf_size = c->rcvbuf;
	conf->sndbuf_size = c->sndbuf;
	conf->tcp_timewait = c->timewait_ms;
	conf->tcp_timeout = c->timeout_ms;
	free(c);
	return 0;
}

int mtcp_setconf(const struct mtcp_conf *conf)
{
	struct shim_conf *c = malloc(sizeof(*c));
	const char *why = NULL;
	int err = conf == NULL ? -EINVAL : c == NULL ? -ENOMEM : 0;

	if (err == 0) {
		const struct {
			int *to, from;
		} field[] = {
			{ &c->num_cores, conf->num_cores },     { &c->max_concurrency, conf->max_concurrency },
			{ &c->rcvbuf, conf->rcvbuf_size },      { &c->max_num_buffers, conf->max_num_buffers },
			{ &c->sndbuf, conf->sndbuf_size },      { &c->timewait_ms, conf->tcp_timewait },
			{ &c->timeout_ms, conf->tcp_timeout },
		};

		conf_get(c);
		for (size_t i = 0; i < sizeof(field) / sizeof(*field); i++) {
			if (field[i].from > 0)
				*field[i].to = field[i].from;
		}
		why = conf_check(c);
	}
	if (why != NULL) {
		shim_text("%s", why);
		err = -EINVAL;
	}
	if (err == 0)
		conf_set(c);
	free(c);
	return (int)shim_ret(err);
}

/* --- The settings ----------------------------------------------------------------------------------------------------------- */

void conf_get(struct shim_conf *out)
{
	pthread_mutex_lock(&lock);
	if (!shared_set)
		conf_default(&shared);
	shared_set = true;
	*out = shared;
	pthread_mutex_unlock(&lock);
}

void conf_set(const struct shim_conf *in)
{
	pthread_mutex_lock(&lock);
	shared = *in;
	shared_set = true;
	split_runs(&shared); /* argv points into this copy */
	pthread_mutex_unlock(&lock);
}

const struct shim_conf *conf_shared(void)
{
	return &shared;
}

static void conf_default(struct shim_conf *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*c = (struct shim_conf){
		.num_cores = cpus > 0 ? (int)cpus : 1,
		.max_num_buffers = 10000,
		.timeout_ms = 30000,
		.socket = "/run/stackd/stackd.sock",
	};
}

const char *conf_check(const struct shim_conf *c)
{
	if (c->num_cores < 1)
		return "num_cores must be above 0";
	if (c->max_concurrency < 0 || c->max_concurrency > SHIM_FDS_MAX)
		return "max_concurrency must be between 1 and 1048576";
	if (c->rcvbuf < 0 || c->sndbuf < 0)
		return "buffer sizes must not be negative";
	return NULL;
}

int conf_load(const char *path)
{
	struct shim_conf *conf = malloc(sizeof(*conf));
	FILE *f = fopen(path, "re");
	int err;

	if (f == NULL || conf == NULL) {
		err = f == NULL ? -errno : -ENOMEM;
		shim_text("%s: %s", path, strerror(-err));
		goto done;
	}
	conf_get(conf);
	conf->apps = 0;
	memset(conf->app, 0, sizeof(conf->app));
	err = parse(f, path, conf);
	if (err == 0 && conf_check(conf) != NULL) {
		shim_text("%s: %s", path, conf_check(conf));
		err = -EINVAL;
	}
	if (err == 0)
		conf_set(conf);
done:
	if (f != NULL)
		fclose(f);
	free(conf);
	return err;
}

/* --- Parsing ------------------------------------------------------------------------------------------------------------------ */

static int parse(FILE *f, const char *path, struct shim_conf *conf)
{
	struct parser p = { .path = path, .conf = conf };
	char line[LINE_SIZE];
	int err = 0;

	p.in[0] = has_blocks(f) ? IN_TOP : IN_FLAT;
	while (err == 0 && fgets(line, sizeof(line), f) != NULL) {
		p.line++;
		if (strchr(line, '\n') == NULL && !feof(f)) {
			shim_text("%s:%d: the line is too long", path, p.line);
			return -EINVAL;
		}
		line[strcspn(line, "#\r\n")] = '\0';
		err = parse_line(&p, line);
	}
	if (err == 0 && ferror(f)) { /* a folder, or a disk that fails */
		err = errno > 0 ? -errno : -EIO;
		shim_text("%s: %s", path, strerror(-err));
	}
	if (err == 0 && p.depth > 0) {
		shim_text("%s: a block is not closed", path);
		err = -EINVAL;
	}
	return err;
}

static bool has_blocks(FILE *f)
{
	char line[LINE_SIZE];
	bool found = false;

	while (!found && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "#")] = '\0';
		found = strpbrk(line, "{}") != NULL;
	}
	rewind(f);
	return found;
}

/* A line may hold several of: NAME {   }   KEY = VALUE; braces end what stands before them. */
static int parse_line(struct parser *p, char *line)
{
	int err = 0;

	while (err == 0 && *(line = strip(line)) != '\0') {
		char *brace = p->in[0] == IN_FLAT ? NULL : strpbrk(line, "{}");
		char which = brace != NULL ? *brace : '\0';

		if (brace != NULL)
			*brace = '\0';
		if (which == '{') {
			err = open_block(p, strip(line));
		} else {
			char *text = strip(line);

			if (*text != '\0')
				err = set_key(p, text);
			if (err == 0 && which == '}' && p->depth-- == 0) {
				shim_text("%s:%d: there is no block to close", p->path, p->line);
				err = -EINVAL;
			}
		}
		if (brace == NULL)
			break;
		line = brace + 1;
	}
	return err;
}

static int open_block(struct parser *p, char *name)
{
	int in = -1;

	if (p->in[p->depth] == IN_TOP && strcmp(name, "mos") == 0)
		in = IN_MOS;
	else if (p->in[p->depth] == IN_TOP && strcmp(name, "application") == 0)
		in = IN_APP;
	for (size_t i = 0; i < sizeof(other_blocks) / sizeof(*other_blocks) && p->in[p->depth] == IN_MOS; i++) {
		if (strcmp(name, other_blocks[i]) == 0)
			in = IN_OTHER;
	}
	if (in < 0 || p->depth == 3) {
		shim_text("%s:%d: unknown block `%s'", p->path, p->line, name);
		return -EINVAL;
	}
	if (in == IN_APP && p->conf->apps == CONF_APPS) {
		shim_text("%s:%d: more than %d application blocks", p->path, p->line, CONF_APPS);
		return -EINVAL;
	}
	p->conf->apps += in == IN_APP;
	if (in == IN_OTHER)
		shim_notice("%s:%d: block `%s' is ignored: stackd's configuration says it", p->path, p->line, name);
	p->in[++p->depth] = in;
	return 0;
}

static int set_key(struct parser *p, char *text)
{
	int in = p->in[p->depth];
	const struct key *k = in == IN_FLAT ? flat_keys : in == IN_MOS ? mos_keys : in == IN_APP ? app_keys : NULL;
	void *base = in == IN_APP ? (void *)&p->conf->app[p->conf->apps - 1] : (void *)p->conf;
	char *value = strchr(text, '=');

	if (in == IN_OTHER)
		return 0;
	if (value == NULL || k == NULL) {
		shim_text("%s:%d: `%s' is no `key = value'", p->path, p->line, text);
		return -EINVAL;
	}
	*value++ = '\0';
	text = strip(text);
	value = strip(value);
	while (k->name != NULL && strcmp(k->name, text) != 0)
		k++;
	if (k->name == NULL) {
		shim_text("%s:%d: unknown key `%s'", p->path, p->line, text);
		return -EINVAL;
	}
	return store(p, k, base, value);
}

static int store(struct parser *p, const struct key *k, void *base, const char *value)
{
	char *to = (char *)base + k->off, *end;
	unsigned long long mask;
	long n;
	int i;

	switch (k->take) {
	case IGNORE:
		shim_notice("%s:%d: `%s' is ignored: %s", p->path, p->line, k->name, k->why);
		return 0;
	case TEXT:
		if (strlen(value) >= k->size)
			break;
		strcpy(to, value);
		return 0;
	case MASK:
		errno = 0;
		mask = strtoull(value, &end, 16);
		if (errno != 0 || end == value || *end != '\0')
			break;
		memcpy(to, &(uint64_t){ mask }, sizeof(uint64_t));
		return 0;
	default:
		errno = 0;
		n = strtol(value, &end, 0);
		if (errno != 0 || end == value || *end != '\0' || n < k->min || n > INT_MAX / 1000)
			break;
		i = k->take == SECONDS && n > 0 ? (int)n * 1000 : (int)n;
		memcpy(to, &i, sizeof(i));
		return 0;
	}
	shim_text("%s:%d: `%s' cannot be `%s'", p->path, p->line, k->name, value);
	return -EINVAL;
}

static char *strip(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

/* --- Words ---------------------------------------------------------------------------------------------------------------------- */

static void split_runs(struct shim_conf *c)
{
	for (int i = 0; i < c->apps; i++) {
		strcpy(c->app[i].words, c->app[i].run);
		c->app[i].argc = words_split(c->app[i].words, c->app[i].argv, CONF_ARGS);
	}
}

int words_split(char *s, char **argv, int max)
{
	int n = 0;

	while (n < max - 1) {
		char quote = '\0';
		char *to;

		while (isspace((unsigned char)*s))
			s++;
		if (*s == '\0')
			break;
		argv[n++] = to = s;
		for (; *s != '\0' && (quote != '\0' || !isspace((unsigned char)*s)); s++) {
			if (*s == quote)
				quote = '\0';
			else if (quote == '\0' && *s == '"')
				quote = *s;
			else
				*to++ = *s;
		}
		if (*s != '\0')
			s++;
		*to = '\0';
	}
	if (max > 0)
		argv[n] = NULL;
	return n;
}
