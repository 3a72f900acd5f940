/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Configuration files: whatever they say, conf_read() returns, and what it accepts is within the bounds that stackd relies on.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "stackd/conf.h"
#include "tests/fuzz/drive.h"

/* libconfig forgets a string that is not ended */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\n";
}

static void wrong(const char *what)
{
	fprintf(stderr, "fuzz_conf: %s (FUZZ_ONE=%ju)\n", what, (uintmax_t)DRIVE_SEED);
	abort();
}

static void check(const struct conf *c)
{
	if (c->cores == 0 || c->cores > CONF_CORES_MAX || c->clients > CONF_CLIENTS_MAX)
		wrong("cores or clients");
	if (c->ports > NET_PORTS_MAX || c->routes > NET_ROUTES_MAX)
		wrong("ports or routes");
	if (c->ring_slots == 0 || (c->ring_slots & (c->ring_slots - 1)) != 0 || c->max_clients == 0)
		wrong("ring_slots or max_clients");
	for (unsigned i = 0; i < c->clients; i++) {
		const struct conf_client *r = &c->client[i];

		if (r->ports > CONF_RANGES_MAX || memchr(r->name, '\0', sizeof(r->name)) == NULL)
			wrong("a rule");
		if (r->max_sockets >= HANDLE_ACTIVE)
			wrong("max_sockets");
	}
	for (unsigned i = 0; i < c->ports; i++) {
		if (c->port[i].addrs > NET_ADDRS_MAX || memchr(c->port[i].device, '\0', sizeof(c->port[i].device)) == NULL)
			wrong("a port");
	}
	if (c->tcp.port_min > c->tcp.port_max || c->tcp.rto_min_ms > c->tcp.rto_max_ms)
		wrong("tcp");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;
	static struct conf c;
	char path[32];
	int fd = memfd_create("conf", MFD_CLOEXEC);

	if (null == NULL)
		null = fopen("/dev/null", "w");
	/* @include would read other files: that is libconfig's and the operator's affair */
	if (fd >= 0 && memmem(data, size, "@include", 8) == NULL && write(fd, data, size) == (ssize_t)size) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (conf_read(&c, path, null) == 0) {
			check(&c);
			conf_print(&c, null);
		}
	}
	close(fd);
	return 0;
}

DRIVE_MAIN("conf", 5000, 4096)
