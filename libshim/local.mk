# SPDX-License-Identifier: BSD-3-Clause

lib_LTLIBRARIES += libshim.la
libshim_la_SOURCES = libshim/shim.h libshim/api_mtcp.h libshim/api_mos.h libshim/attach.c libshim/conf.c \
	libshim/context.c libshim/epoll.c libshim/error.c libshim/lane.c libshim/mon.h libshim/mon_attach.c \
	libshim/info.c libshim/mon_event.c libshim/mon_filter.c libshim/mon_option.c libshim/mon_pkt.c libshim/mon_pump.c libshim/mon_send.c \
	libshim/mon_sock.c libshim/mon_stream.c libshim/mon_table.c libshim/mon_timer.c libshim/mos.c libshim/option.c \
	libshim/pipe.c libshim/rss.c libshim/socket.c libshim/stream.c libshim/util.c
libshim_la_CFLAGS = $(AM_CFLAGS) -fvisibility=hidden
libshim_la_LIBADD = libshm.la -lpthread
libshim_la_LDFLAGS = -no-undefined -version-info $(LIBSHIM_VERSION_INFO) \
	-Wl,--version-script=$(srcdir)/libshim/libshim.map
EXTRA_libshim_la_DEPENDENCIES = libshim/libshim.map

# two trees of headers with the same names, and what both include
shimdir = $(includedir)/libshim
shim_HEADERS = libshim/include/mtcp_calls.h libshim/include/shim_cpu.h libshim/include/shim_debug.h \
	libshim/include/shim_rss.h
shim_mtcpdir = $(shimdir)/mtcp
shim_mtcp_HEADERS = libshim/include/mtcp/mtcp_api.h libshim/include/mtcp/mtcp_epoll.h libshim/include/mtcp/cpu.h \
	libshim/include/mtcp/debug.h libshim/include/mtcp/rss.h
shim_mosdir = $(shimdir)/mos
shim_mos_HEADERS = libshim/include/mos/mtcp_api.h libshim/include/mos/mtcp_epoll.h libshim/include/mos/mos_api.h \
	libshim/include/mos/mtcp_util.h libshim/include/mos/cpu.h libshim/include/mos/debug.h libshim/include/mos/rss.h

pkgconfig_DATA += libshim/libshim.pc libshim/libshim-mos.pc
CLEANFILES += libshim/libshim.pc libshim/libshim-mos.pc
EXTRA_DIST += libshim/libshim.map libshim/libshim.pc.in libshim/libshim-mos.pc.in
libshim/%.pc: $(srcdir)/libshim/%.pc.in Makefile
	$(AM_V_GEN)$(MKDIR_P) libshim && sed -e 's|@prefix[@]|$(prefix)|' -e 's|@exec_prefix[@]|$(exec_prefix)|' \
		-e 's|@libdir[@]|$(libdir)|' -e 's|@includedir[@]|$(includedir)|' \
		-e 's|@PACKAGE_VERSION[@]|$(PACKAGE_VERSION)|' \
		-e '/^prefix=/!s|=$(prefix)|=$${prefix}|' $< >$@

# libshim meets a stackd played by hand
shim_daemon_sources = tests/unit/shim_daemon.c tests/unit/shim_daemon.h
shim_tests = tests/unit/test_shim_conf tests/unit/test_shim_epoll tests/unit/test_shim_mos tests/unit/test_shim_socket \
	tests/unit/test_shim_stream tests/unit/test_shim_mon_event tests/unit/test_shim_mon_pkt tests/unit/test_shim_mon_sock \
	tests/unit/test_shim_mon_stream
check_PROGRAMS += $(shim_tests)
dist_check_SCRIPTS += tests/unit/test_shim_headers.sh
TESTS += $(shim_tests) tests/unit/test_shim_headers.sh

shim_test_cppflags = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
shim_test_ldadd = libshim.la libshm.la $(CHECK_LIBS) -lpthread

tests_unit_test_shim_conf_SOURCES = tests/unit/test_shim_conf.c
tests_unit_test_shim_conf_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_conf_LDADD = $(shim_test_ldadd)

tests_unit_test_shim_epoll_SOURCES = tests/unit/test_shim_epoll.c $(shim_daemon_sources)
tests_unit_test_shim_epoll_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_epoll_LDADD = $(shim_test_ldadd)

tests_unit_test_shim_mos_SOURCES = tests/unit/test_shim_mos.c $(shim_daemon_sources)
tests_unit_test_shim_mos_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_mos_LDADD = $(shim_test_ldadd)

tests_unit_test_shim_socket_SOURCES = tests/unit/test_shim_socket.c $(shim_daemon_sources)
tests_unit_test_shim_socket_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_socket_LDADD = $(shim_test_ldadd)

tests_unit_test_shim_stream_SOURCES = tests/unit/test_shim_stream.c $(shim_daemon_sources)
tests_unit_test_shim_stream_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_stream_LDADD = $(shim_test_ldadd)

# the arenas are those that stackd makes
shim_monitor_sources = $(shim_daemon_sources) tests/unit/shim_monitor.c tests/unit/shim_monitor.h stackd/mon/arena.c \
	stackd/mon/arena_chunk.c stackd/mon/arena_index.c stackd/mon/arena_stream.c stackd/mon/arena.h stackd/mon/arena_priv.h

tests_unit_test_shim_mon_event_SOURCES = tests/unit/test_shim_mon_event.c $(shim_monitor_sources)
tests_unit_test_shim_mon_event_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_mon_event_LDADD = $(shim_test_ldadd)

tests_unit_test_shim_mon_pkt_SOURCES = tests/unit/test_shim_mon_pkt.c $(shim_monitor_sources)
tests_unit_test_shim_mon_pkt_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_mon_pkt_LDADD = $(shim_test_ldadd)

tests_unit_test_shim_mon_sock_SOURCES = tests/unit/test_shim_mon_sock.c $(shim_monitor_sources)
tests_unit_test_shim_mon_sock_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_mon_sock_LDADD = $(shim_test_ldadd)

tests_unit_test_shim_mon_stream_SOURCES = tests/unit/test_shim_mon_stream.c $(shim_monitor_sources)
tests_unit_test_shim_mon_stream_CPPFLAGS = $(shim_test_cppflags)
tests_unit_test_shim_mon_stream_LDADD = $(shim_test_ldadd)

dist_man_MANS += doc/man/mtcp.3 doc/man/mtcp_init.3 doc/man/mtcp_create_context.3 doc/man/mtcp_socket.3 \
	doc/man/mtcp_read.3 doc/man/mtcp_epoll.3 doc/man/mtcp_getsockopt.3 doc/man/mos_api.3 doc/man/mtcp_bind_monitor_filter.3 \
	doc/man/mtcp_register_callback.3 doc/man/mtcp_define_event.3 doc/man/mtcp_peek.3 doc/man/mtcp_getlastpkt.3 \
	doc/man/mtcp_settimer.3
