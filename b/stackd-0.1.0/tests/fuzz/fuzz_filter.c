/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Filters as clients send them: any instructions over any frame.  What is accepted must end, must read nothing but the frame, and must
 * say what bpf_filter() says.
 */
#include "stackd/mon/filter.c"

#include "tests/fuzz/drive.h"

enum { INSNS = 64 };

/* DPDK's compiler is not for clients' programs, and wants EAL. */
bool nic_eal_ready(void)
{
	return false;
}

/* The next opcode from here on that there is. */
static uint16_t known_from(uint16_t code)
{
	while (!is_known(code))
		code = (uint16_t)((code + 1) % 256);
	return code;
}

static struct mon_insn insn_of(struct feed *f, unsigned left)
{
	struct mon_insn i = { .code = feed_byte(f), .jt = feed_byte(f), .jf = feed_byte(f) };
	uint8_t how = feed_byte(f);

	i.k = how < 16 ? feed_u32(f) : how / 4u;
	if (how < 250) { /* mostly what may be */
		i.code = known_from(i.code);
		i.jt %= left > 0 ? left : 1;
		i.jf %= left > 0 ? left : 1;
		if (i.code == (BPF_JMP | BPF_JA))
			i.k %= left > 0 ? left : 1;
		if (BPF_MODE(i.code) == BPF_MEM || i.code == BPF_ST || i.code == BPF_STX)
			i.k %= 2;
	}
	return i;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, data + size };
	struct mon_insn insn[INSNS];
	unsigned count = 1 + feed_byte(&f) % INSNS;
	struct mon_filter *filter;
	uint8_t *frame;
	uint32_t len;

	for (unsigned i = 0; i < count; i++)
		insn[i] = insn_of(&f, count - i - 1);
	if (feed_byte(&f) % 16 != 0)
		insn[count - 1].code = BPF_RET | BPF_A;
	if (feed_byte(&f) % 4 != 0 && count > 3) { /* all that is read has been written */
		insn[0] = (struct mon_insn){ .code = BPF_ST, .k = 0 };
		insn[1] = (struct mon_insn){ .code = BPF_STX, .k = 1 };
	}
	filter = mon_filter_make(insn, count);
	if (filter == NULL)
		return 0;
	len = (uint32_t)(f.end - f.at);
	frame = malloc(len > 0 ? len : 1); /* exactly so long: a sanitizer sees who reads beyond */
	memcpy(frame, f.at, len);
	if (mon_filter_match_bytes(filter, frame, len) != (bpf_filter(filter->insn, frame, len, len) != 0))
		abort();
	(void)path_steps(filter);
	free(frame);
	mon_filter_free(filter);
	return 0;
}

DRIVE_MAIN("filter", 20000, 512)
