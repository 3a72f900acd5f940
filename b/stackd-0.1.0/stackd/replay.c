/* SPDX-License-Identifier: BSD-3-Clause */
#include "stackd/replay.h"

#include <stdlib.h>

#include "stackd/log.h"

static bool exits(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->ports; i++) {
		if (conf->port[i].mode == CONF_REPLAY && conf->port[i].replay_end == CONF_END_EXIT)
			return true;
	}
	return false;
}

static bool nothing_else(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->ports; i++) {
		if (conf->port[i].mode != CONF_REPLAY)
			return false;
	}
	return true;
}

struct finish {
	struct mon_order order;
	struct mail letter;
};

void replay_ended(struct ctl *ctl)
{
	bool last = exits(ctl->conf);

	log_info("ctl", "the capture has been read%s", last ? "; stackd ends when monitors have seen it" : "");
	if (!last && !nothing_else(ctl->conf))
		return; /* other traffic goes on, and its flows with it */
	for (unsigned e = 0; e < ctl->cores; e++) {
		struct finish *f = calloc(1, sizeof(*f));

		if (f == NULL) {
			log_err("ctl", "no memory to end the flows of engine %u", e);
			continue;
		}
		f->order = (struct mon_order){ .kind = MON_ORDER_FINISH, .letter = &f->letter, .times = last };
		f->letter = (struct mail){ .kind = MAIL_MON_ORDER, .order = &f->order };
		core_post(ctl->core[e], &f->letter);
		ctl->finishing++;
	}
}

void replay_finished(struct ctl *ctl, struct mon_order *o)
{
	bool last = o->times != 0;

	free((struct finish *)o);
	if (--ctl->finishing > 0 || !last)
		return;
	log_info("ctl", "the replay is over");
	ctl->stop = true;
}
