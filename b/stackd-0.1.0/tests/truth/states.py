# SPDX-License-Identifier: BSD-3-Clause
"""The states of RFC 9293 that both ends of a flow must be in, as far as the packets tell: model.py --events.

One JSON line per packet that changed one: {"flow":N,"packet":FRAME,"client":"STATE","server":"STATE"}; N counts flows from 0
in model.py's order, FRAME is tshark's frame.number.  The sender's new state is what a monitor sees in MOS_HK_SND, the receiver's
what it sees in MOS_HK_RCV of that packet: a packet changes its sender only by what it sends, its receiver only by what arrives.

The states are derived from the facts that model.py gathers, not from transitions:

 - a SYN received makes SYN_RCVD, sent SYN_SENT; ESTABLISHED needs the other's SYN, and that one's own is acknowledged;
 - a direction whose SYN was not seen (mid-stream) counts as opened and acknowledged;
 - a FIN sent counts at once, also before earlier octets are seen; received only in order (after holes that were skipped);
 - who sent a FIN before the other's was received goes FIN_WAIT_1, FIN_WAIT_2 or CLOSING, TIME_WAIT; the other CLOSE_WAIT, LAST_ACK, CLOSED;
 - a valid RST closes its sender and its receiver.

What only time changes (TIME_WAIT to CLOSED, idle flows) is not listed.
"""
import json

import segments


class Tracker:
    """The states of one flow, after each of its packets.  Indexes are those of Flow.streams."""

    def __init__(self, flow):
        self.flow = flow
        self.closes_first = [False, False]
        self.now = ['CLOSED', 'CLOSED']

    def before(self):
        """Who has sent no FIN yet but would close first if it did?"""
        for i in (0, 1):
            if self.flow.streams[i].fin is None:
                self.closes_first[i] = not self.has_received_fin(i)

    def after(self):
        """Has a state changed?"""
        new = [self.state(0), self.state(1)]
        changed, self.now = new != self.now, new
        return changed

    def has_received_fin(self, i):
        other = self.flow.streams[1 - i]
        return other.fin is not None and other.next > other.fin

    def state(self, i):
        mine = self.flow.streams[i]
        if self.flow.reset:
            return 'CLOSED'
        got_fin = self.has_received_fin(i)
        if mine.fin is None:
            return 'CLOSE_WAIT' if got_fin else self.opening(mine, self.flow.streams[1 - i])
        acked = mine.ack is not None and mine.ack > mine.fin
        if not got_fin:
            return 'FIN_WAIT_2' if acked else 'FIN_WAIT_1'
        if self.closes_first[i]:
            return 'TIME_WAIT' if acked else 'CLOSING'
        return 'CLOSED' if acked else 'LAST_ACK'

    @staticmethod
    def opening(mine, other):
        if mine.isn is None:
            return 'SYN_RCVD' if other.syn_plain and mine.base is None else 'ESTABLISHED'
        if other.isn is None and other.base is None:
            return 'SYN_SENT'
        return 'ESTABLISHED' if mine.isn_stands or mine.ack is not None else 'SYN_RCVD'


def changes(path, idle_ns=None, overlap='first'):
    """(flow number, frame number, [state of ends[0], of ends[1]], flow) of each change."""
    import model
    table, trackers = model.Table(idle_ns), {}
    for segment in segments.read(path, overlap):
        flow = table.flow_of(segment)
        if flow is None:
            continue
        number, tracker = trackers.setdefault(flow, (len(trackers), Tracker(flow)))
        tracker.before()
        flow.take(segment)
        if tracker.after():
            yield number, segment.number, list(tracker.now), flow


def print_all(path, idle_ns=None, overlap='first'):
    """Who is the client may be known only later (F4), so lines are printed at the end."""
    for number, packet, now, flow in list(changes(path, idle_ns, overlap)):
        client = flow.opener or 0
        print(json.dumps({'flow': number, 'packet': packet, 'client': now[client], 'server': now[1 - client]},
                         separators=(',', ':')))
