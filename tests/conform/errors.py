# SPDX-License-Identifier: BSD-3-Clause
"""ICMP errors about TCP (1122 4.2.3.9, 5927, 4443): of each kind, in each state, about numbers in flight and others."""
import struct

from peer import Conn, mss, POLLERR
from states import STATES
from wire import ACK, Differs, FIN, ICMP, icmp, ICMP6, icmp6, MASK, packet, tcp

KINDS = {4: [(3, c) for c in range(16)] + [(4, 0), (5, 0), (5, 1), (11, 0), (11, 1), (12, 0), (12, 2), (40, 0)],
         6: [(1, c) for c in range(8)] + [(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (100, 0), (137, 0)]}
# What ends a half-open connection, with which error: 1122 4.2.3.9; where it is silent, Linux's table
HARD = {4: {(3, 2): 92, (3, 3): 111, (3, 6): 101, (3, 7): 112, (3, 8): 64, (3, 9): 101, (3, 10): 113, (3, 13): 113, (3, 14): 113, (3, 15): 113},
        6: {(1, 1): 13, (1, 4): 111, (1, 5): 13, (1, 6): 13}}


def must(fact, text):
    if not fact:
        raise Differs(text)


def tell(lab, c, kind, seq, rest=b'\0\0\5\x14', whole=True, src=None):
    """An error about a segment that stackd sent, or might have sent, with this number."""
    stack, own = lab.wire.stack[c.fam], lab.wire.own[c.fam]
    quote = packet(stack, own, 6, tcp(stack, own, c.port, c.sport, seq, c.seq, ACK, payload=b'x' * 8))
    if c.fam == 4:
        body = icmp(*kind, rest, quote if whole else quote[:28])
        lab.wire.send(packet(src or own, stack, ICMP, body))
    else:
        lab.wire.send(packet(src or own, stack, ICMP6, icmp6(src or own, stack, *kind, b'\0\0\5\x14' if kind[0] == 2 else b'\0\0\0\0', quote)))


def unmoved(lab, state, fam, kind, off):
    """An error that ends nothing: nothing is sent, the program is not told, the state stays."""
    c = STATES[state][0](lab, fam, False)
    flight = c.irs if state.startswith('SYN') else c.ack - 1 & MASK
    if state.startswith('ESTAB') or state == 'CLOSE-WAIT':
        c.puppet.must('write', c.fd, 100)
        s = c.next()
        flight = s.seq
    tell(lab, c, kind, flight + off)
    got = [s for s in c.replies() if not s.data and not s.flags & FIN]
    must(not got, 'came %s' % ', '.join(map(str, got)))
    if c.fd is not None:
        got, want = c.puppet.state(c.fd), STATES[state][1]
        must(got == want or state == 'TIME-WAIT', 'the state is %d, should be %d' % (got, want))
        must(not c.puppet.events(c.fd) & POLLERR, 'POLLERR')
        # what may be about us is told when asked for, as Linux does
        must(not c.puppet.error(c.fd) or off == 0, 'there is an error')
    elif state == 'SYN-RCVD':
        c.send(ACK)
        c.fd = c.puppet.accept(lab.listeners[fam])


def refused(lab, fam, kind, want):
    """SYN-SENT: the open fails at once, with this error."""
    c = STATES['SYN-SENT'][0](lab, fam, False)
    tell(lab, c, kind, c.irs)
    got = c.replies()
    must(not got, 'came %s' % ', '.join(map(str, got)))
    error = c.puppet.error(c.fd)
    must(error == want, 'the error is %d, should be %d' % (error, want))


def too_big(lab, fam, mtu, off, taken):
    """1191, 8201: in flight, the segment is sent again, smaller; other numbers mean nothing."""
    # from an address of its own: hosts remember paths
    lab.paths += 1
    own = lab.wire.own[fam][:-1] + bytes([0x70 + lab.paths])
    c = Conn(lab, fam, 80, src=own)
    c.opened(lab.listeners[fam], options=mss(1460))
    c.puppet.must('write', c.fd, 5000)
    first = c.next()
    c.replies()
    rest = struct.pack('!HH', 0, mtu) if fam == 4 else struct.pack('!I', mtu)
    stack = lab.wire.stack[fam]
    quote = bytearray(first.ip[:600])
    head = 20 if fam == 4 else 40
    quote[head + 4:head + 8] = struct.pack('!I', first.seq + off & MASK)
    if fam == 4:
        lab.wire.send(packet(own, stack, ICMP, icmp(3, 4, rest, bytes(quote[:28]))))
    else:
        lab.wire.send(packet(own, stack, ICMP6, icmp6(own, stack, 2, 0, rest, bytes(quote))))
    got = c.replies()
    if taken:
        want = taken - head - 20
        must(got and got[0].seq == first.seq and len(got[0].data) == want, 'came %s' % (', '.join(map(str, got)) or 'nothing'))
        must(all(len(s.data) <= want for s in got), 'larger ones')
    else:
        must(not got, 'came %s' % ', '.join(map(str, got)))


def run(lab):
    quiet = [s for s in STATES if s not in ('CLOSED', 'LISTEN', 'SYN-SENT')]
    lab.paths = 0
    for fam in lab.families:
        for kind in KINDS[fam]:
            if kind in ((3, 4), (2, 0)) or kind == (137, 0):
                continue
            for state in quiet:
                if state.startswith('SYN-RCVD') and kind in HARD[fam]:
                    continue
                lab.case('%s ICMP %s v%d' % (state, kind, fam), unmoved, state, fam, kind, 0)
                lab.case('%s ICMP %s, not in flight v%d' % (state, kind, fam), unmoved, state, fam, kind, 100000)
            lab.case('SYN-SENT ICMP %s, not in flight v%d' % (kind, fam), unmoved, 'SYN-SENT', fam, kind, 1000)
            if kind in HARD[fam]:
                lab.case('SYN-SENT ICMP %s v%d' % (kind, fam), refused, fam, kind, HARD[fam][kind])
            else:
                lab.case('SYN-SENT ICMP %s v%d' % (kind, fam), unmoved, 'SYN-SENT', fam, kind, 0)
        big = 1300 if fam == 4 else 1400
        lab.case('too big v%d' % fam, too_big, fam, big, 0, big)
        lab.case('too big, not in flight v%d' % fam, too_big, fam, big, -1, None)
        lab.case('too big, never sent v%d' % fam, too_big, fam, big, 100000, None)
        lab.case('too big: larger than the segment v%d' % fam, too_big, fam, 1500, 0, None)
        lab.case('too big: 65535 v%d' % fam, too_big, fam, 65535, 0, None)
