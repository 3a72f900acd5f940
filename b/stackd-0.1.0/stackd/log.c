/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Log lines: formatted into one buffer, written by one write(2).  What clients cause is logged too, so there is a bound on
 * lines per second, and control characters in names do not reach a terminal.
 */
#include "stackd/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 1024,
	BURST = 200,    /* lines that may come at once */
	PER_SECOND = 20,
};

static enum log_level log_upto = LOG_LEVEL_INFO;
static bool log_journal;

static struct {
	pthread_mutex_t lock;
	unsigned left;
	uint64_t filled_s, suppressed;
} bucket = { .lock = PTHREAD_MUTEX_INITIALIZER, .left = BURST };

static bool stderr_is_journal(void);
static size_t put_head(char *line, size_t size, enum log_level level);
static void write_line(char *line, size_t len);
static bool may_log(uint64_t *suppressed);

void log_open(enum log_level upto)
{
	log_upto = upto;
	log_journal = stderr_is_journal();
	tzset(); /* now, while files may be opened */
}

void log_line(enum log_level level, const char *module, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	uint64_t suppressed = 0;
	size_t n;
	va_list ap;

	if (level > log_upto || !may_log(&suppressed))
		return;
	if (suppressed > 0) {
		n = put_head(line, sizeof(line), LOG_LEVEL_WARN);
		n += (size_t)snprintf(line + n, sizeof(line) - n, "log: %ju lines were too many and are not shown",
		                      (uintmax_t)suppressed);
		write_line(line, n);
	}
	n = put_head(line, sizeof(line), level);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%.32s: ", module);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	write_line(line, n + strlen(line + n));
}

/* systemd says which device and inode its stream has (systemd.exec(5)); stderr may have been redirected since. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

/* The journal has its own clock and wants a priority (sd-daemon(3)); people want the time. */
static size_t put_head(char *line, size_t size, enum log_level level)
{
	static const char *const prefix[] = { "<3>", "<4>", "<6>", "<7>" };
	static const char *const word[] = { "error: ", "warning: ", "", "debug: " };
	struct timespec now;
	struct tm tm;

	if (log_journal)
		return (size_t)snprintf(line, size, "%s", prefix[level]);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	return (size_t)snprintf(line, size, "%02d:%02d:%02d.%03ld %s", tm.tm_hour, tm.tm_min, tm.tm_sec,
	                        now.tv_nsec / 1000000, word[level]);
}

static void write_line(char *line, size_t len)
{
	int saved = errno;

	if (len > LINE_MAX_BYTES - 1)
		len = LINE_MAX_BYTES - 1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 127)
			line[i] = '?';
	line[len] = '\n';
	if (write(STDERR_FILENO, line, len + 1) < 0) {
		/* nobody is left to be told */
	}
	errno = saved;
}

/* Takes a token.  *suppressed: lines dropped since the last one that passed. */
static bool may_log(uint64_t *suppressed)
{
	struct timespec now;
	bool ok;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&bucket.lock);
	if ((uint64_t)now.tv_sec > bucket.filled_s) {
		uint64_t more = ((uint64_t)now.tv_sec - bucket.filled_s) * PER_SECOND + bucket.left;

		bucket.left = more > BURST ? BURST : (unsigned)more;
		bucket.filled_s = (uint64_t)now.tv_sec;
	}
	ok = bucket.left > 0;
	if (ok) {
		bucket.left--;
		*suppressed = bucket.suppressed;
		bucket.suppressed = 0;
	} else {
		bucket.suppressed++;
	}
	pthread_mutex_unlock(&bucket.lock);
	return ok;
}
