# SPDX-License-Identifier: BSD-3-Clause

dist_noinst_SCRIPTS += bench/run.sh bench/monitors.sh bench/goodput.sh bench/inline.sh
EXTRA_DIST += bench/README.md

noinst_PROGRAMS += bench/flows_pcap bench/watch_data
bench_flows_pcap_SOURCES = bench/flows_pcap.c
bench_flows_pcap_CPPFLAGS = $(AM_CPPFLAGS) $(PCAP_CFLAGS)
bench_flows_pcap_LDADD = $(PCAP_LIBS)
bench_watch_data_SOURCES = bench/watch_data.c
bench_watch_data_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libshim/include/mos
bench_watch_data_LDADD = libshim.la
