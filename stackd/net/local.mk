# SPDX-License-Identifier: BSD-3-Clause

stackd_core_sources += stackd/net/arp.c stackd/net/eth.c stackd/net/frag.c stackd/net/icmp.c stackd/net/ip4.c \
	stackd/net/l4.c stackd/net/net.c stackd/net/net.h stackd/net/priv.h stackd/net/route.c stackd/net/steer.c
