/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Giving up privileges after start-up: capabilities, no_new_privs, a seccomp filter; and telling systemd.
 */
#ifndef STACKD_PRIV_H
#define STACKD_PRIV_H

/* Drop to `user` (empty: stay), keep only the capabilities that running ports need, set no_new_privs, and install the
 * seccomp filter on all threads.  Call it when every port is open and the engine threads run.  0 or -errno with a log line. */
int priv_drop(const char *user);

/* sd_notify(3): "READY=1", "STOPPING=1", "STATUS=...".  Nothing when not started by systemd. */
void priv_notify(const char *state);

#endif
