# SPDX-License-Identifier: BSD-3-Clause
"""Scenes about text: overlaps, order, holes, windows, sequence numbers."""
import random

from craft import first_wins, text

UP, DOWN = b'GET / HTTP/1.0\r\n\r\n', b'HTTP/1.0 200 OK\r\n\r\nhello'


def normal(wire):
    talk = wire.talk()
    talk.open()
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)


# (first piece, second piece) as (offset, size): the second overlaps all, the head, the tail, ... of the first
PLACEMENTS = {
    'full': ((0, 40), (0, 40)), 'head': ((20, 40), (0, 40)), 'tail': ((0, 40), (20, 40)), 'inside': ((0, 60), (20, 20)),
    'around': ((20, 20), (0, 60)), 'longer': ((0, 40), (0, 60)), 'earlier': ((20, 40), (0, 60)), 'one': ((0, 40), (39, 1)),
}


def overlaps(wire):
    """Every placement, next in order and behind a hole that is filled last; the two versions differ in every octet."""
    for name, (one, other) in PLACEMENTS.items():
        for hole in (0, 30):
            talk = wire.talk()
            talk.open()
            good = text(one[1], name)
            evil = bytes(b ^ 0xff for b in text(other[1], name))
            pieces = [(hole + one[0], good), (hole + other[0], evil)]
            behind = [at > 0 for at, _ in pieces]
            if hole == 0 and one[0] == 0:
                behind[1] = other[0] > one[1]
            # does the second bring something?  Only then can it be out of order
            behind[1] = behind[1] and (other[0] < one[0] or sum(other) > sum(one))
            if hole == 0 and other[0] == 0:
                behind[1] = False
            for at, octets in pieces:
                talk.c('PA', octets, at=at)
                talk.s(ack=0)
            fill = text(hole or 0, 'fill')
            if hole:
                talk.c('PA', fill, at=0)
                pieces.append((0, fill))
            talk.s()
            talk.close()
            talk.expect('FIN', first_wins(*pieces), rexmit=(1, 0), ooo=(sum(behind), 0))


def overlap_islands(wire):
    """One segment over three pieces with holes between them, then over all."""
    talk = wire.talk()
    talk.open()
    pieces = [(10, b'A' * 10), (30, b'B' * 10), (50, b'C' * 10), (5, b'd' * 50), (0, b'e' * 70)]
    for at, octets in pieces:
        talk.c('PA', octets, at=at)
        talk.s(ack=0)
    talk.s()
    talk.close()
    talk.expect('FIN', first_wins(*pieces), rexmit=(2, 0), ooo=(4, 0))


def reordered(wire):
    """Segments in any order, some twice, both ways."""
    rng = random.Random(7)
    talk = wire.talk()
    talk.open()
    sent = (text(30000, 'up'), text(50000, 'down'))
    rexmit, ooo = [0, 0], [0, 0]
    for side in (0, 1):
        order = [(at, sent[side][at:at + 1000]) for at in range(0, len(sent[side]), 1000)]
        order += rng.sample(order, 5)
        rng.shuffle(order)
        have = set()
        for at, octets in order:
            ahead = any(i not in have for i in range(0, at, 1000))
            rexmit[side] += at in have
            ooo[side] += ahead and at not in have
            have.add(at)
            talk.send(side, 'PA', octets, at=at, window=60000)
        talk.send(1 - side, 'A')
    talk.close()
    talk.expect('FIN', *sent, rexmit=rexmit, ooo=ooo)


def wrap(wire):
    """100 kB across sequence number 0, in order one way, out of order the other."""
    talk = wire.talk(isn=(2**32 - 50000, 2**32 - 1))
    talk.open()
    up, down = text(100000, 'wrap up'), text(100000, 'wrap down')
    for at in range(0, 100000, 1000):
        talk.c('PA', up[at:at + 1000])
        talk.s()
    for at in range(0, 100000, 2000):
        talk.s('PA', down[at + 1000:at + 2000], at=at + 1000)
        talk.s('PA', down[at:at + 1000], at=at)
        talk.c()
    talk.close()
    talk.expect('FIN', up, down, ooo=(0, 50))


def wrap_syn(wire):
    """The SYN is the last sequence number, the FIN the first, and the other way round."""
    for isn, octets in ((2**32 - 1, b''), (2**32 - 2, b''), (2**32 - 10, b'12345678'), (2**32 - 10, b'123456789')):
        talk = wire.talk(isn=(isn, 2**31))
        talk.open()
        if octets:
            talk.c('PA', octets)
            talk.s()
        talk.close()
        talk.expect('FIN', octets)


def keepalives(wire):
    """Of no octet and of one of garbage, when all is acknowledged; and a retransmission that only looks like one."""
    talk = wire.talk()
    talk.open()
    talk.c('A', at=-1)
    talk.c('A', b'\0', at=-1)
    talk.s()
    talk.both(UP, DOWN)
    for _ in range(3):
        wire.wait(75)
        talk.c('A', at=len(UP) - 1)
        talk.s()
        talk.s('A', b'\0', at=len(DOWN) - 1)
        talk.c()
    talk.c('PA', b'x')
    talk.c('PA', b'x', at=len(UP))
    talk.s()
    talk.c('A', b'y', at=len(UP))
    talk.s()
    talk.close()
    talk.expect('FIN', UP + b'x', DOWN, rexmit=(1, 0))


def window_probes(wire):
    """The receiver is full.  Probes carry one new octet: dropped, dropped, taken."""
    talk = wire.talk(shift=(None, None))
    talk.open()
    sent = text(3000, 'probe')
    talk.c('PA', sent[:1000])
    talk.s(window=0)
    for _ in range(2):
        talk.c('A', sent[1000:1001], at=1000)
        talk.s(ack=1000, window=0)
    talk.c('A', at=999)
    talk.s(ack=1000, window=0)
    talk.s(ack=1000, window=1000)
    talk.c('PA', sent[1000:2000], at=1000)
    talk.s(window=0)
    talk.c('A', sent[2000:2001], at=2000)
    talk.s(ack=2001, window=8000)
    talk.c('PA', sent[2001:])
    talk.s()
    talk.close()
    talk.expect('FIN', sent)


def window_tiny(wire):
    """Windows of 1 to 10 octets, and what goes beyond them is not taken: garbage there must not get in."""
    sent = text(55, 'tiny')
    talk = wire.talk(shift=(None, None))
    talk.c('S', window=5)
    talk.s('SA', window=0)
    talk.c(window=5)
    at = 0
    for size in range(1, 11):
        talk.s(ack=at, window=size)
        talk.c('PA', b'evil, evil, evil', at=at + size, window=5)
        talk.c('PA', sent[at:at + size] + b'evil', at=at, window=5)
        at += size
        talk.s(ack=at, window=0)
    talk.next[0] = at
    talk.s(window=10)
    talk.close()
    talk.expect('FIN', sent, rexmit=(19, 0), ooo=(1, 0))


def window_stale(wire):
    """The tap misses window updates: what seems to be beyond the window is acknowledged, so it was taken."""
    talk = wire.talk(shift=(None, None))
    talk.c('S', window=1000)
    talk.s('SA', window=1000)
    talk.c(window=1000)
    sent = text(8000, 'stale')
    for at in range(0, 8000, 1000):
        talk.c('PA', sent[at:at + 1000])
        if at % 3000 == 0:
            talk.s(window=1000)
    talk.s(window=1000)
    talk.close()
    talk.expect('FIN', sent)

    talk = wire.talk(shift=(None, None))            # the one acknowledgment that is seen is not of all: that is not out of order
    talk.open()
    sent = text(20000, 'stale in part')
    talk.s(window=5000)
    for at in range(0, 12000, 1000):
        talk.c('PA', sent[at:at + 1000])
    talk.s(ack=8000, window=5000)
    talk.c('PA', sent[12000:13000])
    talk.c('PA', sent[7000:9000], at=7000)          # once more: half of it taken, half of it not for sure
    talk.c('PA', sent[14000:20000], at=14000)
    talk.c('PA', sent[13000:14000], at=13000)
    talk.s(ack=20000)
    talk.next[0] = 20000
    talk.close()
    talk.expect('FIN', sent, ooo=(1, 0), rexmit=(1, 0))

    talk = wire.talk(shift=(None, None))            # very many of them
    talk.open()
    talk.s(window=1000)
    sent = text(200000, 'staler')
    for at in range(0, 200000, 1000):
        talk.c('PA', sent[at:at + 1000])
    talk.s()
    talk.close()
    talk.expect('FIN', sent)


def window_straddled(wire):
    """A segment that waits behind a hole is taken up to the edge; once that has moved the rest comes."""
    talk = wire.talk(shift=(None, None))
    talk.open()
    sent = text(1200, 'straddle')
    talk.s(window=1000)
    talk.c('PA', sent[100:1100], at=100)
    talk.s(ack=0, window=2000)
    talk.c('PA', sent[1000:], at=1000)
    talk.c('PA', sent[:100], at=0)
    talk.s()
    talk.close()
    talk.expect('FIN', sent, ooo=(2, 0), rexmit=(1, 0))


def window_huge(wire):
    """Scale 14 both ways: text up to the edge of 1 GiB counts, what is beyond doesn't; an unscaled 65535 would be too small."""
    talk = wire.talk(shift=(14, 14))
    talk.open()
    talk.c()
    talk.s(ack=0)
    edge = 65535 << 14
    talk.c('PA', b'first')
    talk.c('PA', b'last', at=edge - 4)
    talk.c('PA', b'beyond', at=edge)
    talk.c('PA', b'straddles', at=edge - 9)
    talk.s(ack=5)
    talk.c('R', at=5, ack=0)
    talk.expect('RST', b'firststradlast', missed=(edge - 14, 0), ooo=(3, 0), rexmit=(1, 0))


def big_in_flight(wire):
    """3 MB behind a hole, in a window that was offered."""
    talk = wire.talk(shift=(9, 9))
    talk.open()
    talk.s()                # the first window that is scaled
    sent = text(3000000, 'big')
    order = list(range(1400, len(sent), 1400))
    random.Random(3).shuffle(order)
    for at in order:
        talk.c('A', sent[at:at + 1400], at=at)
    talk.s(ack=0)
    talk.c('PA', sent[:1400], at=0)
    talk.s()
    talk.close()
    talk.expect('FIN', sent, ooo=(len(order), 0))


def holes(wire):
    """Loss before the tap: acknowledged holes are skipped, others at the end of the flow; the tail; the SYN-ACK."""
    sent = text(5000, 'holes')
    talk = wire.talk()                          # two holes, acknowledged; then one is filled
    talk.open()
    talk.c('PA', sent[:1000])
    talk.c('PA', sent[2000:3000], at=2000)
    talk.s()
    talk.c('PA', sent[1000:2000], at=1000)
    talk.c('PA', sent[4000:], at=4000)
    talk.s()
    talk.close()
    talk.expect('FIN', sent[:3000] + sent[4000:], missed=(1000, 0), ooo=(2, 0))

    talk = wire.talk()                          # filled from both sides, and again
    talk.open()
    talk.c('PA', sent[:1000])
    talk.c('PA', sent[2000:3000], at=2000)
    talk.s()
    talk.c('PA', sent[1000:1400], at=1000)
    talk.c('PA', sent[1600:2400], at=1600)
    talk.s()
    talk.c('PA', bytes(len(sent[1200:1500])), at=1200)  # the first version counts
    talk.c('PA', sent[3000:])
    talk.close()
    talk.expect('FIN', sent[:1400] + bytes(100) + sent[1600:], missed=(100, 0), rexmit=(2, 0), ooo=(1, 0))

    talk = wire.talk()                          # not acknowledged, and filled in time; the other never
    talk.open()
    talk.c('PA', sent[:1000])
    talk.c('PA', sent[2000:3000], at=2000)
    talk.s(ack=1999)
    talk.c('PA', sent[1000:2000], at=1000)
    talk.c('PA', sent[4000:], at=4000)
    talk.s(ack=3000)
    talk.expect('none', sent[:3000] + sent[4000:], missed=(1000, 0), ooo=(2, 0))

    talk = wire.talk()                          # an acknowledgment before its text is no loss
    talk.open()
    talk.s(ack=2000)
    talk.c('PA', sent[:1000])
    talk.c('PA', sent[1000:2000])
    talk.close()
    talk.expect('FIN', sent[:2000])

    talk = wire.talk()                          # the last text and the FIN are lost: one octet may be the FIN
    talk.open()
    talk.c('PA', sent[:1000])
    talk.lose(0, 501)
    talk.s()
    talk.s('FA')
    talk.c()
    talk.expect('HALF', sent[:1000], missed=(500, 0))

    talk = wire.talk()                          # the FIN alone is lost
    talk.open()
    talk.both(UP, DOWN)
    talk.lose(0, 1)
    talk.s('FA')
    talk.c()
    talk.expect('HALF', UP, DOWN)

    talk = wire.talk()                          # text before the FIN is lost
    talk.open()
    talk.c('PA', sent[:1000])
    talk.lose(0, 500)
    talk.close()
    talk.expect('FIN', sent[:1000], missed=(500, 0), ooo=(1, 0))

    talk = wire.talk()                          # the SYN-ACK and the first text of the server are lost
    talk.c('S')
    talk.lose(1, 1)
    talk.c()
    talk.lose(1, 700)
    talk.s('PA', DOWN)
    talk.c()
    talk.close()
    talk.expect('FIN', b'', DOWN, missed=(0, 700), ooo=(0, 1))


def midstream(wire):
    """The beginning was not seen: the first text is the start, but what comes from before it counts."""
    talk = wire.talk()
    talk.next = [5000, 7000]
    talk.c('PA', UP)
    talk.s()
    talk.s('PA', DOWN)
    talk.c('PA', b'older', at=4995)
    talk.c('PA', b'straddle', at=4997)
    talk.c('PA', b'more', at=5000 + len(UP))
    talk.close()
    talk.expect('FIN', b'older' + UP + b'more', DOWN, rexmit=(1, 0))

    talk = wire.talk()                          # only acknowledgments first; then out of order, and far away
    talk.next = [2**31, 2**31 + 5]
    start = talk.next[1]
    talk.s()
    talk.c()
    talk.s('PA', b'one')
    talk.s('PA', b'three', at=start + 6)
    talk.s('PA', b'far', at=start + 2**30 + 20)
    talk.s('PA', b'far', at=start - 2**30 - 20)
    talk.s('PA', b'two', at=start + 3)
    talk.next[1] = start + 11
    talk.c()
    talk.expect('none', b'', b'onetwothree', ooo=(0, 1), turned=True)

    talk = wire.talk()                          # text overtakes its SYN
    talk.next = [0, -1]
    talk.c('PA', b'early', ack=-1)
    talk.c('S', at=-1)
    talk.s('SA')
    talk.c()
    talk.close()
    talk.expect('FIN', b'early')


def one_sided(wire):
    """Only one direction comes by here."""
    for side in (0, 1):
        talk = wire.talk()
        real = talk.put

        def only(from_side, packet, wire_len=None, seen=side, real=real):
            if from_side == seen:
                real(from_side, packet, wire_len)
        talk.put = only
        talk.open()
        up, down = text(3000, 'one up'), text(4000, 'one down')
        talk.c('PA', up[2000:], at=2000)
        talk.c('PA', up[:2000], at=0)
        talk.s('PA', down[2000:], at=2000)
        talk.s('PA', down[:2000], at=0)
        talk.both(UP, DOWN)
        talk.close()
        talk.pkts[1 - side] = 0
        if side == 0:
            talk.expect('HALF', up + UP, b'', ooo=(1, 0))
        else:
            talk.expect('HALF', b'', down + DOWN, ooo=(0, 1))


def acknowledgments(wire):
    """Old and repeated ones, and text without any."""
    talk = wire.talk()
    talk.open()
    talk.both(UP, DOWN)
    for ack in (0, 3, 3, 3, len(UP)):
        talk.s(ack=ack)
    talk.c('P', b'no acknowledgment: every receiver drops this')
    talk.next[0] = len(UP)
    talk.c('', b'nor flags', at=len(UP))
    talk.next[0] = len(UP)
    talk.c('PA', b'real')
    talk.s()
    talk.close()
    talk.expect('FIN', UP + b'real', DOWN)


def urgent(wire):
    talk = wire.talk()
    talk.open()
    talk.c('PAU', b'abc!def', urgent=4)
    talk.s()
    talk.c('PA', b'ghi')
    talk.s()
    talk.close()
    talk.expect('FIN', b'abc!defghi')


def empty(wire):
    """No text at all; and only acknowledgments."""
    talk = wire.talk()
    talk.open()
    talk.close()
    talk.expect('FIN')
    talk = wire.talk()
    talk.next = [10, 10]
    for _ in range(3):
        talk.c()
        talk.s()
    talk.expect('none')


def idle(wire):
    talk = wire.talk()
    talk.open()
    talk.c('PA', UP)
    talk.s()
    wire.wait(1800)
    talk.s('PA', DOWN)
    talk.c()
    talk.close()
    talk.expect('FIN', UP, DOWN)


def interleaved(wire):
    """300 connections at the same time."""
    rng = random.Random(300)
    talks = [wire.talk(isn=(rng.getrandbits(32), rng.getrandbits(32))) for _ in range(300)]
    sizes = [(rng.randrange(0, 5), rng.randrange(0, 8)) for _ in talks]
    for step in ('c S', 's SA', 'c A'):
        for talk in talks:
            getattr(talk, step[0])(step[2:])
    for turn in range(8):
        for talk, (ups, downs) in zip(talks, sizes):
            if turn < ups:
                talk.c('PA', text(200, '%d up' % (turn + 1)))
            if turn < downs:
                talk.s('PA', text(700, '%d down' % (turn + 1)))
    for step in ('c FA', 's FA', 'c A'):
        for talk in talks:
            getattr(talk, step[0])(step[2:])
    for talk, (ups, downs) in zip(talks, sizes):
        talk.expect('FIN', b''.join(text(200, '%d up' % (i + 1)) for i in range(ups)),
                    b''.join(text(700, '%d down' % (i + 1)) for i in range(downs)))


SCENES = (normal, overlaps, overlap_islands, reordered, wrap, wrap_syn, keepalives, window_probes, window_tiny, window_stale, window_straddled,
          window_huge, big_in_flight, holes, midstream, one_sided, acknowledgments, urgent, empty, idle, interleaved)
