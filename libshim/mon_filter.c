/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Filters: checked against the grammar of mOS, compiled by libpcap here, run by stackd.
 *
 * libpcap is loaded when the first filter comes: it brings a dozen libraries along, and programs without monitors shall not pay.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "libshim/mon.h"

enum { SNAPLEN = 65535, TEXT_MAX = 4096, PIECE = sizeof(((struct ctl_mon_filter *)0)->insn) / sizeof(struct mon_insn) };

static const char *const plain[] = { "tcp", "src", "dst", "not", "and", "or" };
static const char *const with_arg[] = { "host", "net", "mask", "port", "portrange" };

static struct {
	pcap_t *(*open_dead)(int linktype, int snaplen);
	int (*compile)(pcap_t *p, struct bpf_program *fp, const char *str, int optimize, bpf_u_int32 netmask);
	char *(*geterr)(pcap_t *p);
	void (*freecode)(struct bpf_program *fp);
	void (*close)(pcap_t *p);
} lib;
static pthread_once_t lib_once = PTHREAD_ONCE_INIT;

static int take(struct mon_watch *w, unsigned which, const char *text);

/* A NULL filter, or a NULL or empty string in it: everything matches. */
static int bind_filter(struct shim_ctx *c, int sock, const union monitor_filter *ft)
{
	int err = 0;
	struct mon_base *b = mon_get(c, sock, &err);

	if (b == NULL)
		return err == -ENOTSOCK ? -ENOPROTOOPT : err;
	if (b->s.kind != KIND_WATCH)
		return -ENOPROTOOPT;
	if (c->down)
		return -ESHUTDOWN;
	if (watch_of(b)->raw)
		return take(watch_of(b), MON_FILTER_RAW, ft != NULL ? ft->raw_pkt_filter : NULL);
	err = take(watch_of(b), MON_FILTER_SYN, ft != NULL ? ft->stream_syn_filter : NULL);
	return err != 0 ? err : take(watch_of(b), MON_FILTER_ORPHAN, ft != NULL ? ft->stream_orphan_filter : NULL);
}

int mtcp_bind_monitor_filter(mctx_t mctx, int sock, monitor_filter_t ft)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, bind_filter(c, sock, ft));
}

/* --- The grammar of stream filters -------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(word, list[i]) == 0)
			return true;
	}
	return false;
}

static bool is_arg(const char *word)
{
	for (const char *p = word; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr(".:/-_", *p) == NULL)
			return false;
	}
	return true;
}

/* Words between spaces: keywords, some with one argument.  `not tcp' would match nothing that a flow could be. */
static int check_stream(const char *text)
{
	char copy[TEXT_MAX], *save = NULL, *word;
	const char *before = "";
	bool want_arg = false;

	strcpy(copy, text);
	for (word = strtok_r(copy, " \t\r\n", &save); word != NULL; word = strtok_r(NULL, " \t\r\n", &save)) {
		bool key = is_one_of(word, plain, sizeof(plain) / sizeof(*plain));

		if (want_arg ? !is_arg(word) : !key && !is_one_of(word, with_arg, sizeof(with_arg) / sizeof(*with_arg))) {
			shim_text("stream filters have no `%s': they consist of tcp, src, dst, not, and, or, and host, net, mask, port, "
				  "portrange with one argument",
				  word);
			return -EINVAL;
		}
		if (!want_arg && strcmp(word, "tcp") == 0 && strcmp(before, "not") == 0) {
			shim_text("stream filters are of TCP: `not tcp' would match nothing");
			return -EINVAL;
		}
		want_arg = !want_arg && !key;
		before = want_arg || key ? word : "";
	}
	if (want_arg) {
		shim_text("`%s' lacks its argument", before);
		return -EINVAL;
	}
	return 0;
}

/* --- libpcap -------------------------------------------------------------------------------------------------------------------- */

static void lib_load(void)
{
	static const char *const names[] = { "libpcap.so.0.8", "libpcap.so.1", "libpcap.so" };
	void *dl = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && dl == NULL; i++)
		dl = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (dl == NULL)
		return;
	*(void **)&lib.open_dead = dlsym(dl, "pcap_open_dead");
	*(void **)&lib.compile = dlsym(dl, "pcap_compile");
	*(void **)&lib.geterr = dlsym(dl, "pcap_geterr");
	*(void **)&lib.freecode = dlsym(dl, "pcap_freecode");
	*(void **)&lib.close = dlsym(dl, "pcap_close");
}

/* 0 and *count instructions on the heap. */
static int compile(const char *text, struct mon_insn **out, unsigned *count)
{
	struct bpf_program prog;
	pcap_t *p;
	int err = 0;

	pthread_once(&lib_once, lib_load);
	if (lib.open_dead == NULL || lib.compile == NULL || lib.geterr == NULL || lib.freecode == NULL || lib.close == NULL) {
		shim_text("filters need libpcap (libpcap.so.0.8 or libpcap.so.1), which is not installed");
		return -ELIBACC;
	}
	p = lib.open_dead(DLT_EN10MB, SNAPLEN);
	if (p == NULL)
		return -ENOMEM;
	if (lib.compile(p, &prog, text, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		shim_text("%s", lib.geterr(p));
		lib.close(p);
		return -EINVAL;
	}
	*count = prog.bf_len;
	if (prog.bf_len > MON_FILTER_MAX) {
		shim_text("the filter has %u instructions, more than %d", prog.bf_len, MON_FILTER_MAX);
		err = -EINVAL;
	} else if ((*out = malloc(prog.bf_len * sizeof(**out))) == NULL) {
		err = -ENOMEM;
	}
	for (unsigned i = 0; err == 0 && i < prog.bf_len; i++) {
		const struct bpf_insn *in = &prog.bf_insns[i];

		(*out)[i] = (struct mon_insn){ in->code, in->jt, in->jf, in->k };
	}
	lib.freecode(&prog);
	lib.close(p);
	return err;
}

/* --- To stackd ------------------------------------------------------------------------------------------------------------------- */

static int send_filter(struct mon_watch *w, unsigned which, const struct mon_insn *insn, unsigned total)
{
	unsigned first = 0;
	int err;

	do {
		struct ctl_mon_filter m = { .sock = w->no, .which = (uint16_t)which, .first = (uint16_t)first,
					    .total = (uint16_t)total };

		m.count = (uint16_t)(total - first < PIECE ? total - first : PIECE);
		if (m.count > 0)
			memcpy(m.insn, insn + first, m.count * sizeof(*insn));
		err = ctl_call(w->b.mon->c, CTL_MON_FILTER, &m, sizeof(m), NULL);
		first += m.count;
	} while (err == 0 && first < total);
	if (err == -EINVAL)
		shim_text("stackd refuses the compiled filter");
	if (err == -E2BIG)
		shim_text("the filters of this user would take too long: see `max_filter_steps' under `clients' in stackd's configuration");
	return err;
}

static int take(struct mon_watch *w, unsigned which, const char *text)
{
	struct mon_insn *insn = NULL;
	unsigned n = 0;
	int err = 0;

	if (text != NULL)
		text += strspn(text, " \t\r\n");
	if (text != NULL && *text != '\0') {
		if (strlen(text) >= TEXT_MAX) {
			shim_text("a filter has at most %d characters", TEXT_MAX - 1);
			return -EINVAL;
		}
		if (which != MON_FILTER_RAW)
			err = check_stream(text);
		if (err == 0)
			err = compile(text, &insn, &n);
	}
	if (err == 0)
		err = send_filter(w, which, insn, n);
	free(insn);
	return err;
}
