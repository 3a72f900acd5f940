/* SPDX-License-Identifier: BSD-3-Clause
 *
 * watch_data: the monitor of the benchmarks.  Reads every stream and counts bytes and ends; tells them at the end.
 */
#include <errno.h>
#include <stdio.h>

#include <mos_api.h>

static unsigned long long ends, bytes, missed;

static void on_data(mctx_t mctx, int sock, int side, event_t event)
{
	static char buf[65536];
	ssize_t n;

	(void)event;
	while ((n = mtcp_peek(mctx, sock, side, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != ENODATA)
			return;
		if (n > 0)
			bytes += (unsigned long long)n;
		else
			missed += (unsigned long long)-n;
	}
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	(void)mctx;
	(void)sock;
	(void)event;
	ends += side == MOS_SIDE_CLI;
}

int main(void)
{
	mctx_t mctx = mtcp_create_context(0);
	int sock;

	if (mctx == NULL)
		return 1;
	mtcp_monitor_lossless(mctx);
	sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0) {
		fprintf(stderr, "watch_data: %s\n", mtcp_error_text());
		return 1;
	}
	mtcp_app_join(mctx);
	printf("%llu flows, %llu bytes, %llu missed\n", ends, bytes, missed);
	return 0;
}
