/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading the statistics segment.
 */
#include "stackctl/segment.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { TRIES = 10000 };

/* `count` records of `size` bytes from `off` lie inside. */
static bool inside(const struct segment *s, uint64_t off, uint64_t count, uint64_t size)
{
	return off % 8 == 0 && off <= s->size && (count == 0 || size <= (s->size - off) / count);
}

static bool is_sound(const struct segment *s)
{
	const struct stat_head *h = &s->head;

	return h->engine_size >= sizeof(struct stat_engine) && h->engine_size % 8 == 0 &&
	       h->counters <= (h->engine_size - sizeof(struct stat_engine)) / sizeof(uint64_t) &&
	       h->nic_counters <= STAT_NIC_COUNTERS &&
	       inside(s, h->counter_names_off, h->counters, sizeof(struct stat_name)) &&
	       inside(s, h->nic_names_off, h->nic_counters, sizeof(struct stat_name)) &&
	       inside(s, h->engine_off, h->engines, h->engine_size) &&
	       inside(s, h->port_off, h->ports, sizeof(struct stat_port)) &&
	       inside(s, h->app_off, h->apps, sizeof(struct stat_app)) &&
	       inside(s, h->monitor_off, h->apps, sizeof(struct stat_monitor)) &&
	       inside(s, h->group_off, h->groups, sizeof(struct stat_group)) &&
	       inside(s, h->listener_off, h->listeners, sizeof(struct stat_listener)) &&
	       inside(s, h->flow_off, (uint64_t)h->engines * h->flows, sizeof(struct stat_flow));
}

int segment_map(struct segment *s, int fd, char *why, size_t why_size)
{
	struct stat st;
	void *base;

	memset(s, 0, sizeof(*s));
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct stat_head)) {
		snprintf(why, why_size, "stackd's statistics cannot be read");
		return -1;
	}
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		snprintf(why, why_size, "stackd's statistics cannot be mapped: %s", strerror(errno));
		return -1;
	}
	s->base = base;
	s->size = (size_t)st.st_size;
	memcpy(&s->head, base, sizeof(s->head));
	s->head.version[STAT_NAME - 1] = '\0';
	if (s->head.magic != STAT_MAGIC || s->head.abi != SHM_ABI)
		snprintf(why, why_size, "stackd %s shows its statistics in another form than this stackctl %s reads",
		         s->head.magic == STAT_MAGIC ? s->head.version : "(?)", STACKD_VERSION);
	else if (!is_sound(s))
		snprintf(why, why_size, "stackd's statistics contradict themselves");
	else
		return 0;
	segment_unmap(s);
	return -1;
}

void segment_unmap(struct segment *s)
{
	if (s->base != NULL)
		munmap((void *)s->base, s->size);
	memset(s, 0, sizeof(*s));
}

static const char *at(const struct segment *s, uint64_t off, uint64_t i, size_t size)
{
	return (const char *)s->base + off + i * size;
}

/* Copy a record that begins with a version word.  Pairs with stat_write_begin() and stat_write_end(). */
static bool copy(void *to, const void *from, size_t size)
{
	const _Atomic uint32_t *version = from;

	for (int i = 0; i < TRIES; i++) {
		uint32_t before = atomic_load_explicit(version, memory_order_acquire);

		if (before % 2 != 0)
			continue;
		memcpy(to, from, size);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(version, memory_order_relaxed) == before)
			return true;
	}
	return false;
}

bool segment_app(const struct segment *s, unsigned i, struct stat_app *a)
{
	if (i >= s->head.apps || !copy(a, at(s, s->head.app_off, i, sizeof(*a)), sizeof(*a)))
		return false;
	a->name[STAT_NAME - 1] = a->reason[STAT_TEXT - 1] = '\0';
	return a->id != 0 && a->state != STAT_APP_FREE;
}

bool segment_monitor(const struct segment *s, unsigned i, struct stat_monitor *m)
{
	return i < s->head.apps && copy(m, at(s, s->head.monitor_off, i, sizeof(*m)), sizeof(*m)) && m->right != 0;
}

bool segment_group(const struct segment *s, unsigned i, struct stat_group *g)
{
	if (i >= s->head.groups || !copy(g, at(s, s->head.group_off, i, sizeof(*g)), sizeof(*g)))
		return false;
	g->scope[sizeof(g->scope) - 1] = '\0';
	return g->members != 0;
}

bool segment_listener(const struct segment *s, unsigned i, struct stat_listener *l)
{
	return i < s->head.listeners && copy(l, at(s, s->head.listener_off, i, sizeof(*l)), sizeof(*l)) && l->app != 0;
}

bool segment_flow(const struct segment *s, unsigned engine, unsigned slot, struct stat_flow *f)
{
	uint64_t i = (uint64_t)engine * s->head.flows + slot;

	return engine < s->head.engines && slot < s->head.flows &&
	       copy(f, at(s, s->head.flow_off, i, sizeof(*f)), sizeof(*f)) && f->state != 0;
}

bool segment_port(const struct segment *s, unsigned i, struct stat_port *p)
{
	if (i >= s->head.ports)
		return false;
	memcpy(p, at(s, s->head.port_off, i, sizeof(*p)), sizeof(*p));
	p->name[sizeof(p->name) - 1] = p->device[sizeof(p->device) - 1] = p->address[sizeof(p->address) - 1] = '\0';
	return true;
}

bool segment_engine(const struct segment *s, unsigned i, struct stat_engine *e)
{
	if (i >= s->head.engines)
		return false;
	memcpy(e, at(s, s->head.engine_off, i, s->head.engine_size), sizeof(*e));
	return true;
}

uint64_t segment_counter(const struct segment *s, unsigned engine, unsigned counter)
{
	const struct stat_engine *e;

	if (engine >= s->head.engines || counter >= s->head.counters)
		return 0;
	e = (const struct stat_engine *)at(s, s->head.engine_off, engine, s->head.engine_size);
	return atomic_load_explicit((const _Atomic uint64_t *)&e->n[counter], memory_order_relaxed);
}

static bool name_at(const struct segment *s, uint64_t off, unsigned count, unsigned i, struct stat_name *n)
{
	if (i >= count)
		return false;
	memcpy(n, at(s, off, i, sizeof(*n)), sizeof(*n));
	n->name[STAT_NAME - 1] = n->text[STAT_TEXT - 1] = '\0';
	return true;
}

bool segment_counter_name(const struct segment *s, unsigned counter, struct stat_name *n)
{
	return name_at(s, s->head.counter_names_off, s->head.counters, counter, n);
}

bool segment_nic_name(const struct segment *s, unsigned counter, struct stat_name *n)
{
	return name_at(s, s->head.nic_names_off, s->head.nic_counters, counter, n);
}
