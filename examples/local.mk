# SPDX-License-Identifier: BSD-3-Clause

noinst_PROGRAMS += examples/httpd examples/httpd-kernel examples/fetch examples/echo
EXAMPLES_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libshim/include/mtcp

examples_httpd_SOURCES = examples/httpd.c examples/addr.h examples/sock.h
examples_httpd_CPPFLAGS = $(EXAMPLES_CPPFLAGS)
examples_httpd_LDADD = libshim.la -lpthread

# the same source on the kernel's sockets, for bench/
examples_httpd_kernel_SOURCES = examples/httpd.c examples/addr.h examples/sock.h
examples_httpd_kernel_CPPFLAGS = $(AM_CPPFLAGS) -DKERNEL_SOCKETS
examples_httpd_kernel_LDADD = -lpthread

examples_fetch_SOURCES = examples/fetch.c examples/addr.h
examples_fetch_CPPFLAGS = $(EXAMPLES_CPPFLAGS)
examples_fetch_LDADD = libshim.la

examples_echo_SOURCES = examples/echo.c examples/addr.h
examples_echo_CPPFLAGS = $(EXAMPLES_CPPFLAGS)
examples_echo_LDADD = libshim.la

# monitors
MONITORS = examples/extract examples/flowstat examples/firewall examples/nat examples/balancer examples/retrans
noinst_PROGRAMS += $(MONITORS)
MONITORS_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libshim/include/mos

examples_extract_SOURCES = examples/extract.c examples/octets.c examples/octets.h examples/strays.c examples/strays.h
examples_extract_CPPFLAGS = $(MONITORS_CPPFLAGS) $(CRYPTO_CFLAGS)
examples_extract_LDADD = libshim.la $(CRYPTO_LIBS)

examples_flowstat_SOURCES = examples/flowstat.c examples/mon.h
examples_flowstat_CPPFLAGS = $(MONITORS_CPPFLAGS)
examples_flowstat_LDADD = libshim.la

examples_firewall_SOURCES = examples/firewall.c examples/mon.h
examples_firewall_CPPFLAGS = $(MONITORS_CPPFLAGS)
examples_firewall_LDADD = libshim.la

examples_nat_SOURCES = examples/nat.c examples/mon.h
examples_nat_CPPFLAGS = $(MONITORS_CPPFLAGS)
examples_nat_LDADD = libshim.la

examples_balancer_SOURCES = examples/balancer.c examples/mon.h
examples_balancer_CPPFLAGS = $(MONITORS_CPPFLAGS)
examples_balancer_LDADD = libshim.la

examples_retrans_SOURCES = examples/retrans.c examples/mon.h
examples_retrans_CPPFLAGS = $(MONITORS_CPPFLAGS)
examples_retrans_LDADD = libshim.la

noinst_PROGRAMS += examples/match
examples_match_SOURCES = examples/match.c examples/mon.h
examples_match_CPPFLAGS = $(MONITORS_CPPFLAGS) $(HYPERSCAN_CFLAGS)
examples_match_LDADD = libshim.la $(HYPERSCAN_LIBS)
