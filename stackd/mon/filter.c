/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Filters: classic BPF over the Ethernet frame.
 *
 * Programs come from clients, so they are checked here before anything runs them.  libpcap's bpf_validate() is not enough: it lets
 * backward jumps pass (a loop without end), opcodes for which bpf_filter() calls abort(), and reads of scratch memory that was never
 * written (stackd's stack, one bit at a time).
 *
 * Two machines run them, with equal results:
 *
 *   libpcap's interpreter   every filter of a client.  They come when stackd has given up making memory executable (priv_filter.c),
 *                           and without that DPDK's interpreter is all that DPDK has.  It takes twice the time of libpcap's.
 *   DPDK's compiler         scopes, which the configuration names and which are compiled before; where EAL is up.  Its verifier walks
 *                           every path (24 branches in a row: 0.8 s), so programs with many paths are interpreted.
 *
 * Measured on one machine, "net 10.0.0.0/8 or net 192.168.0.0/16 and (port 80 or port 443 or port 8080)" over a TCP frame: libpcap
 * 22 ns, DPDK interpreted 38 ns, DPDK compiled 11 ns.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_bpf_convert */
#include <pcap/pcap.h>

#include <errno.h>
#include <rte_bpf.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/mon.h"
#include "stackd/nic/nic.h"

enum {
	PATH_STEPS_MAX = 20000, /* of DPDK's verifier: milliseconds */
	SNAPLEN = 262144,       /* of expressions: all of any frame */
};

struct mon_filter {
	struct rte_bpf *bpf;         /* NULL: interpreted */
	uint64_t (*run)(void *mbuf); /* its code */
	unsigned count;
	struct bpf_insn insn[];
};

static_assert(sizeof(struct bpf_insn) == sizeof(struct mon_insn), "one layout");
static_assert(offsetof(struct bpf_insn, k) == offsetof(struct mon_insn, k), "one layout");

static struct mon_filter *filter_new(const struct bpf_insn *insn, unsigned count);
static void filter_compile(struct mon_filter *f);

struct mon_filter *mon_filter_make(const struct mon_insn *insn, unsigned count)
{
	struct bpf_insn *copy;
	struct mon_filter *f;

	if (count == 0 || count > MON_FILTER_MAX) {
		errno = EINVAL;
		return NULL;
	}
	copy = calloc(count, sizeof(*copy));
	if (copy == NULL)
		return NULL;
	for (unsigned i = 0; i < count; i++)
		copy[i] = (struct bpf_insn){ insn[i].code, insn[i].jt, insn[i].jf, insn[i].k };
	f = filter_new(copy, count);
	free(copy);
	return f;
}

struct mon_filter *mon_filter_compile(const char *expression, char *why, size_t why_size)
{
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, SNAPLEN);
	struct mon_filter *f = NULL;
	struct bpf_program p;

	if (dead == NULL) {
		snprintf(why, why_size, "no memory");
		errno = ENOMEM;
		return NULL;
	}
	if (pcap_compile(dead, &p, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		snprintf(why, why_size, "%s", pcap_geterr(dead));
		pcap_close(dead);
		errno = EINVAL;
		return NULL;
	}
	f = filter_new(p.bf_insns, p.bf_len);
	pcap_freecode(&p);
	pcap_close(dead);
	if (f == NULL)
		snprintf(why, why_size, "%s", errno == EINVAL ? "it is too long, or needs a loop (protochain)" : strerror(errno));
	else
		filter_compile(f);
	return f;
}

void mon_filter_free(struct mon_filter *f)
{
	if (f == NULL)
		return;
	rte_bpf_destroy(f->bpf);
	free(f);
}

bool mon_filter_match(const struct mon_filter *f, const struct pkt *p)
{
	return f == NULL || mon_filter_match_bytes(f, p->data, p->len);
}

bool mon_filter_match_bytes(const struct mon_filter *f, const uint8_t *frame, uint32_t len)
{
	/* only what the compiled code looks at */
	struct rte_mbuf m = {
		.buf_addr = (void *)(uintptr_t)frame,
		.data_len = (uint16_t)len,
		.pkt_len = len,
		.nb_segs = 1,
	};

	if (f == NULL)
		return true;
	if (f->run == NULL || len > UINT16_MAX)
		return bpf_filter(f->insn, frame, len, len) != 0;
	return (uint32_t)f->run(&m) != 0;
}

/* --- Checking ----------------------------------------------------------------------------------------------------- */

/* What bpf_filter() knows; it aborts on anything else. */
static bool is_known(uint16_t code)
{
	switch (code) {
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_B | BPF_MSH:
	case BPF_LDX | BPF_IMM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
	case BPF_JMP | BPF_JA:
	case BPF_ALU | BPF_NEG:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
		return true;
	}
	code &= (uint16_t)~BPF_X;
	if (BPF_CLASS(code) == BPF_JMP)
		return code == (BPF_JMP | BPF_JEQ) || code == (BPF_JMP | BPF_JGT) || code == (BPF_JMP | BPF_JGE) ||
		       code == (BPF_JMP | BPF_JSET);
	return BPF_CLASS(code) == BPF_ALU && BPF_OP(code) <= BPF_XOR && BPF_OP(code) != BPF_NEG && code < 0x100;
}

static bool is_sound(const struct bpf_insn *p, unsigned left)
{
	if (!is_known(p->code))
		return false;
	if (p->code == (BPF_JMP | BPF_JA))
		return p->k < left;
	if (p->code == (BPF_ALU | BPF_LSH | BPF_K) || p->code == (BPF_ALU | BPF_RSH | BPF_K))
		return p->k < 32;
	return true;
}

/* Where control goes from instruction i, which is no RET: one place or two. */
static unsigned edges(const struct bpf_insn *p, unsigned i, unsigned to[2])
{
	to[0] = i + 1;
	if (BPF_CLASS(p->code) != BPF_JMP)
		return 1;
	if (BPF_OP(p->code) == BPF_JA) {
		to[0] += p->k;
		return 1;
	}
	to[1] = i + 1 + p->jf;
	to[0] += p->jt;
	return 2;
}

static bool reads_memory(const struct bpf_insn *p)
{
	return p->code == (BPF_LD | BPF_MEM) || p->code == (BPF_LDX | BPF_MEM);
}

/* On every way to a word of scratch memory that is read, it has been written.  Jumps go forward only, so one pass tells. */
static bool memory_is_written(const struct bpf_insn *insn, unsigned count)
{
	uint16_t written[MON_FILTER_MAX];
	unsigned to[2];

	memset(written, 0xff, sizeof(written)); /* never reached */
	written[0] = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct bpf_insn *p = &insn[i];
		uint16_t now = written[i];

		if (reads_memory(p) && (now >> p->k & 1) == 0)
			return false;
		if (p->code == BPF_ST || p->code == BPF_STX)
			now |= (uint16_t)(1u << p->k);
		if (BPF_CLASS(p->code) == BPF_RET)
			continue;
		for (unsigned n = edges(p, i, to); n > 0; n--)
			written[to[n - 1]] &= now;
	}
	return true;
}

static bool is_program(const struct bpf_insn *insn, unsigned count)
{
	if (count == 0 || count > MON_FILTER_MAX)
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (!is_sound(&insn[i], count - i - 1))
			return false;
	}
	return bpf_validate(insn, (int)count) != 0 && memory_is_written(insn, count);
}

static struct mon_filter *filter_new(const struct bpf_insn *insn, unsigned count)
{
	struct mon_filter *f;

	if (!is_program(insn, count)) {
		errno = EINVAL;
		return NULL;
	}
	f = calloc(1, sizeof(*f) + count * sizeof(f->insn[0]));
	if (f == NULL)
		return NULL;
	f->count = count;
	memcpy(f->insn, insn, count * sizeof(f->insn[0]));
	return f;
}

unsigned mon_filter_steps(const struct mon_filter *f)
{
	unsigned before[MON_FILTER_MAX] = { 0 }, most = 0, to[2]; /* jumps go forward only */

	for (unsigned i = 0; i < f->count; i++) {
		unsigned here = before[i] + 1;

		if (BPF_CLASS(f->insn[i].code) == BPF_RET) {
			most = here > most ? here : most;
			continue;
		}
		for (unsigned n = edges(&f->insn[i], i, to); n > 0; n--) {
			if (here > before[to[n - 1]])
				before[to[n - 1]] = here;
		}
	}
	return most;
}

/* --- Compiling ---------------------------------------------------------------------------------------------------- */

/* Instructions on all ways through the program together. */
static uint64_t path_steps(const struct mon_filter *f)
{
	uint64_t ways[MON_FILTER_MAX] = { 1 }, steps = 0;
	unsigned to[2];

	for (unsigned i = 0; i < f->count && steps <= PATH_STEPS_MAX; i++) {
		steps += ways[i];
		if (BPF_CLASS(f->insn[i].code) == BPF_RET)
			continue;
		for (unsigned n = edges(&f->insn[i], i, to); n > 0; n--)
			ways[to[n - 1]] += ways[i];
	}
	return steps;
}

/* Where the two machines agree: offsets are below 2^31 and do not come from the frame but for the length of its IP header; no shift is
 * by a register. */
static bool is_plain(const struct mon_filter *f)
{
	for (unsigned i = 0; i < f->count; i++) {
		const struct bpf_insn *p = &f->insn[i];

		switch (p->code) {
		case BPF_MISC | BPF_TAX:
		case BPF_LDX | BPF_MEM:
		case BPF_LDX | BPF_W | BPF_LEN:
		case BPF_ALU | BPF_LSH | BPF_X:
		case BPF_ALU | BPF_RSH | BPF_X:
			return false;
		case BPF_JMP | BPF_JSET | BPF_K:
			if ((int32_t)p->k == (int8_t)p->k) /* its code would be wrong (DPDK 22.11) */
				return false;
			break;
		}
		if ((BPF_CLASS(p->code) == BPF_LD || BPF_CLASS(p->code) == BPF_LDX) && p->code != (BPF_LD | BPF_IMM) &&
		    p->k > UINT16_MAX)
			return false;
	}
	return true;
}

/* rte_bpf_convert() of DPDK 22.11 forgets the index register in loads of bytes and words by index. */
static void convert_mend(const struct rte_bpf_prm *prm)
{
	struct ebpf_insn *insn = (struct ebpf_insn *)(uintptr_t)prm->ins;

	for (uint32_t i = 0; i < prm->nb_ins; i++) {
		if (BPF_CLASS(insn[i].code) == BPF_LD && BPF_MODE(insn[i].code) == BPF_IND)
			insn[i].src_reg = EBPF_REG_7;
	}
}

/* Where this does not work out, the program is interpreted. */
static void filter_compile(struct mon_filter *f)
{
	struct bpf_program p = { f->count, f->insn };
	struct rte_bpf_jit jit = { .func = NULL };
	struct rte_bpf_prm *prm;

	if (!nic_eal_ready() || !is_plain(f) || path_steps(f) > PATH_STEPS_MAX)
		return;
	prm = rte_bpf_convert(&p);
	if (prm == NULL)
		return;
	convert_mend(prm);
	f->bpf = rte_bpf_load(prm);
	rte_free(prm);
	if (f->bpf != NULL && rte_bpf_get_jit(f->bpf, &jit) == 0)
		f->run = jit.func;
}
