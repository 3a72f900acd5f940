/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackd: reads its configuration, opens its ports, starts its engines, gives up its privileges, and serves until it is
 * told to end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>
#include <urcu/urcu-qsbr.h>

#include "stackd/ctl.h"
#include "stackd/log.h"
#include "stackd/priv.h"

enum { EAL_MEMORY_MIN_MIB = 128 };

struct daemon {
	struct conf conf;
	struct net_conf net;
	struct stat_seg stat;
	struct ctl ctl;
	struct steer *steer;
	struct core *core[SHM_ENGINES_MAX];
	struct mail stop[SHM_ENGINES_MAX];
	char why[320]; /* it cannot start; empty: the errno says it */
};

static const char usage[] =
	"usage: stackd -c FILE [--check] [-v]\n"
	"  -c, --config FILE  the configuration, see stackd.conf(5)\n"
	"      --check        read it, say what is wrong with it or what is in effect, and exit\n"
	"      --keys         list all configuration keys, and exit\n"
	"  -v, --verbose      log more\n"
	"  -V, --version      print the version, and exit\n"
	"  -h, --help         print this\n";

/* --- Options -------------------------------------------------------------------------------------------------------------- */

struct options {
	const char *file;
	bool check, verbose;
};

/* -1: go on; else the exit status. */
static int options_read(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'C' },
		{ "keys", no_argument, NULL, 'K' },	    { "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },	    { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:vVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->file = optarg;
			break;
		case 'C':
			o->check = true;
			break;
		case 'K':
			conf_print_keys(stdout);
			return 0;
		case 'v':
			o->verbose = true;
			break;
		case 'V':
			printf("stackd %s\n", STACKD_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind == argc && o->file != NULL)
		return -1;
	if (optind != argc)
		fprintf(stderr, "stackd: \"%s\" belongs to no option; a configuration is named by -c: stackd -c %s\n", argv[optind],
			argv[optind]);
	else
		fputs("stackd: no configuration is named: stackd -c FILE\n", stderr);
	fputs(usage, stderr);
	return 2;
}

/* --- Ports ----------------------------------------------------------------------------------------------------------------- */

static struct nic *port_open(const struct conf *conf, unsigned i)
{
	const struct conf_port *p = &conf->port[i];
	struct nic *outer, *n;
	char file[sizeof(p->device)];
	int err;

	if (p->mode == CONF_REPLAY) {
		snprintf(file, sizeof(file), "%s", strstr(p->device, "rx_pcap=") + strlen("rx_pcap="));
		file[strcspn(file, ",")] = '\0';
		n = nic_pcap_open(file, p->name, p->replay_speed == CONF_SPEED_REAL);
	} else {
		n = nic_dpdk_open(p->device, p->name, conf->cores, conf->packets, p->mtu);
		err = n != NULL && p->mode != CONF_ENDPOINT ? nic_dpdk_promiscuous(n) : 0;
		if (err != 0) {
			nic_close(n);
			errno = -err;
			return NULL;
		}
		if (n != NULL && conf_port_speaks_ip6(p))
			nic_dpdk_multicast(n);
	}
	if (n == NULL || !p->fault.on)
		return n;
	outer = nic_fault_open(n, &p->fault);
	err = errno;
	if (outer == NULL)
		nic_close(n);
	errno = err;
	return outer;
}

/* Which port reaches `via`: the one whose subnet holds it. */
static int route_port(const struct conf *conf, const struct conf_route *r)
{
	for (unsigned i = 0; i < conf->ports; i++) {
		const struct conf_port *p = &conf->port[i];

		if (r->port[0] != '\0' ? strcmp(r->port, p->name) == 0 : conf_port_reaches(p, &r->via))
			return (int)i;
	}
	return -1;
}

static int routes_fill(struct daemon *d)
{
	for (unsigned i = 0; i < d->conf.routes; i++) {
		const struct conf_route *r = &d->conf.route[i];
		int port = route_port(&d->conf, r);

		if (port < 0) {
			log_err("main", "routes.[%u]: no port reaches its gateway; name one with `port`", i);
			return -EINVAL;
		}
		d->net.route[d->net.routes++] = (struct net_route){ r->dst, r->prefix, r->via, (uint8_t)port };
	}
	return 0;
}

static int ports_open(struct daemon *d)
{
	const struct conf *conf = &d->conf;

	d->net.arp_entries = conf->arp_entries;
	d->net.arp_age_s = conf->arp_age_s;
	d->net.nd_age_s = conf->nd_age_s;
	d->net.dad = conf->dad;
	d->net.frag_entries = conf->frag_entries;
	d->net.frag_timeout_ms = conf->frag_timeout_ms;
	d->net.icmp_rate = conf->icmp_rate;
	for (unsigned i = 0; i < SHM_RSS_KEY_SIZE; i += 2) {
		d->net.rss_key[i] = 0x6d; /* repeating it every 16 bits makes Toeplitz symmetric */
		d->net.rss_key[i + 1] = 0x5a;
	}
	for (unsigned i = 0; i < conf->ports; i++) {
		struct net_port_conf *p = &d->net.port[i];

		p->nic = port_open(conf, i);
		if (p->nic == NULL) {
			int err = errno;

			snprintf(d->why, sizeof(d->why), "port %s (%s) cannot be opened: %s", conf->port[i].name, conf->port[i].device,
				 strerror(err));
			return -err;
		}
		p->nic->index = (uint8_t)i;
		p->vlan = conf->port[i].vlan;
		memcpy(p->addr, conf->port[i].addr, sizeof(conf->port[i].addr));
		p->addrs = conf->port[i].addrs;
		p->gateway = conf->port[i].gateway[0];
		p->gateway6 = conf->port[i].gateway[1];
		d->net.ports++;
	}
	if (routes_fill(d) != 0)
		return -EINVAL;
	net_conf_complete(&d->net);
	return 0;
}

static void ports_show(struct daemon *d)
{
	for (unsigned i = 0; i < d->net.ports && i < STAT_PORTS_MAX; i++) {
		struct stat_port *s = stat_seg_port(&d->stat, i);
		const struct nic *n = d->net.port[i].nic;

		stat_seg_addresses(s, d->net.port[i].addr, d->net.port[i].addrs); /* with those that were made */
		memcpy(s->mac, n->mac, sizeof(s->mac));
		s->mtu = n->mtu;
		s->queues = n->rx_queues;
	}
}

/* --- Start and end ------------------------------------------------------------------------------------------------------------ */

/* Memory of one packet: what frames need with the overhead of a driver's ring, and headers. */
static uint32_t packet_size(uint16_t mtu)
{
	uint32_t frame = (mtu + 146u + 1023) & ~1023u;

	return (frame > 2048 ? frame : 2048) + 640;
}

/* The main thread keeps the cores it was given; engines pin themselves. */
static int eal_start(const struct conf *conf)
{
	struct nic_eal_conf eal = { .hugepages = conf->hugepages };
	uint64_t buffers = 0, pages = 0;
	bool need = conf->cores > 1; /* the rings between engines */

	for (unsigned i = 0; i < conf->ports; i++) {
		if (conf->port[i].mode == CONF_REPLAY)
			continue;
		need = true;
		eal.pci |= nic_is_pci(conf->port[i].device);
		buffers += (uint64_t)conf->packets * packet_size(conf->port[i].mtu);
		pages += (uint64_t)conf->packets * ((packet_size(conf->port[i].mtu) + 4095) & ~4095u);
	}
	if (!need) {
		log_info("main", "there are only captures to be read: DPDK is not started");
		return 0;
	}
	eal.memory_mib = (unsigned)(buffers >> 20) + EAL_MEMORY_MIN_MIB;
	eal.ordinary_mib = (unsigned)(pages >> 20) + EAL_MEMORY_MIN_MIB;
	return nic_eal_init(&eal);
}

static void files_raise(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static void signals_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int cores_make(struct daemon *d)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) ||
	    getrandom(d->conf.tcp.secret, sizeof(d->conf.tcp.secret), 0) != sizeof(d->conf.tcp.secret))
		return -errno;
	d->steer = steer_create(d->conf.cores);
	if (d->steer == NULL && d->conf.cores > 1)
		return -errno;
	for (unsigned e = 0; e < d->conf.cores; e++) {
		struct core_conf c = {
			.index = e,
			.cpu = d->conf.core[e],
			.conf = &d->conf,
			.net = &d->net,
			.stat = &d->stat,
			.listeners = d->ctl.listeners,
			.to_control = &d->ctl.inbox,
			.reta = d->ctl.reta,
			.steer = d->steer,
			.peers = d->core,
			.seed = seed + e,
		};

		d->core[e] = core_create(&c);
		if (d->core[e] == NULL)
			return -errno;
	}
	return 0;
}

static void cores_stop(struct daemon *d)
{
	for (unsigned e = 0; e < d->conf.cores; e++) {
		d->stop[e].kind = MAIL_STOP;
		core_post(d->core[e], &d->stop[e]);
	}
	for (unsigned e = 0; e < d->conf.cores; e++)
		core_join(d->core[e]);
}

static int start(struct daemon *d)
{
	char why[256];
	int err;

	if (region_selftest(why, sizeof(why)) != 0) {
		log_err("main", "shared memory cannot be protected from clients on this kernel: %s", why);
		return -EPERM;
	}
	err = eal_start(&d->conf);
	if (err == 0)
		err = stat_seg_create(&d->stat, &d->conf);
	if (err == 0)
		err = ports_open(d);
	if (err == 0)
		err = ctl_open(&d->ctl, &d->conf, &d->stat);
	if (err != 0)
		return err;
	ports_show(d);
	d->ctl.net = &d->net;
	d->ctl.core = d->core;
	d->ctl.cores = d->conf.cores;
	d->ctl.listeners = listen_table_create(d->conf.cores);
	if (d->ctl.listeners == NULL)
		return -ENOMEM;
	err = cores_make(d);
	for (unsigned e = 0; e < d->conf.cores && err == 0; e++)
		err = core_start(d->core[e]);
	if (err == 0)
		err = priv_drop(d->conf.user);
	return err;
}

static void end(struct daemon *d)
{
	for (unsigned e = 0; e < d->conf.cores; e++)
		core_destroy(d->core[e]); /* first: connections refer to lanes and listeners */
	ctl_close(&d->ctl);
	steer_destroy(d->steer);
	listen_table_destroy(d->ctl.listeners);
	for (unsigned i = 0; i < d->net.ports; i++)
		nic_drop(d->net.port[i].nic); /* a bridge's frames belong to the other port */
	for (unsigned i = 0; i < d->net.ports; i++)
		nic_close(d->net.port[i].nic);
	stat_seg_destroy(&d->stat);
}

static int serve(struct daemon *d)
{
	int err = start(d);

	if (err != 0) {
		log_err("main", "stackd cannot start: %s", d->why[0] != '\0' ? d->why : strerror(-err));
		return EXIT_FAILURE;
	}
	log_info("main", "stackd %s is ready: %u engine%s, %u port%s, control socket %s", STACKD_VERSION, d->conf.cores,
		 d->conf.cores == 1 ? "" : "s", d->conf.ports, d->conf.ports == 1 ? "" : "s", d->conf.socket);
	priv_notify("READY=1");
	ctl_run(&d->ctl);
	priv_notify("STOPPING=1");
	cores_stop(d);
	end(d);
	log_info("main", "ended");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct options o = { 0 };
	int status = options_read(&o, argc, argv);

	if (status >= 0)
		return status;
	log_open(o.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (conf_read(&d.conf, o.file, stderr) != 0)
		return EXIT_FAILURE;
	if (o.check) {
		conf_print(&d.conf, stdout);
		return EXIT_SUCCESS;
	}
	files_raise();
	signals_block();
	return serve(&d);
}
