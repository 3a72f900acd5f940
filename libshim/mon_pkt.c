/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The packet that a round is about: looking at it, changing it, dropping it.
 *
 * It is read from the arena's log when first asked for.  Changes are made to this copy, so that later callbacks of the round see them, and
 * noted as a script that goes to stackd with the verdict.
 */
#include <errno.h>
#include <string.h>

#include "libshim/mon.h"

enum {
	LEAD = 2, /* so that what follows an Ethernet header is aligned */
	IP4_MIN = 20,
	IP6_HDR = 40,
	TCP_MIN = 20,
	HDR_MAX = 60, /* of IPv4, of TCP */
	ACTIONS = MOS_DROP | MOS_OVERWRITE | MOS_CHOMP | MOS_INSERT,
	REGIONS = MOS_ETH_HDR | MOS_IP_HDR | MOS_TCP_HDR | MOS_TCP_PAYLOAD,
	SUMS = MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM,
};

/* Where a region lies in the frame. */
struct part {
	uint32_t at, len;
};

static int edit(struct shim_mon *mon, uint32_t off, const void *data, uint32_t len, int option);

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* --- Reading ------------------------------------------------------------------------------------------------------------- */

uint8_t *pkt_frame(struct shim_mon *mon)
{
	return mon->pkt_buf + LEAD;
}

/* The offsets were stackd's when it wrote them; one that does not fit is a record that was overwritten. */
static bool fits(const struct mon_pkt *p, const uint8_t *f)
{
	uint32_t doff, l3 = p->l3_off, l4 = p->l4_off;

	if (p->len > MON_FRAME_MAX || l3 > p->len || l4 > p->len || p->text_off + (uint32_t)p->text_len > p->len)
		return false;
	if (p->ip_version == 4 && l3 + IP4_MIN > p->len)
		return false;
	if (p->ip_version == 6 && l3 + IP6_HDR > p->len)
		return false;
	if (l4 == 0)
		return true;
	if (l4 < l3 || l4 + TCP_MIN > p->len)
		return false;
	doff = (f[l4 + 12] >> 4) * 4u;
	return doff >= TCP_MIN && l4 + doff <= p->len && p->text_off >= l4;
}

static int no_packet(void)
{
	return shim_why(-ENODATA, "this event is about no packet");
}

int pkt_load(struct shim_mon *mon)
{
	struct mon_round *r = &mon->r;

	if (r->lane == NULL || (r->ev.flags & MEVF_PKT) == 0)
		return no_packet();
	if (r->have == PKT_UNREAD)
		r->have = mon_read_pkt(&r->lane->reader, r->ev.pkt, &r->pkt, pkt_frame(mon), MON_FRAME_MAX) == 0 &&
				  fits(&r->pkt, pkt_frame(mon)) ? PKT_HERE : PKT_GONE;
	return r->have == PKT_HERE ? 0 : shim_why(-ENODATA, "the packet is no longer kept: this monitor is too late");
}

static void tell(struct shim_mon *mon, struct pkt_info *out)
{
	const struct mon_pkt *p = &mon->r.pkt;
	uint8_t *f = pkt_frame(mon), *l4 = f + p->l4_off;

	memset(out, 0, sizeof(*out));
	out->cur_ts = (uint32_t)p->ts_us;
	out->in_ifidx = (int8_t)p->in_port;
	out->eth_len = (uint16_t)(p->len > UINT16_MAX ? UINT16_MAX : p->len);
	out->ethh = (struct ethhdr *)(void *)f;
	if (p->ip_version != 0) {
		uint8_t *l3 = f + p->l3_off;
		uint32_t ip_len = p->ip_version == 4 ? get16(l3 + 2) : get16(l3 + 4) + IP6_HDR;

		out->iph = (struct iphdr *)(void *)l3;
		out->ip_len = (uint16_t)ip_len;
	}
	if (p->l4_off == 0)
		return;
	out->tcph = (struct tcphdr *)(void *)l4;
	out->seq = get32(l4 + 4);
	out->ack_seq = get32(l4 + 8);
	out->window = (uint16_t)get16(l4 + 14);
	out->payload = f + p->text_off;
	out->payloadlen = p->text_len;
	out->offset = p->offset != UINT64_MAX ? p->offset : 0;
}

/* The socket must be one of ours.  0 or -errno. */
static int check(struct shim_mon *mon, int sock)
{
	int err;

	return mon_named(mon, sock, &err) != NULL ? 0 : -EBADF;
}

int mtcp_getlastpkt(mctx_t mctx, int sock, int side, struct pkt_info *pkt)
{
	struct shim_mon *mon = mon_enter(mctx);
	int err;

	(void)side;
	if (mon == NULL)
		return -1;
	err = check(mon, sock);
	if (err == 0)
		err = pkt_load(mon);
	if (err == 0 && pkt == NULL)
		err = -EINVAL;
	if (err == 0)
		tell(mon, pkt);
	return (int)shim_ret(err);
}

/* --- Changing -------------------------------------------------------------------------------------------------------------- */

/* May this packet be changed at all? */
static int changeable(struct shim_mon *mon)
{
	if (mon->r.lane == NULL || (mon->r.ev.flags & MEVF_PKT) == 0)
		return no_packet();
	if ((mon->r.ev.flags & MEVF_HELD) != 0)
		return 0;
	if (mon->right != MON_RIGHT_INLINE)
		return mon_passive();
	return shim_why(-EPERM, "nothing waits for this monitor here: the packet was seen on a tap, or is one of stackd's own programs', "
			"or has been decided on");
}

int mon_passive(void)
{
	return shim_why(-EPERM, "this user's monitors are passive: `monitor' under `clients' in stackd's configuration is not \"inline\"");
}

static bool is_one(int bits)
{
	return bits != 0 && (bits & (bits - 1)) == 0;
}

int mtcp_setlastpkt(mctx_t mctx, int sock, int side, off_t offset, byte *data, uint16_t datalen, int option)
{
	struct shim_mon *mon = mon_enter(mctx);
	int action = option & ACTIONS, region = option & REGIONS, err;

	(void)sock;
	(void)side;
	if (mon == NULL)
		return -1;
	err = changeable(mon);
	if (err != 0)
		return (int)shim_ret(err);
	if (offset < 0 || offset > UINT16_MAX || (option & ~(ACTIONS | REGIONS | SUMS)) != 0)
		return (int)shim_ret(-EINVAL);
	if (action == 0 ? (option & SUMS) == 0 || region != 0 : !is_one(action))
		return (int)shim_ret(-EINVAL);
	if (action == MOS_DROP) {
		mon->r.drop = true;
		return 0;
	}
	if (action != 0 && (!is_one(region) || (data == NULL && datalen > 0 && action != MOS_CHOMP)))
		return (int)shim_ret(-EINVAL);
	err = pkt_load(mon);
	return (int)shim_ret(err != 0 ? err : edit(mon, (uint32_t)offset, data, action != 0 ? datalen : 0, option));
}

int mtcp_cb_dropcurpkt(mctx_t mctx)
{
	struct shim_mon *mon = mon_enter(mctx);
	int err;

	if (mon == NULL)
		return -1;
	err = changeable(mon);
	if (err == 0)
		mon->r.drop = true;
	return (int)shim_ret(err);
}

/* 0, or -EINVAL: the packet has no such part. */
static int part_of(const struct shim_mon *mon, int region, struct part *out)
{
	const struct mon_pkt *p = &mon->r.pkt;
	const uint8_t *f = mon->pkt_buf + LEAD;

	switch (region) {
	case MOS_ETH_HDR:
		*out = (struct part){ 0, p->ip_version != 0 ? p->l3_off : p->len < 14 ? p->len : 14 };
		return 0;
	case MOS_IP_HDR:
		if (p->ip_version == 0)
			return -EINVAL;
		*out = (struct part){ p->l3_off, p->ip_version == 4 ? (f[p->l3_off] & 15) * 4u : IP6_HDR };
		return out->at + out->len <= p->len ? 0 : -EINVAL;
	case MOS_TCP_HDR:
		if (p->l4_off == 0)
			return -EINVAL;
		*out = (struct part){ p->l4_off, (f[p->l4_off + 12] >> 4) * 4u };
		return out->at + out->len <= p->len ? 0 : -EINVAL;
	default:
		*out = (struct part){ p->text_off, p->text_len };
		return p->l4_off != 0 ? 0 : -EINVAL;
	}
}

/* What removes and inserts must leave: headers of whole words, with their fixed part, of at most 60 bytes. */
static int length_fits(const struct shim_mon *mon, int option, const struct part *part, uint32_t off, uint32_t len)
{
	uint32_t after = option & MOS_CHOMP ? part->len - len : part->len + len;

	if ((option & MOS_ETH_HDR) != 0)
		return -EACCES;
	if ((option & MOS_INSERT) != 0 && mon->r.pkt.len + len > UINT16_MAX)
		return -EINVAL;
	if ((option & MOS_TCP_PAYLOAD) != 0)
		return 0;
	if ((option & MOS_IP_HDR) != 0 && mon->r.pkt.ip_version != 4)
		return -EINVAL;
	return off >= IP4_MIN && len % 4 == 0 && after <= HDR_MAX ? 0 : -EINVAL;
}

/* Note it for stackd. */
static int script_add(struct shim_mon *mon, uint32_t off, const void *data, uint32_t len, int option)
{
	struct mon_round *r = &mon->r;
	uint32_t bytes = (option & MOS_CHOMP) != 0 ? 0 : len, size = (uint32_t)sizeof(struct mon_edit) + ((bytes + 7) & ~7u);
	struct mon_edit e = { .off = (uint16_t)off, .len = (uint16_t)len };

	if (r->script_count == MON_EDITS_MAX || r->script_len + size > MON_SCRIPT_MAX || r->script_len + size > r->lane->edit_size)
		return -EAGAIN;
	e.op = option & MOS_OVERWRITE ? MON_OVERWRITE : option & MOS_CHOMP ? MON_CHOMP : option & MOS_INSERT ? MON_INSERT : 0;
	e.region = option & MOS_ETH_HDR ? MON_ETH : option & MOS_IP_HDR ? MON_IP : option & MOS_TCP_HDR ? MON_TCP :
		   option & MOS_TCP_PAYLOAD ? MON_PAYLOAD : 0;
	e.csum = (uint8_t)((option & MOS_UPDATE_IP_CHKSUM ? 1 : 0) | (option & MOS_UPDATE_TCP_CHKSUM ? 2 : 0));
	memset(mon->script + r->script_len, 0, size);
	memcpy(mon->script + r->script_len, &e, sizeof(e));
	if (bytes > 0)
		memcpy(mon->script + r->script_len + sizeof(e), data, bytes);
	r->script_len += size;
	r->script_count++;
	return 0;
}

/* The headers say how long things are; so do our notes. */
static void lengths_change(struct shim_mon *mon, int option, int32_t by)
{
	struct mon_pkt *p = &mon->r.pkt;
	uint8_t *l3 = pkt_frame(mon) + p->l3_off, *tcp;

	p->len = (uint32_t)((int32_t)p->len + by);
	if ((option & MOS_TCP_PAYLOAD) != 0)
		p->text_len = (uint16_t)(p->text_len + by);
	else
		p->text_off = (uint16_t)(p->text_off + by);
	if ((option & MOS_IP_HDR) != 0) {
		p->l4_off = (uint16_t)(p->l4_off != 0 ? p->l4_off + by : 0);
		l3[0] = (uint8_t)(l3[0] + by / 4);
	}
	if ((option & MOS_TCP_HDR) != 0) {
		tcp = pkt_frame(mon) + p->l4_off;
		tcp[12] = (uint8_t)(tcp[12] + by / 4 * 16);
	}
	if (p->ip_version == 4)
		put16(l3 + 2, get16(l3 + 2) + (uint32_t)by);
	else
		put16(l3 + 4, get16(l3 + 4) + (uint32_t)by);
}

static void sums_set(struct shim_mon *mon, bool ip, bool tcp)
{
	const struct mon_pkt *p = &mon->r.pkt;
	uint8_t *f = pkt_frame(mon);

	if (ip && p->ip_version == 4 && p->l3_off + (f[p->l3_off] & 15) * 4u <= p->len)
		pkt_sum_ip(f + p->l3_off);
	if (tcp && p->l4_off != 0 && p->text_off >= p->l4_off && p->text_off + (uint32_t)p->text_len <= p->len)
		pkt_sum_tcp(f + p->l3_off, f + p->l4_off, p->text_off + (uint32_t)p->text_len - p->l4_off);
}

static int edit(struct shim_mon *mon, uint32_t off, const void *data, uint32_t len, int option)
{
	struct mon_pkt *p = &mon->r.pkt;
	struct part part = { 0, 0 };
	bool moves = (option & (MOS_CHOMP | MOS_INSERT)) != 0;
	uint8_t *at;
	int err = 0;

	if ((option & ACTIONS) != 0)
		err = part_of(mon, option & REGIONS, &part);
	if (err == 0 && moves && (option & MOS_ETH_HDR) != 0)
		err = -EACCES;
	if (err == 0 && (off > part.len || ((option & MOS_INSERT) == 0 && len > part.len - off)))
		err = -EINVAL;
	if (err == 0 && moves)
		err = length_fits(mon, option, &part, off, len);
	if (err == 0)
		err = script_add(mon, off, data, len, option);
	if (err != 0)
		return err;
	at = pkt_frame(mon) + part.at + off;
	if ((option & MOS_CHOMP) != 0)
		memmove(at, at + len, p->len - (part.at + off + len));
	if ((option & MOS_INSERT) != 0)
		memmove(at + len, at, p->len - (part.at + off));
	if ((option & (MOS_OVERWRITE | MOS_INSERT)) != 0 && len > 0)
		memcpy(at, data, len);
	if (moves)
		lengths_change(mon, option, (option & MOS_CHOMP) != 0 ? -(int32_t)len : (int32_t)len);
	sums_set(mon, moves || (option & MOS_UPDATE_IP_CHKSUM) != 0, moves || (option & MOS_UPDATE_TCP_CHKSUM) != 0);
	return 0;
}

/* --- Checksums ------------------------------------------------------------------------------------------------------------------ */

uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; len -= 2, p += 2)
		sum += get16(p);
	return len > 0 ? sum + ((uint32_t)p[0] << 8) : sum;
}

uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void pkt_sum_ip(uint8_t *l3)
{
	put16(l3 + 10, 0);
	put16(l3 + 10, sum_end(sum_add(0, l3, (l3[0] & 15) * 4u)));
}

void pkt_sum_tcp(uint8_t *l3, uint8_t *l4, uint32_t l4_len)
{
	bool six = l3[0] >> 4 == 6;
	uint32_t sum = sum_add(IPPROTO_TCP + l4_len, l3 + (six ? 8 : 12), six ? 32 : 8);

	put16(l4 + 16, 0);
	put16(l4 + 16, sum_end(sum_add(sum, l4, l4_len)));
}
