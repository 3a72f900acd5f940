/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Monitor lanes: making and freeing them.  What goes through them is emit.c's (events) and order.c's (commands).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stackd/mon/mon.h"

static int lane_regions(struct mon_lane *l, const struct mon_lane_conf *conf)
{
	size_t events = (size_t)conf->ring_slots * SHM_LINE, cmds = (size_t)conf->cmd_slots * SHM_LINE;
	int err;

	err = region_create(&l->down, REGION_A, sizeof(struct mon_down) + events, "stackd-mon-down");
	if (err != 0)
		return err;
	err = region_create(&l->up, REGION_B, sizeof(struct mon_up) + cmds + conf->edit_size, "stackd-mon-up");
	if (err != 0)
		return err;
	l->dn = l->down.base;
	l->upp = l->up.base;
	l->edit = (const uint8_t *)l->up.base + sizeof(struct mon_up) + cmds;
	l->edit_size = conf->edit_size;
	ring_prod_init(&l->events, l->dn->event, &l->upp->event_done, conf->ring_slots);
	ring_cons_init(&l->cmds, l->upp->cmd, &l->dn->cmd_done, conf->cmd_slots);
	return 0;
}

int mon_lane_create(const struct mon_lane_conf *conf, struct mon_lane **out)
{
	struct mon_lane *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL)
		return -ENOMEM;
	l->engine = conf->engine;
	l->app = conf->app;
	l->group = conf->group;
	l->policy = conf->policy;
	l->lossless = conf->lossless;
	l->wake_fd = conf->wake_fd;
	l->down.fd = l->up.fd = -1;
	l->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = l->doorbell_fd < 0 ? -errno : lane_regions(l, conf);
	if (err != 0) {
		mon_lane_destroy(l);
		return err;
	}
	*out = l;
	return 0;
}

void mon_lane_destroy(struct mon_lane *l)
{
	if (l == NULL)
		return;
	region_destroy(&l->down);
	region_destroy(&l->up);
	if (l->doorbell_fd >= 0)
		close(l->doorbell_fd);
	free(l);
}
