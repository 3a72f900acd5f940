# SPDX-License-Identifier: BSD-3-Clause

noinst_LTLIBRARIES += libshm.la
libshm_la_SOURCES = shm/bytes.h shm/ctl.h shm/proto.h shm/region.h shm/ring.h
