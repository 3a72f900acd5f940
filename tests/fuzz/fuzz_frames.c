/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames from hell: whatever arrives, net/ must not crash, read too far, leak or hand on a segment whose fields lie.
 *
 * An input is a sequence of frames, each behind two bytes of length (big endian); the high bits of the length let time pass.
 * With libFuzzer (-DFUZZ_LIBFUZZER -fsanitize=fuzzer) the engine drives LLVMFuzzerTestOneInput.  Otherwise main() replays the
 * files of the directories given (default: the corpus in the source tree), then feeds FUZZ_RUNS frames (default 200000) that it
 * makes from good ones by seeded mutation (FUZZ_SEED), most of them with their checksums put right.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/log.h"
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

static const struct ipaddr ours6 = {.b = {0xfd, [15] = 1}};

#define OURS 0x0a000001u
#define PEER 0x0a000002u

enum { BUFFERS = 8192, FRAME_MAX = 1600, INPUT_MAX = 1 << 16 };

static struct nic *wire[2];
static struct net *net;
static struct stats stats;
static uint64_t now = 1000000;
static uint64_t segments, errors;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_frames: %s\n", what);
	abort();
}

static void on_error(void *arg, const struct net_icmp_error *e)
{
	(void)arg;
	must(is_ip4(&e->src) ? to_ip4(&e->src) == OURS : ip6_is_any_own(net, &e->src), "an error about a packet that is not ours");
	errors++;
}

static void open_all(void)
{
	static struct net_conf conf;

	log_open(LOG_LEVEL_ERR);
	must(nic_mem_pair(wire, BUFFERS, 1500) == 0, "no wire");
	conf.ports = 1;
	conf.port[0].nic = wire[0];
	conf.port[0].addrs = 2;
	conf.port[0].addr[0] = (struct net_addr){from_ip4(OURS), 24};
	conf.port[0].addr[1] = (struct net_addr){ours6, 64};
	conf.nd_age_s = 2;
	net_conf_complete(&conf);
	conf.port[0].gateway = from_ip4(0x0a0000fe);
	conf.arp_entries = 32;
	conf.arp_age_s = 2;
	conf.frag_entries = 16;
	conf.frag_timeout_ms = 1000;
	conf.icmp_rate = 100000;
	net = net_create(&conf, &stats, 0, 1);
	must(net != NULL, "no net");
	net_on_icmp_error(net, on_error, NULL);
}

/* Every byte that the parsed fields name is touched, so that a sanitizer sees one too far. */
static void segment_check(const struct pkt *p)
{
	const struct pkt_tcp *t = &p->tcp;
	unsigned sum = 0;

	must(p->l3_off + (uint32_t)p->l3_len <= p->len, "l3_len");
	must(t->opt_off == p->l4_off + 20 && t->opt_len <= 40, "options");
	must(t->opt_off + t->opt_len == t->text_off, "text_off");
	must(t->text_off + (uint32_t)t->text_len == p->l3_off + (uint32_t)p->l3_len, "text_len");
	must(is_ip4(&p->src) == is_ip4(&p->dst) && t->sport && t->dport, "addresses");
	must(is_ip4(&p->dst) ? to_ip4(&p->dst) == OURS : ip6_is_own(net, 0, &p->dst), "whose segment");
	must(p->hash == net_tuple_hash(net, &p->dst, &p->src, t->dport, t->sport), "hash");
	for (uint32_t i = 0; i < p->len; i++)
		sum += p->data[i];
	*(volatile unsigned *)&sum = sum;
}

static void drain(void)
{
	struct pkt *p[32];
	uint16_t n;

	while ((n = nic_rx(wire[1], 0, p, 32, now)) > 0)
		for (uint16_t i = 0; i < n; i++)
			nic_free(p[i]);
}

/* The frame ends where its buffer ends. */
static void feed(const uint8_t *data, size_t len)
{
	struct pkt *p = nic_alloc(wire[0]);
	bool all;

	if (!p)
		return;
	if (len > p->room)
		len = p->room;
	p->data += p->room - len;
	p->room = p->len = (uint32_t)len;
	memcpy(p->data, data, len);
	net_steer_hash(net, p, &all);
	if (net_in(net, &p, 1, now) == 1) {
		segment_check(p);
		segments++;
		nic_free(p);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!net)
		open_all();
	while (size >= 2) {
		size_t word = (size_t)(data[0] << 8 | data[1]), len = word & 0x7ff;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		feed(data, len);
		data += len;
		size -= len;
		now += (word >> 11) * 20000;
	}
	net_tick(net, now);
	net_flush(net, now);
	drain();
	return 0;
}

#ifndef FUZZ_LIBFUZZER

static uint64_t rng;

static uint32_t rnd(uint32_t below)
{
	uint64_t z = rng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % below);
}

#include "tests/fuzz/frames6.h"

static void replay_file(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	size_t n;

	must(f != NULL, path);
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
}

static unsigned replay_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[4096];
	unsigned n = 0;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		replay_file(path);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static unsigned ip_head(uint8_t *f, uint8_t proto, unsigned len, uint16_t frag)
{
	uint8_t *ip = f + 14;

	memcpy(f, "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0", 14);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(20 + len));
	put16(ip + 4, (uint16_t)rnd(4));
	put16(ip + 6, frag);
	ip[8] = 64;
	ip[9] = proto;
	put32(ip + 12, rnd(8) ? PEER : PEER + rnd(100));
	put32(ip + 16, OURS);
	return 34 + len;
}

static unsigned make_tcp(uint8_t *f)
{
	unsigned opt = rnd(11) * 4, text = rnd(100);
	uint8_t *l4 = f + 34;

	for (unsigned i = 0; i < 20 + opt + text; i++)
		l4[i] = (uint8_t)rnd(256);
	l4[12] = (uint8_t)((20 + opt) / 4 << 4);
	return ip_head(f, PROTO_TCP, 20 + opt + text, rnd(4) ? 0 : (uint16_t)(rnd(2) * IP4_MF | rnd(6)));
}

static unsigned make_fragment(uint8_t *f)
{
	unsigned len = 8 + rnd(10) * 8;

	memset(f + 34, 0x55, len);
	return ip_head(f, rnd(2) ? PROTO_TCP : PROTO_ICMP, len, (uint16_t)((rnd(4) ? IP4_MF : 0) | rnd(40)));
}

static unsigned make_icmp(uint8_t *f)
{
	uint8_t *m = f + 34, quoted[128];
	unsigned len = 8 + rnd(64);

	memset(m, 0, len);
	m[0] = rnd(2) ? 8 : (uint8_t)rnd(16);
	m[1] = rnd(2) ? 0 : (uint8_t)rnd(16);
	if (rnd(2) && len >= 36) {
		ip_head(quoted, PROTO_TCP, 20, 0);
		put32(quoted + 26, OURS);
		put32(quoted + 30, PEER);
		memcpy(m + 8, quoted + 14, 20);
		put16(m + 6, (uint16_t)rnd(2000));
	}
	return ip_head(f, PROTO_ICMP, len, 0);
}

static unsigned make_udp(uint8_t *f)
{
	unsigned len = 8 + rnd(40);

	memset(f + 34, 1, len);
	put16(f + 38, (uint16_t)len);
	put16(f + 40, 0);
	return ip_head(f, PROTO_UDP, len, 0);
}

static unsigned make_arp(uint8_t *f)
{
	memcpy(f, rnd(2) ? "\2\0\0\0\0\1\2\0\0\0\0\2\x08\6" : "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\2\x08\6", 14);
	memcpy(f + 14, "\0\1\x08\0\6\4\0\1\2\0\0\0\0\2", 14);
	f[21] = (uint8_t)(1 + rnd(2));
	put32(f + 28, rnd(4) ? PEER + rnd(100) : OURS);
	memset(f + 32, 0, 6);
	put32(f + 38, OURS);
	return 42;
}

static unsigned make_vlan(uint8_t *f)
{
	unsigned len = make_tcp(f);

	memmove(f + 16, f + 12, len - 12);
	put16(f + 12, ETH_TYPE_VLAN);
	put16(f + 14, rnd(2) ? 0 : (uint16_t)rnd(65536));
	return len + 4;
}

static unsigned mutate(uint8_t *f, unsigned len)
{
	static const uint8_t edge[] = {0, 1, 0x7f, 0x80, 0xff, 20, 8};

	for (unsigned n = rnd(4); n > 0 && len > 0; n--) {
		unsigned at = rnd(2) ? rnd(len) : rnd(len < 60 ? len : 60);

		switch (rnd(5)) {
		case 0:
			f[at] ^= (uint8_t)(1u << rnd(8));
			break;
		case 1:
			f[at] = edge[rnd(sizeof(edge))];
			break;
		case 2:
			f[at] = (uint8_t)rnd(256);
			break;
		case 3:
			len = rnd(4) ? len : at;
			break;
		default:
			memset(f + len, (int)rnd(256), 20);
			len += rnd(20);
		}
	}
	return len;
}

/* Otherwise hardly anything would come past the checksums. */
static void put_right(uint8_t *f, unsigned len)
{
	uint8_t *ip = f + 14;
	unsigned ihl = (ip[0] & 15u) * 4, total = get16(ip + 2), l4_len, at;
	uint16_t sum;

	if (len < 34 || get16(f + 12) != ETH_TYPE_IP4 || ihl < 20 || total < ihl || 14 + total > len)
		return;
	put16(ip + 10, 0);
	sum = csum_finish(csum_add(0, ip, ihl));
	memcpy(ip + 10, &sum, 2);
	l4_len = total - ihl;
	at = ip[9] == PROTO_TCP ? 16 : ip[9] == PROTO_ICMP ? 2 : 0;
	if (at == 0 || l4_len < at + 2)
		return;
	put16(ip + ihl + at, 0);
	sum = csum_finish(csum_add(at == 16 ? csum_pseudo4(ip, PROTO_TCP, (uint16_t)l4_len) : 0, ip + ihl, l4_len));
	memcpy(ip + ihl + at, &sum, 2);
}

static void random_frame(void)
{
	static unsigned (*const make[])(uint8_t *) = {
		make_tcp, make_fragment, make_icmp, make_udp, make_arp, make_vlan,
		make6_tcp, make6_chain, make6_fragment, make6_icmp, make6_nd, make6_fragment,
	};
	uint8_t input[2 + FRAME_MAX];
	unsigned len = make[rnd(12)](input + 2);

	len = mutate(input + 2, len);
	if (rnd(4)) {
		put_right(input + 2, len);
		put_right6(input + 2, len);
	}
	put16(input, (uint16_t)(len | rnd(16) / 15 << 11));
	LLVMFuzzerTestOneInput(input, 2 + len);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	uint64_t runs = number("FUZZ_RUNS", 200000);
	const char *src = getenv("srcdir");
	char dir[4096];
	unsigned files = 0;

	rng = number("FUZZ_SEED", 20251);
	open_all();
	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/frames", src ? src : ".");
	if (argc < 2)
		files = replay_dir(dir);
	for (int i = 1; i < argc; i++)
		files += replay_dir(argv[i]);
	for (uint64_t i = 0; i < runs; i++)
		random_frame();
	printf("fuzz_frames: %u files, %llu frames, %llu segments passed, %llu errors passed\n", files, (unsigned long long)runs,
	       (unsigned long long)segments, (unsigned long long)errors);
	must(runs < 1000 || (segments > runs / 50 && errors > 0), "hardly anything came through: the frames are no good");
	net_destroy(net);
	drain();
	must(nic_mem_out(wire[0]) == 0 && nic_mem_out(wire[1]) == 0, "buffers were lost");
	nic_close(wire[0]);
	nic_close(wire[1]);
	return 0;
}

#endif
