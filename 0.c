/* hello.c: says hello to everybody who asks on port 8000 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <mtcp_api.h>
#include <mtcp_epoll.h>

static mctx_t mctx;
static int ep;

static int watch(int fd)
{
	struct mtcp_epoll_event e = { .events = MTCP_EPOLLIN, .data.sockid = fd };

	return mtcp_epoll_ctl(mctx, ep, MTCP_EPOLL_CTL_ADD, fd, &e);
}

static void answer(int fd)
{
	static const char hello[] = "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
	char request[4096];

	if (mtcp_read(mctx, fd, request, sizeof(request)) > 0) /* whatever it was */
		mtcp_write(mctx, fd, hello, sizeof(hello) - 1);
	mtcp_close(mctx, fd);
}

int main(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(8000) };
	struct mtcp_epoll_event e;
	int listener, fd;

	mctx = mtcp_create_context(0); /* attaches to stackd; one for each thread */
	if (mctx == NULL) {
		fprintf(stderr, "hello: %s. %s\n", strerror(errno), mtcp_error_text());
		return 1;
	}
	ep = mtcp_epoll_create(mctx, 16);
	listener = mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0);
	if (mtcp_bind(mctx, listener, (struct sockaddr *)&any, sizeof(any)) != 0 || mtcp_listen(mctx, listener, 128) != 0 ||
	    watch(listener) != 0) {
		perror("hello");
		return 1;
	}
	while (mtcp_epoll_wait(mctx, ep, &e, 1, -1) > 0) {
		if (e.data.sockid != listener)
			answer(e.data.sockid);
		else
			while ((fd = mtcp_accept(mctx, listener, NULL, NULL)) >= 0)
				watch(fd);
	}
	fprintf(stderr, "hello: %s. %s\n", strerror(errno), mtcp_error_text()); /* stackd has ended */
	return 1;
}
