/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What dpdk.c knows about particular device strings, and how it finds the sockets of drivers that do not show them.
 */
#define _GNU_SOURCE
#include "stackd/nic/devargs.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stackd/log.h"

enum {
	AF_PACKET_NUMBER = 17,
	AF_XDP_NUMBER = 44,
	TPACKET_OVERHEAD = 128, /* a frame's place in the ring also holds its tpacket2_hdr and addresses */
	TPACKET_FRAME = 2048,
	TPACKET_FRAMES = 2048,
};

static bool is_kind(const char *device, const char *kind)
{
	return strncmp(device, kind, strlen(kind)) == 0;
}

static const char *find_key(const char *device, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = strchr(device, ','); p; p = strchr(p + 1, ','))
		if (strncmp(p + 1, key, len) == 0 && p[1 + len] == '=')
			return p + 2 + len;
	return NULL;
}

static int append(char out[DEVARGS_SIZE], const char *key, unsigned value)
{
	size_t used = strlen(out);
	int n = snprintf(out + used, DEVARGS_SIZE - used, ",%s=%u", key, value);

	return n < 0 || (size_t)n >= DEVARGS_SIZE - used ? -ENAMETOOLONG : 0;
}

static int append_missing(char out[DEVARGS_SIZE], const char *key, unsigned value)
{
	return find_key(out, key) ? 0 : append(out, key, value);
}

/* The driver's defaults are 512 places of 2048 bytes: too few for a burst of many connections, too short for jumbo frames. */
static int complete_af_packet(char out[DEVARGS_SIZE], unsigned queues, uint16_t mtu)
{
	unsigned frame = (mtu + 18u + TPACKET_OVERHEAD + 1023) & ~1023u;
	bool jumbo = frame > TPACKET_FRAME && !find_key(out, "framesz") && !find_key(out, "blocksz");
	int ret = 0;

	if (queues > 1)
		ret = append_missing(out, "qpairs", queues);
	if (!ret && jumbo)
		ret = append(out, "framesz", frame);
	if (!ret && jumbo)
		ret = append(out, "blocksz", frame * 4); /* a multiple of the page size */
	if (ret || (find_key(out, "framesz") && !jumbo))
		return ret;
	return append_missing(out, "framecnt", jumbo ? TPACKET_FRAMES / 4 : TPACKET_FRAMES);
}

/* net_af_packet asks the kernel to put IP fragments together, and to let a flow change its queue when one is full.  But a bridge must
 * pass fragments as they came, a whole datagram does not fit into the driver's ring, and flows must keep their order.  Before DPDK
 * 24.11 the driver has no option against that, so this program's setsockopt() is found before libc's (exported.list), and leaves out
 * both wishes. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	unsigned fanout;

	if (level == SOL_PACKET && name == PACKET_FANOUT && len == sizeof(fanout)) {
		memcpy(&fanout, value, sizeof(fanout));
		fanout &= ~((unsigned)(PACKET_FANOUT_FLAG_DEFRAG | PACKET_FANOUT_FLAG_ROLLOVER) << 16);
		value = &fanout;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* Drivers on kernel interfaces say little when the interface is not there. */
static int check_iface(const char *device)
{
	const char *value = find_key(device, "iface");
	char iface[IF_NAMESIZE];

	if (!value && if_nametoindex(device)) {
		log_err("nic", "%s is an interface of the kernel; its device is \"net_af_packet0,iface=%s\"", device, device);
		return -ENODEV;
	}
	if (!value || is_kind(device, "net_tap") || is_kind(device, "net_vhost") || is_kind(device, "net_tun"))
		return 0;
	snprintf(iface, sizeof(iface), "%.*s", (int)strcspn(value, ","), value);
	if (if_nametoindex(iface))
		return 0;
	log_err("nic", "%s: there is no interface %s in this network namespace (ip link shows them)", device, iface);
	return -ENODEV;
}

int devargs_complete(char out[DEVARGS_SIZE], const char *device, unsigned queues, uint16_t mtu)
{
	int n = snprintf(out, DEVARGS_SIZE, "%s", device);

	if (n < 0 || n >= DEVARGS_SIZE)
		return -ENAMETOOLONG;
	n = check_iface(device);
	if (n == 0 && is_kind(device, "net_af_packet"))
		n = complete_af_packet(out, queues, mtu);
	return n;
}

uint32_t devargs_frame_size(const char *device)
{
	const char *value = is_kind(device, "net_af_packet") ? find_key(device, "framesz") : NULL;
	unsigned long size = value ? strtoul(value, NULL, 10) : 0;

	return size < UINT16_MAX ? (uint32_t)size : 0;
}

void devargs_name(char *name, size_t size, const char *device)
{
	snprintf(name, size, "%.*s", (int)strcspn(device, ","), device);
}

void devargs_fds_now(struct devargs_fds *f)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	memset(f, 0, sizeof(*f));
	while (d && (e = readdir(d))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] != '.' && fd >= 0 && fd < DEVARGS_FDS)
			f->open[fd] = true;
	}
	if (d)
		closedir(d);
}

static bool is_packet_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       (domain == AF_PACKET_NUMBER || domain == AF_XDP_NUMBER);
}

int devargs_receive(int fd, bool groups_only)
{
	struct sockaddr_ll bound;
	struct packet_mreq m = {.mr_type = groups_only ? PACKET_MR_ALLMULTI : PACKET_MR_PROMISC};
	socklen_t len = sizeof(bound);

	if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
		return -errno;
	if (bound.sll_family != AF_PACKET)
		return -EINVAL;
	m.mr_ifindex = bound.sll_ifindex;
	return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof(m)) == 0 ? 0 : -errno;
}

unsigned devargs_sockets_since(const struct devargs_fds *before, int *fd, unsigned max)
{
	struct devargs_fds *now = malloc(sizeof(*now));
	unsigned n = 0;

	if (!now)
		return 0;
	devargs_fds_now(now);
	for (int i = 0; i < DEVARGS_FDS && n < max; i++)
		if (now->open[i] && !before->open[i] && is_packet_socket(i))
			fd[n++] = i;
	free(now);
	return n;
}
