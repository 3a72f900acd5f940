/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Giving up privileges after start-up: capabilities, no_new_privs, a seccomp filter; and telling systemd.
 */
#ifndef STACKD_PRIV_H
#define STACKD_PRIV_H

/* Drop to `user` (empty: stay), give up every capability, set no_new_privs, and install the seccomp filter, all of it on all
 * threads.  An open port needs no capability to send and receive; main.c reads no file and opens no port after this.
 * Call it when every port is open and the engine threads run.  0 or -errno with a log line. */
int priv_drop(const char *user);

/* priv_drop's last step: the system calls that stackd needs from here on, and no others, on all threads.  A call that is
 * not among them fails with EPERM and leaves a line in the audit log: one forgotten here costs a function, not the service.
 * 0 or -errno. */
int priv_filter(void);

/* sd_notify(3): "READY=1", "STOPPING=1", "STATUS=...".  Nothing when not started by systemd. */
void priv_notify(const char *state);

#endif
