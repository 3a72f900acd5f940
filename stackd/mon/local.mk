# SPDX-License-Identifier: BSD-3-Clause
#
# Monitors.

stackd_core_sources += \
	stackd/mon/arena.h stackd/mon/edit.h stackd/mon/flow.h stackd/mon/map.h stackd/mon/mon.h stackd/mon/priv.h \
	stackd/mon/chain.c stackd/mon/edit.c stackd/mon/emit.c stackd/mon/inject.c stackd/mon/map.c stackd/mon/mon.c \
	stackd/mon/order.c stackd/mon/out.c
