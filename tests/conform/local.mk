# SPDX-License-Identifier: BSD-3-Clause
#
# tests/system/conform.sh: a program that does what it is told.

check_PROGRAMS += tests/conform/puppet
tests_conform_puppet_SOURCES = tests/conform/puppet.c
tests_conform_puppet_CPPFLAGS = $(EXAMPLES_CPPFLAGS)
tests_conform_puppet_LDADD = libshim.la
EXTRA_DIST += tests/conform/closing.py tests/conform/conform.py tests/conform/errors.py tests/conform/headers.py tests/conform/moving.py \
	tests/conform/opening.py tests/conform/peer.py tests/conform/states.py tests/conform/wire.py
