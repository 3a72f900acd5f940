/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Addresses on the command line, of both families: 10.9.0.1, fd00::1, fe80::1%1 (the number of stackd's port, counted from 1).
 */
#ifndef EXAMPLES_ADDR_H
#define EXAMPLES_ADDR_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

union addr {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t addr_len(const union addr *a)
{
	return a->any.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

/* All addresses: a socket bound to :: accepts connections of both families. */
static inline union addr addr_all(void)
{
	return (union addr){ .v6 = { .sin6_family = AF_INET6 } };
}

static inline void addr_port(union addr *a, unsigned port)
{
	*(a->any.sa_family == AF_INET6 ? &a->v6.sin6_port : &a->v4.sin_port) = htons((uint16_t)port);
}

/* 1, or 0 if text is no address.  An address of IPv6 may stand in brackets. */
static inline int addr_parse(union addr *a, const char *text)
{
	char plain[INET6_ADDRSTRLEN + 2], *zone;
	size_t n = strlen(text);

	memset(a, 0, sizeof(*a));
	a->any.sa_family = AF_INET;
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1)
		return 1;
	if (n > 1 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(plain))
		return 0;
	memcpy(plain, text, n);
	plain[n] = '\0';
	zone = strchr(plain, '%');
	if (zone != NULL)
		*zone++ = '\0';
	*a = addr_all();
	a->v6.sin6_scope_id = zone != NULL ? (uint32_t)strtoul(zone, NULL, 10) : 0;
	return inet_pton(AF_INET6, plain, &a->v6.sin6_addr) == 1;
}

#endif
