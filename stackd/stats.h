/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Counters, and the read-only segment in which operators see them.
 *
 * Each engine owns one array of counters and is its only writer: plain stores, torn by nobody.  The names travel in the
 * segment, so that stackctl shows whatever this build counts.  stats.c owns the segment; layout in shm/stat.h.
 */
#ifndef STACKD_STATS_H
#define STACKD_STATS_H

#include <stdint.h>

/* id, name as stackctl prints it, what it counts.  Grouped by room; add a line and use it. */
#define STATS_COUNTERS(X) \
	/* engine */ \
	X(CORE_LOOPS, "core.loops", "turns of the engine loop") \
	X(CORE_SLEEPS, "core.sleeps", "times the engine blocked with nothing to do") \
	X(CORE_STEERED, "core.steered", "frames handed to another engine") \
	X(CORE_STEER_DROP, "core.steer_drop", "frames lost because another engine's queue was full") \
	/* nic */ \
	X(NIC_RX, "nic.rx_frames", "frames received") \
	X(NIC_RX_BYTES, "nic.rx_bytes", "bytes received") \
	X(NIC_TX, "nic.tx_frames", "frames sent") \
	X(NIC_TX_BYTES, "nic.tx_bytes", "bytes sent") \
	X(NIC_TX_DROP, "nic.tx_drop", "frames the port did not take") \
	X(NIC_NOBUF, "nic.nobuf", "frames not made for want of a buffer") \
	/* net */ \
	X(ETH_SHORT, "eth.short", "frames too short for their headers") \
	X(ETH_NOT_OURS, "eth.not_ours", "frames for another link address") \
	X(ETH_UNKNOWN, "eth.unknown_type", "frames of an unknown ethertype") \
	X(VLAN_DROP, "eth.vlan_drop", "frames with a VLAN id that is not configured") \
	X(ARP_IN, "arp.in", "ARP packets received") \
	X(ARP_BAD, "arp.bad", "ARP packets malformed") \
	X(ARP_REPLY, "arp.replies", "ARP requests answered") \
	X(ARP_REQUEST, "arp.requests", "ARP requests sent") \
	X(ARP_CONFLICT, "arp.conflict", "another host claims one of our addresses") \
	X(ARP_MOVED, "arp.moved", "a known neighbour's address is claimed by another link address") \
	X(ARP_FULL, "arp.full", "neighbours not stored because the table is full") \
	X(ARP_QUEUE_DROP, "arp.queue_drop", "packets dropped while an address was being resolved") \
	X(ARP_FAILED, "arp.failed", "addresses nobody answered for") \
	X(NEIGH_SUSPECT, "arp.suspected", "next hops, of both families, asked whether they are there since a peer behind them is silent") \
	X(IP_IN, "ip.in", "IPv4 packets received") \
	X(IP_BAD, "ip.bad", "IPv4 packets with a bad header") \
	X(IP_CSUM, "ip.bad_checksum", "IPv4 packets with a bad header checksum") \
	X(IP_NOT_OURS, "ip.not_ours", "IPv4 packets for another address") \
	X(IP_MARTIAN, "ip.martian", "IPv4 packets with an impossible source or destination") \
	X(IP_PROTO, "ip.unknown_proto", "IPv4 packets of a protocol that is not spoken here") \
	X(IP_NO_ROUTE, "ip.no_route", "packets to nowhere") \
	X(IP_FRAG_IN, "ip.fragments", "fragments received, of both families") \
	X(IP_FRAG_OK, "ip.reassembled", "datagrams put together") \
	X(IP_FRAG_DROP, "ip.fragment_drop", "fragments dropped: bad, overlapping, too many or too late") \
	X(IP_GIANT, "ip.giant", "frames longer than the MTU: the peer has segmentation offload on") \
	X(IP6_IN, "ip6.in", "IPv6 packets received") \
	X(IP6_BAD, "ip6.bad", "IPv6 packets with a bad header") \
	X(IP6_NOT_OURS, "ip6.not_ours", "IPv6 packets for another address or group, or for one of ours that is not good yet") \
	X(IP6_MARTIAN, "ip6.martian", "IPv6 packets with an impossible source or destination") \
	X(IP6_PROTO, "ip6.unknown_proto", "IPv6 packets of a protocol that is not spoken here") \
	X(IP6_EXT_BAD, "ip6.bad_extension", "IPv6 packets with an extension header that is malformed, or may not be ignored") \
	X(IP6_EXT_LIMIT, "ip6.extension_limit", "IPv6 packets with too many or too long extension headers") \
	X(IP6_ATOMIC, "ip6.atomic_fragments", "IPv6 packets that are whole and have a fragment header (RFC 6946)") \
	X(ND_IN, "nd.in", "messages of neighbour discovery received") \
	X(ND_BAD, "nd.bad", "messages of neighbour discovery and multicast listeners malformed, or from beyond a router") \
	X(ND_ROUTER_ADVERT, "nd.router_adverts", "router advertisements, which are not believed: routes are configured") \
	X(ND_REDIRECT, "nd.redirects", "redirects, which are not believed") \
	X(ND_UNKNOWN, "nd.unknown_adverts", "advertisements of neighbours that nobody asked for") \
	X(ND_ADVERT_OUT, "nd.adverts", "neighbour advertisements sent") \
	X(ND_SOLICIT_OUT, "nd.solicits", "neighbour solicitations sent") \
	X(ND_CONFLICT, "nd.conflict", "another host has or claims one of our addresses of IPv6") \
	X(ND_MOVED, "nd.moved", "a known neighbour's address of IPv6 is claimed by another link address") \
	X(ND_FULL, "nd.full", "neighbours of IPv6 not stored because the table is full") \
	X(ND_QUEUE_DROP, "nd.queue_drop", "packets dropped while an address of IPv6 was being resolved") \
	X(ND_FAILED, "nd.failed", "addresses of IPv6 nobody answered for") \
	X(MLD_IN, "mld.in", "messages of multicast listeners received") \
	X(MLD_OUT, "mld.reports", "multicast reports sent") \
	X(ICMP_IN, "icmp.in", "ICMP messages received, of both families, as all that follow") \
	X(ICMP_BAD, "icmp.bad", "ICMP messages malformed") \
	X(ICMP_ECHO, "icmp.echo_replies", "echo requests answered") \
	X(ICMP_LIMITED, "icmp.limited", "ICMP messages not sent because of the rate limit") \
	X(ICMP_UNREACH_IN, "icmp.unreachable_in", "unreachable messages received") \
	X(ICMP_UNREACH_OUT, "icmp.unreachable_out", "unreachable messages sent") \
	X(ICMP_FRAG_NEEDED, "icmp.frag_needed", "fragmentation-needed and packet-too-big messages believed") \
	X(ICMP6_PTB_SMALL, "icmp.too_big_below_1280", "packet-too-big messages with an MTU that no path of IPv6 has") \
	X(ICMP6_PROBLEM_OUT, "icmp.problems_out", "parameter problems and times exceeded of IPv6 sent") \
	/* tcp */ \
	X(TCP_IN, "tcp.in_segs", "segments received") \
	X(TCP_OUT, "tcp.out_segs", "segments sent") \
	X(TCP_REXMIT, "tcp.retrans_segs", "segments sent again") \
	X(TCP_BAD, "tcp.bad_header", "segments with a malformed header") \
	X(TCP_BAD_OPTION, "tcp.bad_options", "segments with a malformed option: what can be read of them counts") \
	X(TCP_CSUM, "tcp.bad_checksum", "segments with a bad checksum") \
	X(TCP_PARTIAL, "tcp.partial_checksum", "segments whose checksum the peer left to its port: its checksum offload is on") \
	X(TCP_ACTIVE, "tcp.active_opens", "connections opened by programs") \
	X(TCP_PASSIVE, "tcp.passive_opens", "connections accepted") \
	X(TCP_ATTEMPT_FAILS, "tcp.attempt_fails", "opens that failed") \
	X(TCP_ESTAB_RESETS, "tcp.estab_resets", "established connections reset") \
	X(TCP_RST_OUT, "tcp.out_rsts", "resets sent") \
	X(TCP_RST_IN, "tcp.in_rsts", "resets accepted") \
	X(TCP_NO_LISTENER, "tcp.no_listener", "segments for no connection and no listener") \
	X(TCP_SYN_DROP, "tcp.syn_drop", "connection requests dropped: queues full or no memory") \
	X(TCP_SYN_COOKIE_OUT, "tcp.cookies_sent", "connection requests answered with a cookie") \
	X(TCP_SYN_COOKIE_IN, "tcp.cookies_ok", "connections made from a cookie") \
	X(TCP_SYN_COOKIE_BAD, "tcp.cookies_bad", "acknowledgements that were no cookie of ours") \
	X(TCP_ACCEPT_FULL, "tcp.accept_overflow", "handshakes held back because the accept queue is full") \
	X(TCP_DEFERRED, "tcp.deferred", "handshakes that wait for data (TCP_DEFER_ACCEPT)") \
	X(TCP_CHALLENGE, "tcp.challenge_acks", "challenge ACKs sent") \
	X(TCP_CHALLENGE_LIMIT, "tcp.challenge_limited", "challenge ACKs not sent because of the rate limit") \
	X(TCP_PAWS, "tcp.paws_drop", "segments with an old timestamp") \
	X(TCP_OUT_OF_WINDOW, "tcp.out_of_window", "segments outside the window") \
	X(TCP_BAD_ACK, "tcp.bad_ack", "segments acknowledging what was never sent") \
	X(TCP_OOO, "tcp.ooo_segs", "segments received out of order") \
	X(TCP_OOO_DROP, "tcp.ooo_drop", "out-of-order segments that could not be kept") \
	X(TCP_DUP, "tcp.dup_segs", "segments received again") \
	X(TCP_RTO, "tcp.rto", "retransmission timeouts") \
	X(TCP_FAST_REXMIT, "tcp.fast_retrans", "fast retransmissions") \
	X(TCP_TLP, "tcp.loss_probes", "tail loss probes sent") \
	X(TCP_TLP_RECOVERED, "tcp.loss_probe_recovery", "losses repaired by a tail loss probe") \
	X(TCP_REORDERING, "tcp.reordering", "connections whose path was found to reorder") \
	X(TCP_SACK_RENEG, "tcp.sack_reneging", "times a peer took back what it had selectively acknowledged") \
	X(TCP_SACK_BAD, "tcp.sack_bad", "SACK blocks of what was never sent, or upside down") \
	X(TCP_DSACK_IN, "tcp.dsack_in", "reports of duplicates received") \
	X(TCP_DSACK_OUT, "tcp.dsack_out", "duplicates reported") \
	X(TCP_UNDO_DSACK, "tcp.undo_dsack", "recoveries taken back because all that was sent again had arrived twice") \
	X(TCP_UNDO_STAMP, "tcp.undo_timestamp", "recoveries taken back because the original had arrived, by its timestamp") \
	X(TCP_UNDO_FRTO, "tcp.undo_frto", "timeouts found to be spurious by F-RTO") \
	X(TCP_ECN, "tcp.ecn", "connections with explicit congestion notification") \
	X(TCP_ECN_CE, "tcp.ecn_marked", "segments received with a mark of congestion") \
	X(TCP_ECN_REDUCED, "tcp.ecn_reduced", "times a peer's echo of a mark made us slower") \
	X(TCP_PERSIST, "tcp.zero_window_probes", "zero window probes sent") \
	X(TCP_KEEPALIVE, "tcp.keepalives", "keepalive probes sent") \
	X(TCP_TIMEOUTS, "tcp.timeouts", "connections given up") \
	X(TCP_ORPHANS, "tcp.orphans", "connections closed by their program with something still to send or to hear") \
	X(TCP_ORPHAN_RESET, "tcp.orphans_reset", "connections reset at their close because there were max_orphans already") \
	X(TCP_TIME_WAIT, "tcp.time_wait", "connections that entered TIME-WAIT") \
	X(TCP_TW_REUSED, "tcp.time_wait_reused", "TIME-WAIT ended early by a new SYN") \
	X(TCP_URGENT, "tcp.urgent", "segments with urgent data (delivered in line)") \
	X(TCP_NO_MEMORY, "tcp.no_memory", "payload refused because the client's memory is used up") \
	X(TCP_NO_CONN, "tcp.no_conn", "connections refused because the engine's table is full") \
	X(TCP_REPLY_DROP, "tcp.reply_drop", "resets and cookies not sent because too many were due at once") \
	X(TCP_ICMP_IGNORED, "tcp.icmp_ignored", "ICMP errors about nothing that is in flight") \
	X(TCP_ICMP_DEFERRED, "tcp.icmp_deferred", "\"fragmentation needed\" for sizes that had come through: waits for a timeout") \
	X(TCP_MTU_LOWERED, "tcp.mtu_lowered", "paths found to carry smaller packets only") \
	X(TCP_MTU_KNOWN, "tcp.mtu_known", "times a connection, at its begin or a timeout, took what is known of the path to its destination") \
	X(TCP_BLACK_HOLE, "tcp.mtu_black_hole", "of these, because large segments vanished in silence") \
	X(TCP_MTU_PROBE, "tcp.mtu_probes", "larger segments sent to find out whether the path carries them") \
	X(TCP_MTU_PROBE_LOST, "tcp.mtu_probes_lost", "of these, that were lost alone: that is no congestion") \
	X(TCP_MTU_RAISED, "tcp.mtu_raised", "of these, that arrived") \
	X(TCP_RX_BYTES, "tcp.rx_bytes", "payload bytes received in order") \
	X(TCP_TX_BYTES, "tcp.tx_bytes", "payload bytes sent, first time") \
	/* mon */ \
	X(MON_PKTS, "mon.packets", "packets that monitors watch") \
	X(MON_PARTIAL, "mon.partial_checksum", "passing packets whose checksum the sender left to its port: completed") \
	X(MON_FORWARDED, "mon.forwarded", "packets sent on to the other side of a bridge") \
	X(MON_ANSWERED, "mon.answered", "acknowledgements sent for segments of which monitors have left nothing") \
	X(MON_SPLIT, "mon.split", "segments that were too long for the port they left by, sent as several") \
	X(MON_TOO_LONG, "mon.too_long", "packets longer than the MTU of the port they would leave by") \
	X(MON_BAD, "mon.bad_packets", "packets with a bad header or checksum: sent on by a bridge as they are, shown to raw monitors alone") \
	X(MON_FRAGS, "mon.fragments", "fragments seen") \
	X(MON_ORPHANS, "mon.orphans", "packets that belong to no monitored flow") \
	X(MON_FLOWS, "mon.flows", "flows begun") \
	X(MON_PICKUPS, "mon.pickups", "of these, flows that were under way already") \
	X(MON_ENDED, "mon.flows_ended", "flows ended") \
	X(MON_EVICTED, "mon.flows_evicted", "flows ended early because max_flows was reached") \
	X(MON_NO_FLOW, "mon.no_flow", "flows not followed because every record was in use") \
	X(MON_BYTES, "mon.stream_bytes", "payload bytes put into streams, once per group") \
	X(MON_MISSED, "mon.missed_bytes", "payload bytes that a receiver acknowledged and nobody saw, of flows that have ended") \
	X(MON_OUTSIDE, "mon.outside_window", "segments with payload outside the window") \
	X(MON_REXMITS, "mon.retransmissions", "segments with payload seen before") \
	X(MON_EVENTS, "mon.events", "event records put") \
	X(MON_WAKES, "mon.wakes", "monitor threads woken") \
	X(MON_HELD, "mon.held", "packets held for a verdict") \
	X(MON_DROPPED, "mon.dropped", "packets dropped by a verdict, or by policy without one") \
	X(MON_BY_RING, "mon.by_ring", "packets decided by policy: the monitor's event ring was full; in the order of enum mon_cause") \
	X(MON_BY_DEADLINE, "mon.by_deadline", "the same: no verdict in time") \
	X(MON_BY_DEATH, "mon.by_death", "the same: the monitor has gone") \
	X(MON_BY_BUDGET, "mon.by_budget", "the same: too much waited for it already") \
	X(MON_BY_NONSENSE, "mon.by_nonsense", "the same: its verdict did not fit the packet") \
	X(MON_BY_BREAKER, "mon.by_breaker", "the same: its breaker was open") \
	X(MON_BREAKER, "mon.breaker_opened", "monitors passed over for a while, after many deadlines in a row") \
	X(MON_EDITED, "mon.edited", "packets changed by a verdict") \
	X(MON_INJECTED, "mon.injected", "packets put in by monitors") \
	X(MON_REFUSED, "mon.commands_refused", "commands of monitors that named nothing of theirs, or too much") \
	/* app */ \
	X(APP_CMDS, "app.commands", "commands taken") \
	X(APP_EVENTS, "app.events", "events put") \
	X(APP_EVENT_FULL, "app.event_ring_full", "events put off because a program's ring was full") \
	X(APP_WAKES, "app.wakes", "programs woken") \
	X(APP_STALE, "app.stale_handles", "commands naming a handle that is gone") \
	X(APP_BAD_CMD, "app.bad_commands", "commands that made no sense") \
	X(APP_BAD_CURSOR, "app.bad_cursors", "ring cursors that lied") \
	X(APP_DETACHED, "app.detached", "programs detached for nonsense") \
	X(APP_RECLAIMED, "app.reclaimed", "connections reset because their program is gone")

enum stats_counter {
#define X(id, name, text) CNT_##id,
	STATS_COUNTERS(X)
#undef X
	CNT_MAX
};

/* One engine's counters. */
struct stats {
	uint64_t n[CNT_MAX];
};

#define COUNT(stats, id) ((stats)->n[CNT_##id]++)
#define COUNT_ADD(stats, id, k) ((stats)->n[CNT_##id] += (k))

#endif
