# SPDX-License-Identifier: BSD-3-Clause

stackd_core_sources += stackd/nic/csum.h stackd/nic/devargs.c stackd/nic/devargs.h stackd/nic/dpdk.c stackd/nic/eal.c \
	stackd/nic/fault.c stackd/nic/mem.c stackd/nic/nic.c stackd/nic/nic.h stackd/nic/pkt.h
