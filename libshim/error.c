/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How libshim speaks: errno for every failure, a sentence where errno is too short, notices for whoever listens.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

static _Thread_local char text[SHM_TEXT_MAX * 2];
static _Thread_local bool is_new; /* said since the last failure: about the one to come */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static mtcp_log_fn log_fn;
static void *log_arg;

ssize_t shim_ret(ssize_t r)
{
	if (r >= 0)
		return r;
	if (!is_new)
		text[0] = '\0';
	is_new = false;
	errno = (int)-r;
	return -1;
}

static void say(const char *fmt, va_list ap)
{
	vsnprintf(text, sizeof(text), fmt, ap);
	is_new = true;
}

void shim_text(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int shim_why(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return err;
}

const char *mtcp_error_text(void)
{
	return text;
}

void mtcp_set_log(mtcp_log_fn fn, void *arg)
{
	pthread_mutex_lock(&log_lock);
	log_fn = fn;
	log_arg = arg;
	pthread_mutex_unlock(&log_lock);
}

void shim_notice(const char *fmt, ...)
{
	char line[SHM_TEXT_MAX * 2];
	mtcp_log_fn fn;
	void *arg;
	va_list ap;

	pthread_mutex_lock(&log_lock);
	fn = log_fn;
	arg = log_arg;
	pthread_mutex_unlock(&log_lock);
	if (fn == NULL && secure_getenv("SHIM_LOG") == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (fn != NULL)
		fn(arg, line);
	else
		fprintf(stderr, "libshim: %s\n", line);
}
