/* bytes.c: for each connection that ends: the client, and how many bytes each side was sent */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <mos_api.h>

static void on_start(mctx_t mctx, int sock, int side, event_t event)
{
	mtcp_set_uctx(mctx, sock, calloc(2, sizeof(long))); /* this flow's own */
}

static void on_data(mctx_t mctx, int sock, int side, event_t event)
{
	long *bytes = mtcp_get_uctx(mctx, sock);
	char buf[4096];
	ssize_t n;

	while ((n = mtcp_peek(mctx, sock, side, buf, sizeof(buf))) > 0 || (n < 0 && errno == ENODATA))
		bytes[side] += n > 0 ? n : 0; /* side has been sent what is in buf; or -n bytes more, which nobody has seen */
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	long *bytes = mtcp_get_uctx(mctx, sock);
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char host[64] = "?", port[8] = "?";

	if (bytes == NULL)
		return; /* told before: an end is told for either side */
	mtcp_getpeername(mctx, sock, (struct sockaddr *)&sa, &len, MOS_SIDE_CLI);
	getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	printf("%s port %s: %ld bytes to the server, %ld back\n", host, port, bytes[MOS_SIDE_SVR], bytes[MOS_SIDE_CLI]);
	fflush(stdout);
	mtcp_set_uctx(mctx, sock, NULL);
	free(bytes);
}

int main(void)
{
	mctx_t mctx = mtcp_create_context(0);
	int sock = mctx == NULL ? -1 : mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_start) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0) {
		fprintf(stderr, "bytes: %s. %s\n", strerror(errno), mtcp_error_text());
		return 1;
	}
	mtcp_app_join(mctx); /* callbacks run on a thread of libshim's, until stackd ends */
	return 0;
}
