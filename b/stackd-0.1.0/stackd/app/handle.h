/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inside app/: the names of connections, and the list of those whose news wait for room.
 */
#ifndef STACKD_APP_HANDLE_H
#define STACKD_APP_HANDLE_H

#include "stackd/app/app.h"

/* The connection a client means, or NULL: index out of range, free, or of another generation. */
struct app_conn *handle_find(struct lane *l, struct handle handle);

/* A name for a connection that the engine accepted.  NULL when the client's bound is reached or memory is short. */
struct app_conn *handle_give(struct lane *l, struct tcp_conn *c);

/* The name a client chose for a connection it opens.  0; -EINVAL: not a name it may choose; -EEXIST: in use; -ENOMEM. */
int handle_take(struct lane *l, struct handle handle, struct app_conn **a);

/* The client has closed it. */
void handle_drop(struct app_conn *a);

/* Tell the client that its open failed at once; put off when the ring is full.  The name stays until it is closed. */
void app_tell_failure(struct app_env *env, struct app_conn *a);

/* The last word about a name that the client has closed: it is free, and so are its chunks.  Put off when the ring is full. */
void app_tell_last(struct app_env *env, struct app_conn *a);

void app_dirty(struct app_conn *a);
void app_clean(struct app_conn *a);

#endif
