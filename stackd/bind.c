/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A client's ports: reserving them, listening on them, letting go.  The table itself is tcp/listen.c's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/ctl.h"
#include "stackd/log.h"

enum { PORTS_MAX = 4096 }; /* of one context */

static struct client_port *port_find(const struct client *c, uint32_t cookie)
{
	for (struct client_port *p = c->port; p != NULL; p = p->next) {
		if (p->waiting == 0 && p->listener->cookie == cookie)
			return p;
	}
	return NULL;
}

static bool addr_any(const struct ipaddr *a)
{
	static const struct ipaddr v4_any = { .b = { [10] = 0xff, [11] = 0xff } };
	static const struct ipaddr any;

	return memcmp(a, &any, sizeof(any)) == 0 || memcmp(a, &v4_any, sizeof(v4_any)) == 0;
}

static bool addr_is_ours(const struct ctl *ctl, const struct ipaddr *addr)
{
	for (unsigned p = 0; p < ctl->net->ports; p++) {
		const struct net_port_conf *port = &ctl->net->port[p];

		for (unsigned a = 0; a < port->addrs; a++) {
			if (memcmp(&port->addr[a].addr, addr, sizeof(*addr)) == 0)
				return true;
		}
	}
	return false;
}

static bool is_endpoint(const struct client *c)
{
	if (c->rule->endpoint)
		return true;
	log_info("ctl", "app %u (%s) may not have ports: the rule for %s in %s does not say endpoint = true", c->id, c->name,
		 c->rule->name, c->ctl->conf->file);
	return false;
}

/* 0 or an errno. */
static int bind_check(const struct client *c, const struct ctl_bind *b)
{
	if (!is_endpoint(c))
		return EACCES;
	if (c->ports >= PORTS_MAX)
		return ENOBUFS;
	if (port_find(c, b->cookie) != NULL || (b->flags & ~(BIND_REUSEPORT | BIND_V6ONLY)) != 0)
		return EINVAL;
	if (b->port != 0 && !conf_client_may_bind(c->rule, b->port)) {
		log_info("ctl", "app %u (%s) may not bind port %u: the rule for %s in %s does not name it in `ports`", c->id,
			 c->name, b->port, c->rule->name, c->ctl->conf->file);
		return EACCES;
	}
	if (!addr_any(&b->addr) && !addr_is_ours(c->ctl, &b->addr))
		return EADDRNOTAVAIL;
	return 0;
}

static int bind_one(struct client *c, const struct ctl_bind *b, struct client_port **out)
{
	const struct tcp_conf *tcp = &c->ctl->conf->tcp;
	struct tcp_owner *owner[SHM_ENGINES_MAX];
	struct listen_who who = { c->id, b->cookie, c->cred.pid, c->cred.uid, c->home, owner };
	struct client_port *p = calloc(1, sizeof(*p) + c->ctl->cores * sizeof(p->out[0]));

	if (p == NULL)
		return ENOMEM;
	for (unsigned e = 0; e < c->ctl->cores; e++)
		owner[e] = &c->lane[e]->owner;
	p->listener = listen_bind(c->ctl->listeners, &who, &b->addr, b->port, b->flags, tcp->port_min, tcp->port_max);
	if (p->listener == NULL) {
		int err = errno;

		free(p);
		return err;
	}
	p->listener->user = c;
	p->next = c->port;
	c->port = p;
	c->ports++;
	*out = p;
	return 0;
}

void client_bind(struct client *c, const struct ctl_msg *m)
{
	struct client_port *p = NULL;
	int err = bind_check(c, &m->bind);

	if (err == 0)
		err = bind_one(c, &m->bind, &p);
	client_reply(c, m->head.id, err, p != NULL ? p->listener->port : 0);
}

void client_listen(struct client *c, const struct ctl_msg *m)
{
	struct client_port *p = port_find(c, m->listen.cookie);
	int err = is_endpoint(c) ? EINVAL : EACCES;

	if (p != NULL) {
		listen_options(p->listener, m->listen.set, m->listen.opt);
		err = -listen_start(c->ctl->listeners, p->listener, m->listen.backlog);
	}
	client_reply(c, m->head.id, err, 0);
}

/* Out of the table now, out of every engine soon. */
static void port_out(struct client *c, struct client_port *p)
{
	listen_remove(c->ctl->listeners, p->listener);
	for (unsigned e = 0; e < c->ctl->cores; e++) {
		p->out[e] = (struct mail){ .kind = MAIL_LISTENER_OUT, .listener = p->listener };
		core_post(c->ctl->core[e], &p->out[e]);
		p->waiting++;
	}
}

void client_unbind(struct client *c, const struct ctl_msg *m)
{
	struct client_port *p = port_find(c, m->sock.cookie);

	if (p == NULL) {
		client_reply(c, m->head.id, EINVAL, 0);
		return;
	}
	p->unbind_id = m->head.id;
	p->answer = true;
	port_out(c, p);
}

void client_unbind_all(struct client *c)
{
	for (struct client_port *p = c->port; p != NULL; p = p->next) {
		if (p->waiting == 0)
			port_out(c, p);
	}
}
