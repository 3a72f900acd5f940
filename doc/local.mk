# SPDX-License-Identifier: BSD-3-Clause

dist_man_MANS += doc/man/stackd.8 doc/man/stackd.conf.5 doc/man/stackctl.1 doc/man/stackd-counters.7
dist_doc_DATA += README.md doc/architecture.md doc/life-of-a-packet.md doc/monitoring.md doc/performance.md doc/porting.md
EXTRA_DIST += HACKING.md
