# SPDX-License-Identifier: BSD-3-Clause
#
# Monitors.

stackd_core_sources += \
	stackd/mon/arena.h stackd/mon/flow.h stackd/mon/mon.h
