/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The daemon's log: one line per event on stderr, "module: text", with the priority prefix of sd-daemon(3) when stderr is
 * the journal.  The packet path counts and does not log.
 *
 * Thread-safety: any thread; a line is one write(2).
 */
#ifndef STACKD_LOG_H
#define STACKD_LOG_H

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_open(enum log_level upto);
void log_line(enum log_level level, const char *module, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_err(module, ...) log_line(LOG_LEVEL_ERR, module, __VA_ARGS__)
#define log_warn(module, ...) log_line(LOG_LEVEL_WARN, module, __VA_ARGS__)
#define log_info(module, ...) log_line(LOG_LEVEL_INFO, module, __VA_ARGS__)
#define log_debug(module, ...) log_line(LOG_LEVEL_DEBUG, module, __VA_ARGS__)

#endif
