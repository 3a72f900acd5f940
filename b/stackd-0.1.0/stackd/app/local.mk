stackd_core_sources += \
	stackd/app/app.c stackd/app/app.h \
	stackd/app/cmd.c \
	stackd/app/event.c \
	stackd/app/handle.h

check_PROGRAMS += tests/unit/test_app
TESTS += tests/unit/test_app
tests_unit_test_app_SOURCES = tests/unit/test_app.c tests/unit/fake_tcp.h
tests_unit_test_app_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_app_LDADD = libshm.la $(CHECK_LIBS)

# the control thread, with engines that are only mailboxes
check_PROGRAMS += tests/unit/test_ctl_server
TESTS += tests/unit/test_ctl_server
tests_unit_test_ctl_server_SOURCES = tests/unit/test_ctl_server.c tests/unit/fake_core.h
tests_unit_test_ctl_server_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_ctl_server_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS) $(URCU_LIBS)
