/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Lines of scripts: when, for which connection, what.
 */
#include "tests/trace/trace.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

static bool take_when(struct run *r, struct cursor *c);
static bool take_time(struct cursor *c, uint64_t *us);
static bool perform(struct run *r, struct end *e, struct cursor *c);
static void on_let_go(void *arg, struct tcp_conn *c);
static void tell_line(struct run *r, const struct end *e, const char *what);

static const struct tcp_conf *conf_wanted;
static void (*host_let_go)(void *arg, struct tcp_conn *c);
static struct run *running;

void run_begin(struct run *r, bool six)
{
	memset(r, 0, sizeof(*r));
	r->six = six;
	tcp_conf_default(&r->conf);
	r->conf.max_conns = HOST_CONNS;
	for (unsigned i = 0; i < ENDS; i++) {
		r->end[i].port = SERVER_PORT;
		r->end[i].peer_port = (uint16_t)(FIRST_PORT + i);
		r->end[i].peer_iss = 0xfffffc00 - 0x01000000 * i; /* that of c0 wraps after a kilobyte */
		r->end[i].wnd = 65535;
	}
}

static void take_conf(struct tcp_conf *conf)
{
	uint8_t secret[sizeof(conf->secret)];

	memcpy(secret, conf->secret, sizeof(secret));
	*conf = *conf_wanted;
	memcpy(conf->secret, secret, sizeof(secret));
}

bool run_start(struct run *r)
{
	if (r->started)
		return true;
	r->started = true;
	conf_wanted = &r->conf;
	host_start(&r->h, 1, take_conf);
	r->h.auto_accept = false;
	r->h.net.addr = run_addr(r, 1);
	if (r->six)
		r->h.net.mtu = MTU_IP6;
	host_let_go = r->h.tcp->hooks.let_go;
	r->h.tcp->hooks.let_go = on_let_go;
	running = r;
	r->start_us = r->h.now_us;
	return true;
}

void run_end(struct run *r)
{
	struct pkt *p;

	if (!r->started)
		return;
	if (!r->failed)
		(void)wire_silent(r);
	for (unsigned i = 0; i < ENDS; i++)
		if (r->end[i].prog != NULL)
			host_close(&r->h, r->end[i].prog, 0);
	while ((p = host_sent(&r->h)) != NULL)
		nic_free(p);
	r->h.net.no_buffer = r->h.net.no_route = false;
	if (r->h.listener != NULL)
		(void)tcp_listener_gone(r->h.tcp, r->h.listener, UINT32_MAX);
	(void)tcp_owner_gone(r->h.tcp, &r->h.owner, true, UINT32_MAX);
	for (unsigned i = 0; i < LEAVING; i++) {
		if (r->leaving[i] != NULL)
			bytes_clear(&r->leaving[i]->tx, &r->h.tx_pool);
		free(r->leaving[i]);
	}
	host_stop(&r->h);
	r->started = false;
}

/* The program's record goes: host's hook frees it. */
static void on_let_go(void *arg, struct tcp_conn *c)
{
	for (unsigned i = 0; i < ENDS; i++) {
		if (running->end[i].prog != NULL && running->end[i].prog == c->user) {
			end_note(running, &running->end[i]);
			running->end[i].prog = NULL;
		}
	}
	for (unsigned i = 0; i < LEAVING; i++)
		if (running->leaving[i] == c->user)
			running->leaving[i] = NULL;
	host_let_go(arg, c);
}

struct ipaddr run_addr(const struct run *r, uint8_t last_byte)
{
	return r->six ? ip6(last_byte) : ip4(last_byte);
}

uint64_t run_now(const struct run *r)
{
	return r->h.now_us - r->start_us;
}

void run_settle(struct run *r)
{
	host_settle(&r->h);
	for (unsigned i = 0; i < ENDS; i++)
		end_note(r, &r->end[i]);
}

bool wrong(struct run *r, const char *fmt, ...)
{
	int n = snprintf(r->why, sizeof(r->why), "%s:%u: ", r->file, r->line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why + n, sizeof(r->why) - (size_t)n, fmt, ap);
	va_end(ap);
	r->failed = true;
	return false;
}

bool run_line(struct run *r, const char *file, unsigned line, const char *text)
{
	struct cursor c = { text };
	struct end *e = &r->end[1];
	const char *what;

	r->file = file;
	r->line = line;
	r->text = text;
	if (at_end(&c))
		return true;
	if (word(&c, "ipv4") || word(&c, "ipv6"))
		r->passed_over = (c.at[-1] == '6') != r->six;
	if (r->passed_over || at_end(&c))
		return true;
	if (word(&c, "option"))
		return r->started ? wrong(r, "options come first") : option_set(r, &c);
	if (!run_start(r) || !take_when(r, &c))
		return wrong(r, "no such time: %s", text);
	if (c.at[0] == 'c' && isdigit((unsigned char)c.at[1]) && isspace((unsigned char)c.at[2])) {
		e = &r->end[c.at[1] - '0'];
		c.at += 2;
	}
	what = c.at;
	r->called = false;
	if (!perform(r, e, &c))
		return false;
	if (r->record)
		tell_line(r, e, what);
	return at_end(&c) ? true : wrong(r, "not understood: %s", c.at);
}

/* Of a call also what it returned, whatever the script expects. */
static void tell_line(struct run *r, const struct end *e, const char *what)
{
	char text[256];
	size_t n = strcspn(what, "=#");

	if (!r->called) {
		run_tell(r, r->clock_us, e, what);
		return;
	}
	while (n > 0 && isspace((unsigned char)what[n - 1]))
		n--;
	snprintf(text, sizeof(text), "%.*s = %s", (int)n, what, r->returned);
	run_tell(r, r->clock_us, e, text);
}

/* A line as it should stand behind those that were printed. */
void run_tell(struct run *r, uint64_t at_us, const struct end *e, const char *what)
{
	uint64_t us = at_us > r->told_us ? at_us - r->told_us : 0;
	char text[32];

	snprintf(text, sizeof(text), "+%.6f", (double)us / 1e6);
	for (size_t n = strlen(text); text[n - 1] == '0' || text[n - 1] == '.'; n = strlen(text)) {
		bool dot = text[n - 1] == '.';

		text[n - 1] = '\0';
		if (dot)
			break;
	}
	printf("%s\t", text[1] == '0' && text[2] == '.' ? (text[1] = '+', text + 1) : text);
	if (e != &r->end[1])
		printf("c%u ", (unsigned)(e - r->end));
	printf("%s\n", what + strspn(what, " \t"));
	r->told_us = at_us;
}

static bool perform(struct run *r, struct end *e, struct cursor *c)
{
	if (take_char(c, '>'))
		return wire_expect(r, e, c);
	if (!r->burst) {
		do {
			run_wait(r);
		} while (r->record && r->h.net.head != NULL && wire_silent(r));
		if (!wire_silent(r))
			return false;
	}
	r->burst = false;
	if (take_char(c, '<')) {
		r->burst = *c->at == '&' && take_char(c, '&');
		return wire_inject(r, e, c, r->burst);
	}
	if (word(c, "nothing"))
		return true;
	return call(r, e, c);
}

/* --- Time ------------------------------------------------------------------------------------------------------------- */

/* +1.5 after the event before, +1~+2 between, 3.0 from the start, * at any time; nothing: +0. */
static bool take_when(struct run *r, struct cursor *c)
{
	uint64_t us, base;
	bool plus;

	r->any_time = take_char(c, '*');
	r->from_us = r->to_us = r->clock_us;
	if (r->any_time)
		return true;
	plus = take_char(c, '+');
	base = plus ? r->clock_us : 0;
	if (!plus && !isdigit((unsigned char)*c->at))
		return true;
	if (!take_time(c, &us))
		return false;
	r->from_us = r->to_us = base + us;
	if (!take_char(c, '~'))
		return true;
	if (take_char(c, '+') != plus || !take_time(c, &us))
		return false;
	r->to_us = base + us;
	return r->to_us >= r->from_us;
}

/* Seconds, as 2 or .25 or 0.000001; or days, as 24d. */
static bool take_time(struct cursor *c, uint64_t *us)
{
	uint64_t unit = 100000;
	const char *from = c->at;

	for (*us = 0; isdigit((unsigned char)*c->at); c->at++)
		*us = *us * 10 + (uint64_t)(*c->at - '0');
	if (*c->at == 'd' && c->at > from) {
		c->at++;
		*us *= UINT64_C(86400) * 1000000;
		return true;
	}
	*us *= 1000000;
	if (*c->at == '.')
		for (c->at++; isdigit((unsigned char)*c->at); c->at++, unit /= 10)
			*us += (uint64_t)(*c->at - '0') * unit;
	return c->at > from && (*c->at == '~' || *c->at == '\0' || isspace((unsigned char)*c->at));
}

/* The clock goes on to the time of this line, unless something is sent before. */
void run_wait(struct run *r)
{
	uint64_t end = r->start_us + r->to_us, next;

	run_settle(r);
	while (r->h.net.head == NULL && (next = host_next(&r->h)) <= end) {
		if (next > r->h.now_us)
			r->h.now_us = next;
		run_settle(r);
	}
	if (r->h.net.head != NULL)
		return;
	if (end > r->h.now_us)
		r->h.now_us = end;
	r->clock_us = r->to_us;
	run_settle(r);
}

/* --- Words ------------------------------------------------------------------------------------------------------------ */

static void skip(struct cursor *c)
{
	while (isspace((unsigned char)*c->at))
		c->at++;
}

bool at_end(const struct cursor *c)
{
	const char *p = c->at;

	while (isspace((unsigned char)*p))
		p++;
	return *p == '\0' || *p == '#' || (p[0] == '/' && p[1] == '/');
}

bool take_char(struct cursor *c, char ch)
{
	skip(c);
	if (*c->at != ch)
		return false;
	c->at++;
	return true;
}

static bool name_char(char ch)
{
	return isalnum((unsigned char)ch) || ch == '_' || ch == '-';
}

bool word(struct cursor *c, const char *w)
{
	size_t n = strlen(w);

	skip(c);
	if (strncmp(c->at, w, n) != 0 || name_char(c->at[n]))
		return false;
	c->at += n;
	return true;
}

bool take_name(struct cursor *c, char *name, size_t size)
{
	size_t n = 0;

	skip(c);
	for (; (name_char(*c->at) || *c->at == '.' || *c->at == '/') && n + 1 < size; c->at++)
		name[n++] = *c->at;
	name[n] = '\0';
	return n > 0;
}

bool take_number(struct cursor *c, int64_t *v)
{
	char *end;

	skip(c);
	if (!isdigit((unsigned char)*c->at) && !(*c->at == '-' && isdigit((unsigned char)c->at[1])))
		return false;
	*v = strtoll(c->at, &end, 0);
	c->at = end;
	return true;
}
