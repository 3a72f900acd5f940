#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Programs of both APIs compile against each tree of public headers: as C of several ages and as C++, without a warning, under
# -fgnu89-inline, and with mos_api.h beside <netinet/tcp.h> in either order.
set -u
top=${srcdir:-.}
cc=${CC:-cc}
cxx=${CXX:-c++}
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT
failed=0
tried=0

# try COMPILER TREE FILE FLAG...
try()
{
	local compiler=$1 tree=$2 file=$3
	shift 3
	tried=$((tried + 1))
	# shellcheck disable=SC2086
	if ! $compiler "$@" -Wall -Wextra -Werror -I"$top/libshim/include/$tree" -c "$file" -o "$t/out.o" 2>"$t/err"; then
		printf 'FAIL: %s %s with the headers of %s\n' "$compiler" "$*" "$tree"
		head -5 "$t/err"
		failed=1
	fi
}

cat >"$t/mtcp.c" <<'END'
#include <mtcp_epoll.h>
#include <cpu.h>
#include <rss.h>
#include <debug.h>

int serve(mctx_t mctx);
int serve(mctx_t mctx)
{
	struct mtcp_epoll_event ev, events[4];
	struct sockaddr_in a;
	struct mtcp_conf conf;
	socklen_t len = sizeof(a);
	char buf[16];
	int ep = mtcp_epoll_create(mctx, 4), s = mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0);

	mtcp_getconf(&conf);
	conf.num_cores = GetNumCPUs();
	mtcp_setconf(&conf);
	ev.events = MTCP_EPOLLIN | MTCP_EPOLLET;
	ev.data.sockid = s;
	mtcp_epoll_ctl(mctx, ep, MTCP_EPOLL_CTL_ADD, s, &ev);
	if (mtcp_epoll_wait(mctx, ep, events, 4, -1) == 1 && (events[0].events & MTCP_EPOLLERR))
		TRACE_ERROR("socket %d: %s\n", events[0].data.sockid, EventToString(events[0].events));
	TRACE_DBG("%d\n", s);
	if (mtcp_getpeername(mctx, s, (struct sockaddr *)&a, &len) < 0)
		mtcp_close(mctx, s);
	mtcp_init_rss(mctx, INADDR_ANY, 1, a.sin_addr.s_addr, a.sin_port);
	return (int)mtcp_read(mctx, s, buf, sizeof(buf)) + mctx->cpu +
	       GetRSSCPUCore(1, 2, 3, 4, conf.num_cores) + GetRSSCPUCore(1, 2, 3, 4, conf.num_cores, 0) + (int)sizeof(UNUSED(ep), INPORT_ANY);
}
END
cat >"$t/mos.c" <<'END'
#ifdef TCP_BEFORE
#include <netinet/tcp.h>
#endif
#include <mos_api.h>
#include <mtcp_util.h>
#include <cpu.h>
#include <debug.h>
#ifdef TCP_AFTER
#include <netinet/tcp.h>
#include <linux/tcp.h>
#endif

static void four(mctx_t m, int sock, int side, event_t event)
{
	(void)m; (void)sock; (void)side; (void)event;
}

static void five(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)arg;
	four(m, sock, side, event);
}

int watch(mctx_t m);
int watch(mctx_t m)
{
	struct mtcp_epoll_event ev;
	struct pkt_info p;
	struct tcphdr *tcph;
	struct sockaddr_in a[2];
	socklen_t len = sizeof(a);
	int state = 0, s = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	ev.events = MOS_EPOLLIN | MOS_EPOLLOUT;
	ev.data.sock = s;
	mtcp_epoll_ctl(m, 1, MOS_EPOLL_CTL_ADD, s, &ev);
	mtcp_register_callback(m, s, MOS_ON_CONN_START, MOS_HK_SND, four);
	mtcp_register_callback(m, s, MOS_ON_CONN_START, MOS_HK_RCV, five);
	mtcp_register_callback(m, s, MOS_ON_CONN_END, MOS_HK_RCV, &five);
	mtcp_register_callback(m, s, MOS_ON_CONN_NEW_DATA, MOS_NULL, NULL);
	mtcp_settimer(m, s, NULL, four);
	mtcp_settimer(m, s, NULL, five);
	if (mtcp_getlastpkt(m, s, MOS_SIDE_CLI, &p) == 0)
		tcph = p.tcph;
	else
		tcph = NULL;
	(void)tcph;
	mtcp_getpeername(m, s, (struct sockaddr *)a, &len, MOS_SIDE_BOTH);
	assert(GetRSSCPUCore(1, 2, 3, 4, 5, 0) == GetRSSCPUCore(1, 2, 3, 4, 5));
	return state == TCP_ESTABLISHED || TCP_CLOSED != 0 || TCP_TIME_WAIT != 10 ? GetNumCPUs() : m->cpu;
}
END

command -v "${cc%% *}" >/dev/null || exit 77
for std in c99 c11 gnu11 "gnu89 -fgnu89-inline" "gnu11 -fgnu89-inline"; do
	read -ra flags <<<"-std=$std"
	try "$cc" mtcp "$t/mtcp.c" "${flags[@]}"
	for order in MOS_ALONE TCP_BEFORE TCP_AFTER; do
		try "$cc" mos "$t/mos.c" "${flags[@]}" -D$order
	done
done
if command -v "${cxx%% *}" >/dev/null; then
	for std in c++98 c++11 c++17 gnu++20; do
		try "$cxx" mtcp "$t/mtcp.c" -x c++ -std=$std
		for order in MOS_ALONE TCP_BEFORE TCP_AFTER; do
			try "$cxx" mos "$t/mos.c" -x c++ -std=$std -D$order
		done
	done
	# samples include the header inside extern "C" themselves
	printf 'extern "C" {\n#include "%s"\n}\n' "$t/mos.c" >"$t/wrapped.cc"
	try "$cxx" mos "$t/wrapped.cc" -std=c++11
fi
echo "$tried compilations"
exit $failed
