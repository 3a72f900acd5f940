# SPDX-License-Identifier: BSD-3-Clause

noinst_PROGRAMS += examples/httpd examples/httpd-kernel examples/fetch examples/echo
EXAMPLES_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libshim/include/mtcp

examples_httpd_SOURCES = examples/httpd.c examples/sock.h
examples_httpd_CPPFLAGS = $(EXAMPLES_CPPFLAGS)
examples_httpd_LDADD = libshim.la -lpthread

# the same source on the kernel's sockets, for bench/
examples_httpd_kernel_SOURCES = examples/httpd.c examples/sock.h
examples_httpd_kernel_CPPFLAGS = $(AM_CPPFLAGS) -DKERNEL_SOCKETS
examples_httpd_kernel_LDADD = -lpthread

examples_fetch_SOURCES = examples/fetch.c
examples_fetch_CPPFLAGS = $(EXAMPLES_CPPFLAGS)
examples_fetch_LDADD = libshim.la

examples_echo_SOURCES = examples/echo.c
examples_echo_CPPFLAGS = $(EXAMPLES_CPPFLAGS)
examples_echo_LDADD = libshim.la
