/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Starting DPDK's environment so that nobody has to know it: hugepages when enough are free, ordinary memory otherwise,
 * nothing shared with other processes, no files left behind, its messages in our log, the caller's CPU affinity as it was.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "stackd/log.h"
#include "stackd/nic/nic.h"

enum {
	EAL_MEMORY_MIB = 512, /* when the caller does not say */
	EAL_ARGS_MAX = 24,
	EAL_ARG_SIZE = 96,
};

struct eal_args {
	char text[EAL_ARGS_MAX][EAL_ARG_SIZE];
	char *argv[EAL_ARGS_MAX + 1];
	int argc;
};

static bool eal_ready, eal_huge;

static bool hugepages_wanted(const char *choice, unsigned memory_mib, int *err);
static int first_cpu(const cpu_set_t *set);
static void log_to_ours(void);

static void arg_add(struct eal_args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void arg_add(struct eal_args *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->text[a->argc], EAL_ARG_SIZE, fmt, ap);
	va_end(ap);
	a->argv[a->argc] = a->text[a->argc];
	a->argc++;
}

/* DPDK 22.11 refuses --no-huge with --in-memory; --no-shconf then keeps it from leaving files. */
static void args_make(struct eal_args *a, const struct nic_eal_conf *c, bool huge, unsigned memory_mib, int cpu)
{
	arg_add(a, "stackd");
	if (huge) {
		arg_add(a, "--in-memory");
	} else {
		arg_add(a, "--no-huge");
		arg_add(a, "--no-shconf");
	}
	arg_add(a, "-m");
	arg_add(a, "%u", memory_mib);
	arg_add(a, "--file-prefix=stackd%ld", (long)getpid());
	if (c->lcores)
		arg_add(a, "--lcores=%s", c->lcores);
	else
		arg_add(a, "--lcores=0@%d", cpu);
	arg_add(a, "--no-telemetry");
	arg_add(a, "--log-level=*:warning");
	if (!c->pci) {
		arg_add(a, "--no-pci");
		arg_add(a, "--iova-mode=va");
	}
}

static int eal_start(struct eal_args *a)
{
	cpu_set_t before;
	int ret;

	pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	ret = rte_eal_init(a->argc, a->argv);
	if (ret < 0)
		ret = rte_errno ? -rte_errno : -EIO;
	pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
	if (ret >= 0)
		rmdir(rte_eal_get_runtime_dir()); /* empty: nothing is shared */
	return ret < 0 ? ret : 0;
}

int nic_eal_init(const struct nic_eal_conf *c)
{
	unsigned memory_mib = c->memory_mib ? c->memory_mib : EAL_MEMORY_MIB;
	struct eal_args args = {.argc = 0};
	cpu_set_t allowed;
	bool huge;
	int ret = 0;

	if (eal_ready)
		return 0;
	huge = hugepages_wanted(c->hugepages ? c->hugepages : "auto", memory_mib, &ret);
	if (ret)
		return ret;
	if (!huge && c->ordinary_mib > memory_mib)
		memory_mib = c->ordinary_mib;
	CPU_ZERO(&allowed);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	log_to_ours();
	args_make(&args, c, huge, memory_mib, first_cpu(&allowed));
	ret = eal_start(&args);
	if (ret) {
		log_err("nic", "DPDK did not start: %s", strerror(-ret));
		return ret;
	}
	eal_ready = true;
	eal_huge = huge;
	log_info("nic", "DPDK started with %u MiB of %s", memory_mib, huge ? "hugepages" : "ordinary memory");
	return 0;
}

bool nic_eal_ready(void)
{
	return eal_ready;
}

bool nic_eal_hugepages(void)
{
	return eal_huge;
}

int nic_thread_register(void)
{
	if (!eal_ready || rte_lcore_id() != LCORE_ID_ANY)
		return 0;
	return rte_thread_register() ? -rte_errno : 0;
}

/* "0000:03:00.0" or "03:00.0", then the end, a comma or a slash. */
bool nic_is_pci(const char *device)
{
	unsigned domain, bus, dev, fn;
	int end = 0;

	if (sscanf(device, "%4x:%2x:%2x.%1x%n", &domain, &bus, &dev, &fn, &end) != 4 &&
	    sscanf(device, "%2x:%2x.%1x%n", &bus, &dev, &fn, &end) != 3)
		return false;
	return end > 0 && (device[end] == '\0' || device[end] == ',');
}

/* The first CPU this thread may use; EAL pins its caller there, for a moment. */
static int first_cpu(const cpu_set_t *set)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, set))
			return cpu;
	return 0;
}

static unsigned long read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* MiB in free hugepages of all sizes. */
static unsigned long hugepages_free_mib(void)
{
	static const char dir[] = "/sys/kernel/mm/hugepages";
	DIR *d = opendir(dir);
	unsigned long mib = 0, kb;
	char path[512];
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (sscanf(e->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", dir, e->d_name);
		mib += read_number(path) * (kb / 1024);
	}
	if (d)
		closedir(d);
	return mib;
}

static bool hugepages_wanted(const char *choice, unsigned memory_mib, int *err)
{
	unsigned long free_mib = hugepages_free_mib();

	if (strcmp(choice, "never") == 0)
		return false;
	if (free_mib >= memory_mib)
		return true;
	if (strcmp(choice, "always") == 0) {
		log_err("nic", "hugepages = \"always\", but only %lu of %u MiB are free; sysctl vm.nr_hugepages=%u", free_mib,
		        memory_mib, memory_mib / 2);
		*err = -ENOMEM;
	} else if (free_mib > 0) {
		log_info("nic", "only %lu MiB of hugepages are free, %u are needed: ordinary memory it is", free_mib, memory_mib);
	}
	return false;
}

/* What drivers call errors and is none here: net_tap looks for features that it can do without, and a
 * directory that is not used cannot be made. */
static bool is_harmless(const char *buf, size_t len)
{
	static const char *const text[] = {"qdisc", "rte flow support", "req to secondary", "Error creating '/var/run/dpdk"};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		if (memmem(buf, len, text[i], strlen(text[i])))
			return true;
	return false;
}

static ssize_t log_write(void *cookie, const char *buf, size_t size)
{
	int level = rte_log_cur_msg_loglevel();
	size_t len = size;

	(void)cookie;
	while (len > 0 && isspace((unsigned char)buf[len - 1]))
		len--;
	if (len == 0)
		return (ssize_t)size;
	if (level >= 1 && level <= (int)RTE_LOG_ERR && !is_harmless(buf, len))
		log_warn("dpdk", "%.*s", (int)len, buf);
	else
		log_debug("dpdk", "%.*s", (int)len, buf);
	return (ssize_t)size;
}

static void log_to_ours(void)
{
	static const cookie_io_functions_t io = {.write = log_write};
	FILE *f = fopencookie(NULL, "w", io);

	if (!f)
		return;
	setvbuf(f, NULL, _IOLBF, 0);
	rte_openlog_stream(f);
}
