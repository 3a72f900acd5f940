/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The harness of tcp_trace.h.
 */
#include "tests/unit/tcp_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LINK = 14, ROOM = 2048 };

struct trace T;

/* --- net.h and nic.h, played ------------------------------------------------------------------------------------------- */

struct frame {
	struct pkt pkt;
	struct net *net;
	uint8_t bytes[ROOM];
};

static struct pkt *frame_new(struct net *net)
{
	struct frame *f = malloc(sizeof(*f));

	memset(&f->pkt, 0, sizeof(f->pkt));
	f->net = net;
	f->pkt.data = f->bytes;
	f->pkt.room = ROOM;
	net->out++;
	return &f->pkt;
}

void nic_free(struct pkt *p)
{
	struct frame *f = (struct frame *)p;

	f->net->out--;
	free(f);
}

int net_source(struct net *net, const struct ipaddr *dst, struct ipaddr *src, uint16_t *mtu)
{
	static const struct ipaddr none, none4 = { .b = { [10] = 0xff, [11] = 0xff } };

	(void)dst;
	if (net->no_route)
		return -ENETUNREACH;
	if (memcmp(src, &none, sizeof(none)) == 0 || memcmp(src, &none4, sizeof(none)) == 0)
		*src = net->addr;
	else if (memcmp(src, &net->addr, sizeof(*src)) != 0)
		return -EADDRNOTAVAIL;
	*mtu = net->mtu;
	return 0;
}

uint32_t net_tuple_hash(const struct net *net, const struct ipaddr *a, const struct ipaddr *b, uint16_t aport, uint16_t bport)
{
	(void)net;
	return a->w[3] ^ b->w[3] ^ aport ^ bport;
}

struct pkt *net_alloc(struct net *net, const struct ipaddr *dst, uint16_t l3_len, uint8_t **l3)
{
	struct pkt *p;

	if (net->no_buffer || net->no_route)
		return NULL;
	must(l3_len <= net->mtu);
	p = frame_new(net);
	p->dst = *dst;
	p->l3_off = LINK;
	p->l3_len = l3_len;
	p->len = LINK + (uint32_t)l3_len;
	*l3 = p->data + LINK;
	return p;
}

void net_ip_header(struct net *net, uint8_t *l3, const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
                   uint16_t l3_len, uint8_t ttl, uint8_t tos)
{
	(void)net;
	if (!net_is_ip4(src)) {
		memset(l3, 0, 8);
		l3[0] = (uint8_t)(0x60 | tos >> 4);
		l3[1] = (uint8_t)(tos << 4);
		l3[4] = (uint8_t)((l3_len - 40) >> 8);
		l3[5] = (uint8_t)(l3_len - 40);
		l3[6] = proto;
		l3[7] = ttl != 0 ? ttl : 64;
		memcpy(l3 + 8, src->b, 16);
		memcpy(l3 + 24, dst->b, 16);
		return;
	}
	memset(l3, 0, 20);
	l3[0] = 0x45;
	l3[1] = tos;
	l3[2] = (uint8_t)(l3_len >> 8);
	l3[3] = (uint8_t)l3_len;
	l3[6] = 0x40; /* DF */
	l3[8] = ttl != 0 ? ttl : 64;
	l3[9] = proto;
	memcpy(l3 + 12, src->b + 12, 4);
	memcpy(l3 + 16, dst->b + 12, 4);
}

void net_may_fragment(struct net *net, uint8_t *l3)
{
	(void)net;
	if (l3[0] >> 4 == 4)
		l3[6] = 0;
}

void net_suspect(struct net *net, const struct ipaddr *dst, uint64_t now_us)
{
	must(memcmp(dst, &net->addr, sizeof(*dst)) != 0);
	must(now_us <= net->host->now_us);
	net->suspects++;
}

void net_send(struct net *net, struct pkt *p, uint64_t now_us)
{
	p->when_us = now_us;
	p->next = NULL;
	*net->tail = p;
	net->tail = &p->next;
	net->queued++;
}

/* --- Host ------------------------------------------------------------------------------------------------------------- */

struct ipaddr ip4(uint8_t last_byte)
{
	return (struct ipaddr){ .b = { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = 9, [14] = 0, [15] = last_byte } };
}

struct ipaddr ip6(uint8_t last_byte)
{
	return (struct ipaddr){ .b = { [0] = 0xfd, [1] = 0x09, [15] = last_byte } };
}

static void on_note(void *arg, struct tcp_conn *c)
{
	struct host *h = arg;
	struct prog *p = c->user;
	struct tcp_view v;

	must((c->flags & CONN_HELD) != 0);
	if (h->deaf)
		return;
	if ((c->note & TCP_NOTE_ACCEPT) != 0) {
		if (!h->auto_accept)
			return;
		p = host_adopt(h, c);
	}
	must(p != NULL);
	p->notes++;
	if ((c->note & TCP_NOTE_OPEN) != 0)
		p->open = true;
	c->note = 0;
	tcp_view(h->tcp, c, &v);
	p->fin = v.fin;
	p->closed = v.closed;
	p->err = v.err;
	p->soft_err = v.soft_err;
	must(v.tx_acked >= p->tx_acked);
	must(v.tx_acked <= p->tx_end);
	p->tx_acked = v.tx_acked;
	if (v.tx_acked == p->tx_end)
		bytes_clear(&p->tx, &h->tx_pool);
	else
		bytes_drop(&p->tx, &h->tx_pool, bytes_number(v.tx_acked));
}

static void on_state(void *arg, struct tcp_conn *c, enum tcp_state from, enum tcp_state to)
{
	struct host *h = arg;

	must(from != to);
	must(c->state == to);
	h->moves++;
	h->last_from = from;
	h->last_to = to;
}

static void on_let_go(void *arg, struct tcp_conn *c)
{
	struct host *h = arg;
	struct prog *p = c->user;

	h->let_go++;
	must(p != NULL);
	must(c->owner == &h->owner);
	must(p->released);
	bytes_clear(&p->tx, &h->tx_pool);
	free(p);
}

/* Segments go from host to host: thousands of hosts are made, and their pages cost more than all else. */
static void *spare_seg[4 * HOST_SEGS];
static unsigned spare_segs;

static void *segment(void)
{
	return spare_segs > 0 ? spare_seg[--spare_segs] : aligned_alloc(BYTES_CHUNK, BYTES_SEG_SIZE);
}

static void segment_free(void *seg)
{
	if (spare_segs < 4 * HOST_SEGS)
		spare_seg[spare_segs++] = seg;
	else
		free(seg);
}

void host_start(struct host *h, uint8_t last_byte, host_tweak tweak)
{
	struct tcp_hooks hooks = { .arg = h, .note = on_note, .state = on_state, .let_go = on_let_go };

	memset(h, 0, sizeof(*h));
	h->now_us = 1000000000;
	h->auto_accept = true;
	h->net = (struct net){ .host = h, .addr = ip4(last_byte), .mtu = 1500 };
	h->net.tail = &h->net.head;
	tcp_conf_default(&h->conf);
	h->conf.max_conns = HOST_CONNS;
	h->conf.quick_acks = 0;
	h->conf.timestamps = h->conf.sack = h->conf.window_scaling = false;
	memset(h->conf.secret, 0x5a ^ last_byte, sizeof(h->conf.secret));
	if (tweak != NULL)
		tweak(&h->conf);
	h->listeners = listen_table_create(1);
	h->owner.conns_max = HOST_CONNS;
	h->owner.app = 1;
	h->owners[0] = &h->owner;
	must((bytes_pool_init(&h->owner.rx)) == 0);
	must((bytes_pool_init(&h->tx_pool)) == 0);
	for (unsigned i = 0; i < HOST_SEGS; i++) {
		must((bytes_pool_add(&h->owner.rx, i, h->seg[i] = segment())) == 0);
		must((bytes_pool_add(&h->tx_pool, i, h->seg[HOST_SEGS + i] = segment())) == 0);
		h->owner.tx.base[i] = h->seg[HOST_SEGS + i];
	}
	h->tcp = tcp_create(&h->conf, &h->net, &h->stats, h->listeners, 0, &hooks, h->now_us);
	must(h->tcp != NULL);
}

void host_stop(struct host *h)
{
	struct pkt *p;

	for (unsigned i = 0; i < h->accepts; i++)
		if (h->accepted[i] != NULL && h->accepted[i]->conn != NULL && !h->accepted[i]->released)
			host_close(h, h->accepted[i], 0);
	tcp_owner_gone(h->tcp, &h->owner, true, UINT32_MAX);
	host_settle(h);
	must(h->owner.conns == 0);
	must(h->owner.rx.used_count == 0);
	tcp_reset_all(h->tcp, UINT32_MAX);
	host_settle(h);
	must(tcp_conns(h->tcp) == 0);
	must(TAILQ_FIRST(&h->tcp->young) == NULL);
	must(TAILQ_FIRST(&h->tcp->waits) == NULL);
	must(h->tcp->wheel.count == 0);
	if (h->listener != NULL) {
		must(h->listener->lane[0].syns == 0);
		must(h->listener->lane[0].waiting == 0);
	}
	while ((p = host_sent(h)) != NULL)
		nic_free(p);
	must(h->net.out == 0);
	tcp_destroy(h->tcp);
	listen_table_destroy(h->listeners);
	bytes_pool_fini(&h->owner.rx);
	bytes_pool_fini(&h->tx_pool);
	for (unsigned i = 0; i < 2 * HOST_SEGS; i++)
		segment_free(h->seg[i]);
}

void host_listen(struct host *h, uint16_t port, uint32_t backlog)
{
	struct listen_who who = { .app = 1, .cookie = 7, .pid = 1, .uid = 1, .owner = h->owners };
	struct ipaddr any = { .w = { 0 } };

	h->listener = listen_bind(h->listeners, &who, &any, port, false, 0, 0);
	must(h->listener != NULL);
	must(listen_start(h->listeners, h->listener, backlog) == 0);
}

static struct prog *prog_new(struct tcp_conn *c)
{
	struct prog *p = calloc(1, sizeof(*p));

	p->conn = c;
	bytes_init(&p->tx);
	return p;
}

struct prog *host_connect(struct host *h, const struct ipaddr *dst, uint16_t dport)
{
	struct tcp_open o = { .dst = *dst, .dport = dport };
	struct prog *p = prog_new(NULL);

	o.user = p;
	must((tcp_open(h->tcp, &h->owner, &o, h->now_us, &p->conn)) == 0);
	return p;
}

struct prog *host_adopt(struct host *h, struct tcp_conn *c)
{
	struct prog *p = prog_new(c);

	must(c->listener != NULL);
	must(c->listener->lane[0].waiting > 0);
	c->listener->lane[0].waiting--;
	c->listener = NULL;
	c->user = p;
	c->note &= (uint8_t)~TCP_NOTE_ACCEPT;
	p->accepted = true;
	if (h->accepts < 64)
		h->accepted[h->accepts++] = p;
	tcp_mark(h->tcp, c);
	return p;
}

uint32_t host_write(struct host *h, struct prog *p, const void *src, uint32_t len)
{
	uint32_t chunk[16], n = 0, first = bytes_number(p->tx_end), done;
	struct tcp_view v;

	tcp_view(h->tcp, p->conn, &v);
	if (p->tx_end - v.tx_acked >= v.tx_limit)
		return 0;
	if (len > v.tx_limit - (p->tx_end - v.tx_acked))
		len = (uint32_t)(v.tx_limit - (p->tx_end - v.tx_acked));
	if (len > 14u * BYTES_CHUNK)
		len = 14u * BYTES_CHUNK;
	done = (uint32_t)bytes_write(&p->tx, &h->tx_pool, p->tx_end, src, len, UINT32_MAX);
	if (done == 0)
		return 0;
	for (; first + n <= bytes_number(p->tx_end + done - 1); n++)
		chunk[n] = bytes_get(&p->tx, first + n);
	p->tx_end += done;
	must(tcp_sent_more(h->tcp, p->conn, p->tx_end, chunk, n) == 0);
	return done;
}

uint32_t host_read(struct host *h, struct prog *p, void *dst, uint32_t len)
{
	struct tcp_view v;
	uint32_t done = 0, no, id;

	tcp_view(h->tcp, p->conn, &v);
	if (v.rx_end == p->rx_pos)
		return 0;
	must(v.rx_chunk != BYTES_NONE);
	no = v.rx_chunk_no;
	id = v.rx_chunk;
	while (done < len && p->rx_pos < v.rx_end) {
		uint32_t part = (uint32_t)(BYTES_CHUNK - p->rx_pos % BYTES_CHUNK);

		for (; no != bytes_number(p->rx_pos); no++) {
			must((int32_t)(bytes_number(p->rx_pos) - no) > 0);
			id = bytes_next(&h->owner.rx.map, id);
		}
		must(bytes_at(&h->owner.rx.map, id) != NULL);
		if (part > len - done)
			part = len - done;
		if (part > v.rx_end - p->rx_pos)
			part = (uint32_t)(v.rx_end - p->rx_pos);
		memcpy((uint8_t *)dst + done, bytes_at(&h->owner.rx.map, id) + p->rx_pos % BYTES_CHUNK, part);
		done += part;
		p->rx_pos += part;
	}
	must(tcp_rx_done(h->tcp, p->conn, p->rx_pos) == 0);
	return done;
}

void host_close(struct host *h, struct prog *p, int linger_s)
{
	for (unsigned i = 0; i < h->accepts; i++)
		if (h->accepted[i] == p)
			h->accepted[i] = NULL;
	p->released = true;
	tcp_release(h->tcp, p->conn, linger_s);
}

void host_settle(struct host *h)
{
	unsigned turns = 0;

	do {
		tcp_expire(h->tcp, h->now_us);
		tcp_settle(h->tcp, 1000, h->now_us);
	} while (++turns < 1000 && tcp_next_us(h->tcp, h->now_us) <= h->now_us);
}

uint64_t host_next(const struct host *h)
{
	return tcp_next_us(h->tcp, h->now_us);
}

struct pkt *host_sent(struct host *h)
{
	struct pkt *p = h->net.head;

	if (p == NULL)
		return NULL;
	h->net.head = p->next;
	if (h->net.head == NULL)
		h->net.tail = &h->net.head;
	h->net.queued--;
	host_parse(p);
	return p;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void host_parse(struct pkt *p)
{
	bool six = p->data[LINK] >> 4 == 6;
	const uint8_t *l3 = p->data + LINK, *t = l3 + (six ? 40 : 20);
	unsigned hdr = t[12] / 16 * 4u, l4_off = (unsigned)(t - p->data);

	p->src = p->dst = ip4(0);
	memcpy(p->src.b + (six ? 0 : 12), l3 + (six ? 8 : 12), six ? 16 : 4);
	memcpy(p->dst.b + (six ? 0 : 12), l3 + (six ? 24 : 16), six ? 16 : 4);
	p->tos = six ? (uint8_t)(l3[0] << 4 | l3[1] >> 4) : l3[1];
	p->conn = NULL;
	p->tcp = (struct pkt_tcp){
		.sport = (uint16_t)(t[0] << 8 | t[1]),
		.dport = (uint16_t)(t[2] << 8 | t[3]),
		.seq = be32(t + 4),
		.ack = be32(t + 8),
		.flags = t[13],
		.wnd = (uint16_t)(t[14] << 8 | t[15]),
		.urg = (uint16_t)(t[18] << 8 | t[19]),
		.opt_off = (uint16_t)(l4_off + 20),
		.opt_len = (uint8_t)(hdr - 20),
		.text_off = (uint16_t)(l4_off + hdr),
		.text_len = (uint16_t)(p->len - l4_off - hdr),
	};
}

struct pkt *pkt_copy(struct host *h, const struct pkt *p)
{
	struct frame *f = (struct frame *)frame_new(&h->net);

	memcpy(f->bytes, p->data, p->len);
	f->pkt.len = p->len;
	f->pkt.l3_off = p->l3_off;
	f->pkt.l3_len = p->l3_len;
	host_parse(&f->pkt);
	return &f->pkt;
}

void host_in(struct host *h, struct pkt **p, unsigned n)
{
	tcp_flow_lookup(h->tcp, p, n);
	tcp_in(h->tcp, p, n, h->now_us);
}

/* --- Traces ------------------------------------------------------------------------------------------------------------ */

static uint8_t pattern(uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 8) * 7 + 1);
}

void trace_begin(host_tweak tweak)
{
	memset(&T, 0, sizeof(T));
	host_start(&T.h, 1, tweak);
	T.peer_iss = 0xfffffc00; /* wraps after a kilobyte */
	T.peer_wnd = 65535;
}

void trace_end(void)
{
	if (T.c != NULL && T.c->conn != NULL && !T.c->released)
		close_(0);
	host_stop(&T.h);
}

static uint8_t *put32(uint8_t *q, uint32_t v)
{
	*q++ = (uint8_t)(v >> 24), *q++ = (uint8_t)(v >> 16), *q++ = (uint8_t)(v >> 8), *q++ = (uint8_t)v;
	return q;
}

static uint8_t *put16(uint8_t *q, uint16_t v)
{
	*q++ = (uint8_t)(v >> 8), *q++ = (uint8_t)v;
	return q;
}

struct pkt *host_frame(struct host *h, const struct pkt_tcp *t, const struct ipaddr *src, const uint8_t *opt, unsigned opt_len,
                       uint16_t text_len, uint8_t **text)
{
	struct pkt *p = frame_new(&h->net);
	unsigned opts = (opt_len + 3) / 4 * 4;
	uint8_t *l3 = p->data + LINK, *l4 = l3 + net_ip_len(src), *q = l4;

	q = put16(put16(q, t->sport), t->dport);
	q = put32(put32(q, t->seq), t->ack);
	*q++ = (uint8_t)((20 + opts) / 4 << 4);
	*q++ = t->flags;
	q = put16(put16(put16(q, t->wnd), 0), t->urg);
	memset(q, 0, opts);
	if (opt_len > 0)
		memcpy(q, opt, opt_len);
	*text = q + opts;
	p->len = (uint32_t)(l4 - p->data) + 20 + opts + text_len;
	p->l3_off = LINK;
	p->l3_len = (uint16_t)(p->len - LINK);
	net_ip_header(&h->net, l3, src, &h->net.addr, 6, p->l3_len, 64, 0);
	host_parse(p);
	return p;
}

void trace_send(struct seg s)
{
	struct ipaddr peer = ip4(2);
	struct seg_opts o = { .has = 0 };
	struct pkt_tcp t = { .sport = s.sport != 0 ? s.sport : PEER_PORT, .dport = SERVER_PORT, .flags = s.flags };
	uint8_t opt[SEG_OPT_MAX + 8], *text;
	unsigned opt_len;
	struct pkt *p;

	if (T.conn != NULL && s.sport == 0) {
		t.sport = T.conn->pport;
		t.dport = T.conn->lport;
	}
	t.seq = T.peer_iss + (uint32_t)s.seq;
	t.ack = (s.flags & A) != 0 ? T.iss + (uint32_t)s.ack : 0;
	t.wnd = (uint16_t)(s.wnd >= 0 ? s.wnd : T.peer_wnd);
	if (s.mss > 0)
		o.has |= SEG_HAS_MSS, o.mss = (uint16_t)s.mss;
	if (s.ws > 0)
		o.has |= SEG_HAS_WS, o.shift = (uint8_t)s.ws;
	if (s.sack_ok > 0)
		o.has |= SEG_HAS_SACK_OK;
	if (s.ts > 0 || (T.peer_ts != 0 && s.ts == 0)) {
		o.has |= SEG_HAS_TS;
		o.ts_val = s.ts > 0 ? s.ts_val : T.peer_ts;
		o.ts_ecr = s.ts_ecr != 0 ? s.ts_ecr : T.last_ts;
	}
	for (int i = 0; i < s.sacks; i++)
		o.sack[o.sacks++] = (struct seg_sack){ T.iss + s.sack[i].from, T.iss + s.sack[i].to };
	opt_len = seg_options(&o, opt);
	p = host_frame(&T.h, &t, &peer, s.opt != NULL ? s.opt : opt, s.opt != NULL ? s.opt_len : opt_len, (uint16_t)s.len, &text);
	for (int64_t i = 0; i < s.len; i++)
		text[i] = s.fill != 0 ? s.fill : pattern((uint64_t)(s.seq - 1 + ((s.flags & S) != 0) + i));
	p->flags = s.pkt_flags;
	host_in(&T.h, &p, 1);
	if (!s.later)
		settle();
}

void settle(void)
{
	host_settle(&T.h);
	if (T.conn == NULL && T.c == NULL && T.h.accepts > 0) {
		T.c = T.h.accepted[T.h.accepts - 1];
		T.conn = T.c != NULL ? T.c->conn : NULL;
	}
}

void icmp_too_big(uint32_t seq, uint16_t mtu)
{
	struct net_icmp_error e = { .src = ip4(1), .dst = ip4(2), .sport = T.conn->lport, .dport = T.conn->pport,
		                    .seq = T.iss + seq, .type = 3, .code = 4, .mtu = mtu };

	tcp_icmp_error(T.h.tcp, &e);
	settle();
}

static const char *flag_text(uint8_t flags, char *s)
{
	static const char name[] = "FSRPAU";
	char *q = s;

	for (unsigned i = 0; i < 6; i++)
		if ((flags >> i & 1) != 0)
			*q++ = name[i];
	*q = '\0';
	return s;
}

static void describe(const struct seg *s, char *text, size_t size)
{
	char f[8];

	snprintf(text, size, "%s seq %lld ack %lld len %lld wnd %lld", flag_text(s->flags, f), (long long)s->seq,
	         (long long)s->ack, (long long)s->len, (long long)s->wnd);
}

static void seen(const struct pkt *p)
{
	struct seg *g = &T.got;

	must(seg_parse(p->data + p->tcp.opt_off, p->tcp.opt_len, &T.opts));
	if ((p->tcp.flags & S) != 0)
		T.iss = p->tcp.seq;
	*g = (struct seg){ .flags = p->tcp.flags, .len = p->tcp.text_len, .wnd = p->tcp.wnd };
	g->seq = (int32_t)(p->tcp.seq - T.iss);
	g->ack = (p->tcp.flags & A) != 0 ? (int32_t)(p->tcp.ack - T.peer_iss) : -1;
	g->mss = (T.opts.has & SEG_HAS_MSS) != 0 ? T.opts.mss : 0;
	if ((T.opts.has & SEG_HAS_TS) != 0)
		T.last_ts = T.opts.ts_val;
	memcpy(T.text, p->data + p->tcp.text_off, p->tcp.text_len);
}

void trace_expect(const char *file, int line, struct seg s)
{
	struct pkt *p = host_sent(&T.h);
	char want[128], got[128];

	describe(&s, want, sizeof(want));
	ck_assert_msg(p != NULL, "%s:%d: nothing was sent instead of %s", file, line, want);
	seen(p);
	describe(&T.got, got, sizeof(got));
	ck_assert_msg((T.got.flags & ~P) == (s.flags & ~P) && ((s.flags & P) == 0 || (T.got.flags & P) != 0) &&
	                      (s.seq < 0 || s.seq == T.got.seq) && (s.ack < 0 || s.ack == T.got.ack) &&
	                      (s.len < 0 ? (s.flags & (S | F | R | P)) != 0 || T.got.len == 0 : s.len == T.got.len) &&
	                      (s.wnd < 0 || s.wnd == T.got.wnd) && (s.mss == 0 || s.mss == T.got.mss),
	              "%s:%d: %s was sent instead of %s", file, line, got, want);
	if (T.got.len > 0 && T.c != NULL)
		for (int64_t i = 0; i < T.got.len; i++)
			if (T.text[i] != pattern((uint64_t)(T.got.seq - 1 + i)))
				ck_abort_msg("%s:%d: wrong byte %lld", file, line, (long long)i);
	nic_free(p);
}

void trace_expect_none(const char *file, int line)
{
	struct pkt *p = host_sent(&T.h);
	char got[128];

	if (p == NULL)
		return;
	seen(p);
	describe(&T.got, got, sizeof(got));
	ck_abort_msg("%s:%d: %s was sent", file, line, got);
}

void tick(uint32_t ms)
{
	uint64_t end = T.h.now_us + ms * UINT64_C(1000), next;

	while ((next = host_next(&T.h)) <= end) {
		if (next > T.h.now_us)
			T.h.now_us = next;
		settle();
	}
	T.h.now_us = end;
	settle();
}

struct prog *established_with(struct seg syn)
{
	trace_begin(NULL);
	host_listen(&T.h, SERVER_PORT, 10);
	syn.flags = S;
	syn.wnd = -1;
	trace_send(syn);
	expect(S | A, .seq = 0, .ack = 1);
	send(A, .seq = 1, .ack = 1);
	expect_none();
	must(T.c != NULL);
	expect_state(TCP_ESTABLISHED);
	return T.c;
}

struct prog *established(void)
{
	return established_with((struct seg){ .mss = 1460 });
}

struct prog *connecting(void)
{
	struct ipaddr peer = ip4(2);

	trace_begin(NULL);
	T.c = host_connect(&T.h, &peer, SERVER_PORT);
	T.conn = T.c->conn;
	settle();
	expect(S, .seq = 0);
	expect_state(TCP_SYN_SENT);
	return T.c;
}

/* Nothing in either direction but the handshake and FINs. */
struct prog *in_state(enum tcp_state s)
{
	if (s == TCP_SYN_SENT)
		return connecting();
	established();
	switch (s) {
	case TCP_FIN_WAIT_1:
	case TCP_FIN_WAIT_2:
	case TCP_CLOSING:
	case TCP_TIME_WAIT:
		shut(SHUT_WR);
		expect(F | A, .seq = 1, .ack = 1);
		if (s == TCP_FIN_WAIT_2 || s == TCP_TIME_WAIT)
			send(A, .seq = 1, .ack = 2);
		if (s == TCP_CLOSING || s == TCP_TIME_WAIT) {
			send(F | A, .seq = 1, .ack = s == TCP_CLOSING ? 1 : 2);
			expect(A, .ack = 2);
		}
		break;
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
		send(F | A, .seq = 1, .ack = 1);
		expect(A, .ack = 2);
		if (s == TCP_LAST_ACK) {
			shut(SHUT_WR);
			expect(F | A, .seq = 1, .ack = 2);
		}
		break;
	default:
		break;
	}
	expect_state(s);
	return T.c;
}

uint32_t put(uint32_t len)
{
	uint8_t buf[65536];
	uint32_t done = 0;

	while (done < len) {
		uint32_t part = len - done < sizeof(buf) ? len - done : (uint32_t)sizeof(buf), n;

		for (uint32_t i = 0; i < part; i++)
			buf[i] = pattern(T.c->tx_end + i);
		n = host_write(&T.h, T.c, buf, part);
		if (n == 0)
			break;
		done += n;
	}
	settle();
	return done;
}

uint32_t take(uint32_t len)
{
	static uint8_t buf[1 << 20];
	uint64_t from = T.c->rx_pos;
	uint32_t n = host_read(&T.h, T.c, buf, len);

	for (uint32_t i = 0; i < n; i++)
		if (buf[i] != pattern(from + i))
			ck_abort_msg("wrong byte at %llu", (unsigned long long)(from + i));
	settle();
	return n;
}

void close_(int linger_s)
{
	host_close(&T.h, T.c, linger_s);
	T.c = NULL; /* on_let_go() frees it */
	settle();
}

void shut(int how)
{
	tcp_shutdown(T.h.tcp, T.conn, how);
	settle();
}

struct tcp_view view(void)
{
	struct tcp_view v;

	tcp_view(T.h.tcp, T.conn, &v);
	return v;
}

int trace_main(const char *name, void (*const *add)(TCase *), unsigned n)
{
	Suite *s = suite_create(name);
	SRunner *r;
	int failed;

	for (unsigned i = 0; i < n; i++) {
		TCase *tc = tcase_create(name);

		tcase_set_timeout(tc, 120);
		add[i](tc);
		suite_add_tcase(s, tc);
	}
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
