/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The end of a replay, on the control thread: the captures have been read, so all flows end, monitors take what is left, and
 * then stackd ends, if it was told to.
 */
#ifndef STACKD_REPLAY_H
#define STACKD_REPLAY_H

#include "stackd/ctl.h"

/* MAIL_REPLAYED: the captures are read. */
void replay_ended(struct ctl *ctl);

/* MAIL_MON_DONE with a MON_ORDER_FINISH. */
void replay_finished(struct ctl *ctl, struct mon_order *o);

#endif
