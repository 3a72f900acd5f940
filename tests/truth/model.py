#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""model.py [OPTION...] CAPTURE: what is true about each TCP flow of a capture, slowly and clearly.

One JSON line per flow, in the order in which the flows begin:

  {"client":"IP:PORT","server":"IP:PORT","end":"FIN|RST|HALF|none",
   "c2s":{"pkts":..,"bytes":..,"sha256":"..","missed":..,"rexmit":..,"ooo":..},"s2c":{...}}

IPv6 addresses stand in brackets.  Options: --idle SECONDS (a flow that is silent for longer has ended; default: never),
--frag-overlap first|drop (see segments.py), --streams FOLDER (writes each flow's two streams there, NUMBER.c2s and NUMBER.s2c, for
a look with other tools), --events (lists state changes instead, see states.py).

This program is the independent answer that the engine is compared to; it was written from RFC 9293, 5961, 7323 and the
rules below, not from the engine.  What is a good segment at all is settled in segments.py.  In the rules, X sends to Y; each
direction is a stream of octets of its own; offset 0 is the octet after the SYN.

FLOWS
 F1  A flow is the packets between two IP:PORT pairs, until a new one begins on the same pairs.  Any good TCP segment begins the
     first one except a RST: nothing is there that it could reset.  Those between two IP:PORT pairs that have no flow make one by
     themselves; what follows does not belong to it.
 F2  A flow is closed by a valid RST, or when every direction in which packets were seen has an accepted FIN.  A closed flow
     stays: late packets are its own (they count in pkts, and their text is judged as always, T1-T9), until
       a) a SYN whose ISN is not the one already known for that direction;
       b) a SYN-ACK whose ISN is not the one known for its direction, unless it acknowledges the ISN of the flow's other side.
     These begin a new flow.  A SYN with the ISN known already is a retransmission.
 F3  On a flow that is not closed a SYN with another ISN begins nothing: anybody can forge it.  It is remembered.  If, after
     the handshake (H4), or on a stream that was joined in the middle (H6), the other side answers with a SYN-ACK that
     acknowledges it and has a new ISN of its own, the old connection is gone without our having seen its end: a new flow
     begins with that SYN-ACK.  The SYN before it stays with the old flow.
 F4  Client is who sent the first SYN that was accepted as the flow's, else who received the first accepted SYN-ACK, else who
     sent the first packet.
 F5  end: RST if a valid RST came before FINs were accepted in both directions; else FIN if they were; HALF if in one; none.

HANDSHAKE
 H1  The ISN of X is that of its first SYN or SYN-ACK.  A SYN-ACK of X is acceptable only if it acknowledges what Y has sent
     (offset 0 up to all octets seen), or nothing is known of Y; else it is only counted in pkts.
 H2  If only the SYN-ACK of X is seen, Y's ISN is its acknowledgment - 1.  If Y's SYN (without ACK) was seen and then Y acknowledges
     before any SYN, text or FIN of X was seen, that tells the ISN of X in the same way.
 H3  Further ISNs that X offers before H4 are candidates.  An acknowledgment from Y that is exactly a candidate + 1 (SYN-ACK or
     later), or, earlier, a segment without SYN of X with the sequence number candidate + 1, chooses it: the stream starts
     again from that ISN, and what a SYN with another ISN carried is forgotten.  pkts and rexmit go on counting.
 H4  From then on, or once Y has acknowledged the first ISN, or X has gone on from it, the ISN stands.
 H5  Text in a SYN counts, from offset 0.  A FIN in a SYN does not.
 H6  A direction whose SYN was not seen, and of which H2 tells nothing, starts with the first octet of text or FIN that is seen.  A SYN
     that comes late and lies at most 64 KiB before that is the flow's, but doesn't move the start.

ACKNOWLEDGMENTS AND WINDOWS
 A1  Segments without ACK (and without SYN, RST) count in pkts and for nothing else: every receiver drops them.
 A2  A segment 2^30 or more away from the next expected octet of its direction, or that acknowledges something 2^30 or
     more away, counts in pkts; the first: nothing else of it counts; the second: its acknowledgment and window do not.
     Acknowledgments of RSTs never count, nor those of a direction whose start is unknown, nor those of something before the
     start (an old connection's), and neither do the windows that come with them.
 A3  Window scaling is known when both SYNs were seen, or one was seen without the option (then there is none; shifts above 14
     are 14).  A window in a SYN-ACK is never scaled.  The window's edge is acknowledgment + window of the segment with the highest
     acknowledgment, the last one of several; so a receiver that takes its offer back is believed, and an acknowledgment
     that was overtaken is not.  While scaling is unknown, or nothing was acknowledged, there is no edge, and A2 alone limits.

TEXT
 T1  The first version of an octet counts, later ones don't.
 T2  Text of RSTs does not count.
 T3  Octets at or beyond the window's edge are not stored, nor is a FIN beyond it (at the edge it is): the receiver will drop
     them.  They are set aside and not "seen".  Should the receiver then acknowledge them (the tap had missed a window update, or a
     window probe was taken), they were taken: what is below the acknowledgment is stored then, where nothing is yet, in the
     order of arrival, without counting as anything more.
 T4  The first FIN is accepted if no octet behind it has been stored; it ends the stream: text behind it does not count.  Another
     FIN elsewhere does not count.  A FIN counts as seen even while octets before it are missing.
 T5  A hole is octets that were never seen with some octet stored, or the FIN, behind it.  It is skipped in a packet with
     which Y acknowledges all of it and some of what is behind it, if that is there: nothing waits for it any more.  (A packet that
     fills it may have been overtaken by those behind it, and by an acknowledgement.)  Octets that come after that count all the
     same, at their place.  missed counts the octets in holes at the end of the flow.
 T6  At the end of the flow, octets that Y acknowledged behind the last one seen are missed too, less one if no FIN was
     accepted (the last may have been a FIN, so it is not certain; after a FIN there are none).  A direction of which no packet was
     seen has no stream and missed nothing.
 T7  Octets before the start of the stream do not count; for T8 they have been seen.  But where the start is the first text that was
     seen (H6), it is not certain: octets up to 16 MiB before it count, too, and the stream begins with the lowest.  (Not a
     single octet just before it: a keep-alive.)
 T8  rexmit counts segments of which an octet of text (as far as it is before the FIN), or the SYN, or the
     FIN, has been seen before, whether it was stored or set aside (T3).  Not counted are: a SYN with another ISN; one octet of garbage
     before the next new one when all is acknowledged (keep-alive); RSTs; what A1 and A2 exclude.  A single octet that is set
     aside (window probe) has not been seen.  In a simultaneous open the SYN-ACK repeats its sender's SYN and counts.
 T9  ooo counts segments that bring something new (text or a FIN) and start beyond the next octet that has not come.  What is set
     aside has come, but for window probes.  One that fills the hole later is not out of order.
 T10 Urgent text is text (RFC 6093).  There is no PAWS check: timestamps judge nothing.

RST
 R1  A RST of X is valid if its sequence number is one that Y may expect: at least Y's last acknowledgment (but what Y acknowledges
     beyond all we saw is not believed here), and below the window's edge (no edge: less than 2^30 beyond the next expected
     octet), or exactly the next expected octet or the one behind all seen.
 R2  If the start of X's stream is unknown: if Y has acknowledged something, the RST must be 0 to 2^30 - 1 beyond that; else, if Y has
     sent a SYN, it must acknowledge it (RFC 9293 3.10.7.3), or its text; else it is valid.
 R3  A RST that is not valid counts in pkts and does nothing else.
"""
import argparse
import hashlib
import ipaddress
import json
import os

import segments
from segments import ACK, FIN, RST, SYN

FAR = 1 << 30
LATE_SYN = 65536
EARLY = 1 << 24


def signed(difference):
    """A difference of sequence numbers: -2^31 to 2^31 - 1."""
    return (difference + 0x80000000) % 0x100000000 - 0x80000000


class Ranges:
    """Sets of offsets, as sorted disjoint [from, to)."""

    def __init__(self):
        self.ranges = []

    def add(self, start, stop):
        if start >= stop:
            return
        apart = [r for r in self.ranges if r[1] < start or r[0] > stop]
        near = [r for r in self.ranges if not (r[1] < start or r[0] > stop)]
        apart.append([min([start] + [r[0] for r in near]), max([stop] + [r[1] for r in near])])
        self.ranges = sorted(apart)

    def count(self, start, stop):
        """How many of [start, stop) are in the set."""
        return sum(max(min(stop, r[1]) - max(start, r[0]), 0) for r in self.ranges)

    def overlap(self, start, stop):
        return self.count(start, stop) > 0

    def reach(self, at):
        """The first offset from `at` on that is not in the set."""
        for start, stop in self.ranges:
            if start <= at < stop:
                return stop
        return at


class Stream:
    """One direction, X to Y: what X sends, and what Y said about it.  Offsets are unwrapped and count from the start."""

    def __init__(self):
        self.pkts = self.rexmit = self.ooo = 0
        self.isn = None
        self.isn_stands = False
        self.candidates = {}        # ISN: (shift, text)
        self.syn_seen = False
        self.syn_plain = False      # its SYN had no ACK: X opened
        self.shift = None           # None: no SYN seen; -1: SYN without the option
        self.ack_raw = None         # Y's highest acknowledgment, as a sequence number
        self.start_again(None)

    def start_again(self, base):
        """A stream whose octet 0 has sequence number base."""
        self.base = base
        self.next = 0               # all before it is stored or skipped
        self.islands = []           # [offset, text] beyond it, sorted, apart from each other
        self.fin = None
        self.ack = None             # Y's highest acknowledgment, as an offset
        self.edge = None
        self.aside = []             # (offset, text, fin) beyond the window
        self.seen = Ranges()        # of text, stored or not
        self.low = 0                # where the stream begins: below 0 if that was not certain (T7)
        self.certain = True
        self.tail = 0               # T6
        self.pieces = []            # (offset, text), in no order

    def offset(self, seq):
        return self.next + signed(seq - self.base - self.next)

    def is_far(self, seq):
        return self.base is not None and abs(self.offset(seq) - self.next) >= FAR

    @property
    def end(self):
        """Behind everything seen, a FIN included."""
        if self.fin is not None:
            return self.fin + 1
        return self.islands[-1][0] + len(self.islands[-1][1]) if self.islands else self.next

    # --- text ---

    def take(self, seq, text, fin):
        """T1-T9, for one segment.  Tells whether some of it was seen before."""
        if not text and not fin:
            return False
        if self.base is None:
            self.start_again(seq)
            self.certain = False
        at = self.offset(seq)
        if len(text) == 1 and not fin and at == self.end - 1 and self.ack is not None and self.ack >= self.end:
            return False            # a keep-alive
        fin_at = at + len(text) if fin else None
        if self.fin is not None:
            text = text[:max(self.fin - at, 0)]
        low = 0 if self.certain or (at == -1 and len(text) == 1) else -EARLY
        again = self.seen.overlap(at, at + len(text)) or (at < low and text != b'') or (fin_at is not None and fin_at == self.fin)
        ahead = at > self.seen.reach(self.next)
        whole = text
        text, fin_at = self.set_aside(at, text, fin_at)
        new = len(whole) > self.seen.count(at, at + len(whole))
        self.store_late(at, text, low)
        self.store(at, text)
        if len(whole) != 1 or text:
            self.seen.add(max(at, low), at + len(whole))
        else:
            new = False             # a window probe
        if fin_at is not None and self.fin is None and fin_at >= self.end:
            self.fin, new = fin_at, True
        self.ooo += new and ahead
        self.advance()
        return again

    def store_late(self, at, text, low):
        """T5, T7: octets that nothing has waited for."""
        for i in range(max(at, low), min(at + len(text), self.next)):
            if not self.seen.overlap(i, i + 1):
                self.pieces.append((i, text[i - at:i - at + 1]))
                self.low = min(self.low, i)

    def set_aside(self, at, text, fin_at):
        """T3: returns what is within the window."""
        if self.edge is None or (at + len(text) <= self.edge and (fin_at is None or fin_at <= self.edge)):
            return text, fin_at
        room = max(self.edge - at, 0)
        piece = (at + min(room, len(text)), bytes(text[room:]), fin_at is not None and fin_at > self.edge)
        if piece not in self.aside and (piece[1] or piece[2]):
            self.aside.append(piece)
        return text[:room], None if piece[2] else fin_at

    def store(self, at, text):
        """Puts octets where none are."""
        pieces, pos, stop = [], max(at, self.next), at + len(text)
        for start, old in self.islands + [[stop, b'']]:
            if pos < min(start, stop):
                pieces.append([pos, bytearray(text[pos - at:min(start, stop) - at])])
            pos = max(pos, start + len(old))
        self.islands = sorted(self.islands + pieces, key=lambda island: island[0])
        joined = []
        for start, old in self.islands:
            if joined and joined[-1][0] + len(joined[-1][1]) == start:
                joined[-1][1] += old
            else:
                joined.append([start, old])
        self.islands = joined

    def advance(self):
        if self.islands and self.islands[0][0] == self.next:
            _, text = self.islands.pop(0)
            self.pieces.append((self.next, bytes(text)))
            self.next += len(text)
        if self.fin is not None and self.fin == self.next:
            self.next += 1

    def skip(self, at_end=False):
        """T5."""
        while self.next < self.end:
            hole_end = self.islands[0][0] if self.islands else self.fin
            if not at_end and (self.ack is None or self.ack <= hole_end):
                return
            self.next = hole_end
            self.advance()

    # --- what Y says ---

    def acknowledged(self, ack, window):
        """A2, A3.  window is in octets, None where it is unknown."""
        if self.base is None:
            if self.ack_raw is None or signed(ack - self.ack_raw) > 0:
                self.ack_raw = ack
            return
        at = self.offset(ack)
        if self.is_far(ack) or at < (0 if self.ack is None else self.ack):
            return
        self.ack = at
        self.edge = None if window is None else at + window
        self.take_aside()
        self.skip()

    def take_aside(self):
        """T3: what Y acknowledges it has taken."""
        kept = []
        for at, text, fin in self.aside:
            taken = max(min(self.ack - at, len(text)), 0)
            fin_at = at + len(text)
            self.store(at, text[:taken] if self.fin is None else text[:max(min(taken, self.fin - at), 0)])
            if fin and fin_at < self.ack:
                if self.fin is None and fin_at >= self.end:
                    self.fin = fin_at
                fin = False
            if taken < len(text) or fin:
                kept.append((at + taken, text[taken:], fin))
            self.advance()
        self.aside = kept

    def choose(self, isn):
        """H3."""
        self.shift, text = self.candidates.pop(isn)
        self.isn, self.isn_stands, self.syn_seen = isn, True, True
        self.start_again((isn + 1) % 2**32)
        self.take_syn_text(text)

    def take_syn_text(self, text):
        return self.take((self.isn + 1) % 2**32, text, False)

    def reset_is_valid(self, seq, ack, other):
        """R1, R2; ack is None without ACK.  other is the stream from Y to X."""
        if self.base is not None:
            at = self.offset(seq)
            low = min(self.ack, self.end) if self.ack is not None else 0
            high = self.edge if self.edge is not None else self.next + FAR
            return low <= at < high or at in (self.next, self.end)
        if self.ack_raw is not None:
            return 0 <= signed(seq - self.ack_raw) < FAR
        if other.syn_seen:
            return ack is not None and (0 <= other.offset(ack) <= other.end or (ack - 1) % 2**32 in other.candidates)
        return True

    def finish(self):
        """T5, T6: the flow has ended."""
        self.skip(at_end=True)
        if self.pkts and self.base is not None and self.fin is None and self.ack is not None:
            self.tail = max(self.ack - self.next - 1, 0)

    @property
    def text(self):
        """All octets, in order."""
        return b''.join(text for _, text in sorted(self.pieces))

    @property
    def missed(self):
        end = self.next - (self.fin is not None and self.next > self.fin)
        return end - self.low - len(self.text) + self.tail

    def result(self):
        text = self.text
        return {'pkts': self.pkts, 'bytes': len(text), 'sha256': hashlib.sha256(text).hexdigest(),
                'missed': self.missed, 'rexmit': self.rexmit, 'ooo': self.ooo}


class Flow:
    """ends[0] sent the first packet; streams[i] is what ends[i] sends."""

    def __init__(self, segment):
        self.ends = (segment.src, segment.dst)
        self.streams = (Stream(), Stream())
        self.opener = None          # F4: who the first SYN, or else SYN-ACK, makes the client
        self.by_syn = False
        self.reset = False
        self.last = segment.ts

    def sides(self, segment):
        """(index of the sender, its stream, the other stream)"""
        i = 0 if segment.src == self.ends[0] else 1
        return i, self.streams[i], self.streams[1 - i] if self.ends[0] != self.ends[1] else Stream()

    @property
    def closed(self):
        seen = [s for s in self.streams if s.pkts]
        return self.reset or bool(seen) and all(s.fin is not None for s in seen)

    def is_new(self, segment):
        """F2, F3: does this segment, on the same pairs, begin another flow?"""
        if segment.flags & RST or not segment.flags & SYN:
            return False
        _, mine, other = self.sides(segment)
        if not segment.flags & ACK:
            return self.closed and segment.seq != mine.isn
        if segment.seq == mine.isn:
            return False
        if self.closed:
            return other.isn is None or segment.ack != (other.isn + 1) % 2**32
        begun = other.isn_stands or other.isn is None and other.base is not None
        return begun and (segment.ack - 1) % 2**32 in other.candidates

    def take(self, segment):
        """One packet of this flow, in the order of RFC 9293 3.10.7.4: RST, SYN, ACK, text, FIN."""
        i, mine, other = self.sides(segment)
        mine.pkts += 1
        self.last = segment.ts
        flags = segment.flags
        if flags & RST:
            self.take_reset(segment, mine, other)
        elif flags & SYN and flags & ACK:
            self.take_syn_ack(segment, i, mine, other)
        elif flags & SYN:
            self.take_syn(segment, i, mine)
        elif flags & ACK:
            self.take_plain(segment, mine, other)

    def take_reset(self, segment, mine, other):
        both = all(s.fin is not None for s in self.streams)
        ack = segment.ack if segment.flags & ACK else None
        if not both and mine.reset_is_valid(segment.seq, ack, other):
            self.reset = True

    def take_syn(self, segment, i, mine):
        if not self.own_syn(segment, mine):
            return
        mine.syn_plain = True
        if not self.by_syn:
            self.opener, self.by_syn = i, True

    def take_syn_ack(self, segment, i, mine, other):
        acked = (segment.ack - 1) % 2**32
        if other.base is None:                                          # H2
            other.isn, other.isn_stands = acked, True
            other.start_again(segment.ack)
        elif not other.isn_stands and acked in other.candidates:        # H3
            other.choose(acked)
        elif not 0 <= other.offset(segment.ack) <= other.end:           # H1
            return
        other.isn_stands = other.isn is not None
        if self.own_syn(segment, mine) and self.opener is None:
            self.opener = 1 - i
        other.acknowledged(segment.ack, None if self.scale(mine, other) is None else segment.window)

    def own_syn(self, segment, mine):
        """H1, H3, H6: is the SYN, or acceptable SYN-ACK, of this flow?  If so, it is taken."""
        shift = -1 if segment.shift is None else segment.shift
        again = False
        if segment.seq == mine.isn:
            again = mine.syn_seen
        elif mine.base is None:
            mine.start_again((segment.seq + 1) % 2**32)
        elif mine.syn_seen or not 0 <= signed(mine.base - segment.seq - 1) < LATE_SYN:
            mine.candidates[segment.seq] = (shift, segment.text)
            return False
        if not mine.syn_seen:
            mine.isn, mine.syn_seen, mine.shift = segment.seq, True, shift
        again |= mine.take_syn_text(segment.text)
        mine.rexmit += again
        return True

    def take_plain(self, segment, mine, other):
        before = (segment.seq - 1) % 2**32
        if mine.isn is not None and not mine.isn_stands:
            if before in mine.candidates:                               # H3
                mine.choose(before)
            mine.isn_stands = before == mine.isn                        # H4
        if mine.is_far(segment.seq):
            return
        self.take_ack(segment, mine, other)
        mine.rexmit += mine.take(segment.seq, segment.text, bool(segment.flags & FIN))

    def take_ack(self, segment, mine, other):
        acked = (segment.ack - 1) % 2**32
        if other.base is None and mine.syn_plain:                       # H2
            other.isn, other.isn_stands = acked, True
            other.start_again(segment.ack)
        elif other.isn is not None and not other.isn_stands:
            if acked in other.candidates:                               # H3
                other.choose(acked)
            other.isn_stands = other.offset(segment.ack) >= 0 and not other.is_far(segment.ack)
        scale = self.scale(mine, other)
        other.acknowledged(segment.ack, None if scale is None else segment.window << scale)

    @staticmethod
    def scale(mine, other):
        """A3: the shift of X's windows, None while it is unknown."""
        if -1 in (mine.shift, other.shift):
            return 0
        return None if None in (mine.shift, other.shift) else mine.shift

    def finish(self):
        for stream in self.streams:
            stream.finish()

    @property
    def end(self):
        fins = sum(s.fin is not None for s in self.streams)
        return 'RST' if self.reset else ('none', 'HALF', 'FIN')[fins]

    def result(self):
        client = self.opener or 0
        return {'client': name(self.ends[client]), 'server': name(self.ends[1 - client]), 'end': self.end,
                'c2s': self.streams[client].result(), 's2c': self.streams[1 - client].result()}


def name(end):
    address = ipaddress.ip_address(end[0])
    return ('[%s]:%d' if address.version == 6 else '%s:%d') % (address, end[1])


class Table:
    """All flows of a capture, in the order in which they began."""

    def __init__(self, idle_ns=None):
        self.idle_ns = idle_ns
        self.flows = []
        self.current = {}
        self.strays = {}

    def flow_of(self, segment):
        """The flow that a segment belongs to; a new one if it begins one; None for a RST without one."""
        key = frozenset((segment.src, segment.dst))
        flow = self.current.get(key)
        if flow and self.idle_ns is not None and segment.ts - flow.last > self.idle_ns:
            flow = None
        if flow is None and segment.flags & RST:
            return None
        if flow is None or flow.is_new(segment):
            flow = self.current[key] = Flow(segment)
            self.flows.append(flow)
        return flow

    def take(self, segment):
        flow = self.flow_of(segment)
        if flow:
            flow.take(segment)
        else:
            self.stray(segment)
        return flow

    def stray(self, segment):
        """A RST without a flow."""
        ends = frozenset((segment.src, segment.dst))
        if ends not in self.strays:
            self.strays[ends] = Flow(segment)
            self.strays[ends].reset = True
            self.flows.append(self.strays[ends])
        self.strays[ends].sides(segment)[1].pkts += 1


def flows(path, idle_ns=None, overlap='first'):
    """The finished flows of a capture."""
    table = Table(idle_ns)
    for segment in segments.read(path, overlap):
        table.take(segment)
    for flow in table.flows:
        flow.finish()
    return table.flows


def write_streams(folder, number, flow):
    client = flow.opener or 0
    for side, direction in ((client, 'c2s'), (1 - client, 's2c')):
        with open(os.path.join(folder, '%d.%s' % (number, direction)), 'wb') as f:
            f.write(flow.streams[side].text)


def main():
    parser = argparse.ArgumentParser(description='What is true about each TCP flow of a capture.')
    parser.add_argument('capture')
    parser.add_argument('--idle', type=float, metavar='SECONDS')
    parser.add_argument('--frag-overlap', choices=('first', 'drop'), default='first')
    parser.add_argument('--streams', metavar='FOLDER')
    parser.add_argument('--events', action='store_true')
    args = parser.parse_args()
    idle_ns = None if args.idle is None else int(args.idle * 1e9)
    if args.events:
        import states
        states.print_all(args.capture, idle_ns, args.frag_overlap)
        return
    for number, flow in enumerate(flows(args.capture, idle_ns, args.frag_overlap)):
        print(json.dumps(flow.result(), separators=(',', ':')))
        if args.streams:
            write_streams(args.streams, number, flow)


if __name__ == '__main__':
    main()
