/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Device strings ("net_af_packet0,iface=veth0") and the file descriptors behind a device.  No DPDK in here.
 *
 * For the control thread.
 */
#ifndef STACKD_NIC_DEVARGS_H
#define STACKD_NIC_DEVARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEVARGS_SIZE = 384, DEVARGS_FDS = 4096 };

/* Copy device to out, adding what the user left out and the device needs for so many queues and this MTU.  0; -ENAMETOOLONG;
 * -ENODEV with a log line when it names a network interface that is not there. */
int devargs_complete(char out[DEVARGS_SIZE], const char *device, unsigned queues, uint16_t mtu);

/* Bytes of a frame's place in the driver's ring, which a buffer must hold too; 0: the device says nothing about it. */
uint32_t devargs_frame_size(const char *device);

/* The device's name: what stands before the first comma. */
void devargs_name(char *name, size_t size, const char *device);

/* Which of this process's descriptors were open at a moment. */
struct devargs_fds {
	bool open[DEVARGS_FDS];
};
void devargs_fds_now(struct devargs_fds *f);

/* Everything that the interface behind a packet socket (AF_PACKET) sees shall come, or, groups_only, all that is sent to groups, as
 * long as the socket is open.  0 or -errno. */
int devargs_receive(int fd, bool groups_only);

/* Packet sockets (AF_PACKET, AF_XDP) opened since, in rising order, at most max; returns how many. */
unsigned devargs_sockets_since(const struct devargs_fds *before, int *fd, unsigned max);

#endif
