# SPDX-License-Identifier: BSD-3-Clause
"""Data in and out: acknowledgements (5681, 1122 4.2.3.2), SACK (2018), windows (9293 3.8.6), retransmission (6298, 5681, 3042), ECN (3168)."""
from peer import Conn, IPPROTO_TCP, mss, POLLOUT, SACKOK, SOL_SOCKET, stamp, WSCALE7
from wire import ACK, CWR, Differs, ECE, MASK, PSH, SYN, URG

MSS = 1400
TCP_NODELAY, SO_KEEPALIVE, TCP_KEEPIDLE, TCP_CORK, SO_RCVBUF = 1, 9, 4, 3, 8


def must(fact, text):
    if not fact:
        raise Differs(text)


def shown(got):
    return ', '.join(map(str, got)) or 'nothing'


def opened(lab, fam, sack=False, wscale=True, stamps=False):
    """With SACK, loss probes come in between when the machine is slow."""
    c = Conn(lab, fam, 80, stamps=stamps)
    options = mss(MSS) + (WSCALE7 if wscale else b'') + (SACKOK if sack else b'') + (stamp(c.now, 0) if stamps else b'')
    c.wnd = 468 if wscale else 60000  # of 128 bytes
    c.half_open(options=options, wnd=60000)
    c.send(ACK)
    c.fd = c.puppet.accept(lab.listeners[fam])
    return c


def wrote(c, size):
    """The program writes all of it."""
    while size:
        c.puppet.events(c.fd, POLLOUT, 5000)
        size -= c.puppet.must('write', c.fd, size)[0]


def sent(c, count, size=MSS):
    """What the program has written is sent: so many whole segments."""
    got = c.replies()
    want = [(c.ack + i * size & MASK, size) for i in range(count)]
    must([(s.seq, len(s.data)) for s in got] == want, 'expected %d whole ones, came %s' % (count, shown(got)))
    return got


def nothing(c):
    got = c.replies()
    must(not got, 'expected nothing, came %s' % shown(got))


def second_full(lab, fam, sizes, at_once):
    """5681 4.2: an ACK at least for every second full-sized segment; nothing waits longer than half a second."""
    c = opened(lab, fam)
    for size in sizes:
        c.advance(ACK, b'x' * size)
    got = c.replies()
    if at_once:
        must(got and got[-1].ack == c.seq, 'came %s' % shown(got))
    elif not got or got[-1].ack != c.seq:
        c.want(ACK, seconds=1)


def holes(lab, fam, stamps, order, last):
    """2018 4: the first block has the segment that came just now, then the most recent others; at most four, three with timestamps."""
    c = opened(lab, fam, sack=True, stamps=stamps)
    for i in order:
        c.send(ACK, seq=c.seq + 100 * i, data=b'x' * 100)
        s = c.next()
        must(s.flags == ACK and s.ack == c.seq and s.seq == c.ack, 'came %s' % s)
    blocks = s.options.get('sack', ())
    want = sum(((c.seq + 100 * a & MASK, c.seq + 100 * b & MASK) for a, b in last[:3 if stamps else 4]), ())
    must(blocks == want, 'the blocks are %s, should be %s' % (blocks, want))
    top = 1 + max(order)
    for i in range(top):
        if i not in order:
            c.send(ACK, seq=c.seq + 100 * i, data=b'x' * 100)
            s = c.next()
    must(s.ack == c.seq + 100 * top & MASK and 'sack' not in s.options, 'came %s' % s)
    c.seq = c.seq + 100 * top & MASK


def overlapping(lab, fam, parts):
    """Bytes are where they belong, however they come."""
    c = opened(lab, fam)
    data = bytes(range(1, 101))
    for a, b in parts:
        c.send(ACK, seq=c.seq + a, data=data[a:b])
    c.replies()
    c.seq = c.seq + 100 & MASK
    c.send(ACK, seq=c.seq - 1)
    c.want(ACK)
    must(c.puppet.must('read', c.fd, 200) == (100, [data.hex()]), 'the bytes')


def fills(lab, fam, stamps):
    """A window is filled to its end, and kept shut; what does not fit is not taken; reading opens it."""
    c = opened(lab, fam, stamps=stamps)
    for _ in range(3000):
        room = c.edge - c.seq & MASK
        if room == 0 or room > 1 << 30:
            break
        for _ in range(8):
            size = min(MSS - 12, c.edge - c.seq & MASK)
            if size:
                c.advance(ACK, b'x' * size)
        got = c.replies()
        if not got:
            c.next(seconds=1)
    must(c.edge == c.seq, 'the window did not close')
    c.send(ACK, data=b'y' * 100)
    s = c.want(ACK)
    must(s.wnd == 0, 'came %s' % s)
    c.send(ACK, seq=c.seq - 1)
    s = c.want(ACK)
    must(s.wnd == 0, 'came %s' % s)
    c.puppet.must('read', c.fd, 65536)
    s = c.next(what='the window update')
    must(s.flags == ACK and s.ack == c.seq and s.wnd << c.shift >= MSS, 'came %s' % s)


def urgent(lab, fam, urg, flags):
    """Urgent data is data: in line, all of it (6093)."""
    c = opened(lab, fam)
    c.advance(ACK | flags, b'hello', urg=urg)
    c.next()
    c.advance(ACK | PSH, b'world')
    c.next()
    must(c.puppet.must('read', c.fd, 100) == (10, [b'helloworld'.hex()]), 'the bytes')


def echoed(lab, fam):
    """7323 4.3: TSecr is of the earliest segment that is not acknowledged; one out of order changes nothing."""
    c = opened(lab, fam, stamps=True)
    first = c.now + 10
    c.send(ACK, seq=c.seq + 200, data=b'x' * 100, options=stamp(first + 100, c.echo))
    s = c.next()
    before = s.options['ts'][1]
    must(before == c.now - 1, 'out of order: TSecr %d, should be %d' % (before, c.now - 1))
    c.send(ACK, data=b'x' * 200, options=stamp(first + 200, c.echo))
    s = c.next()
    must(s.ack == c.seq + 300 & MASK and s.options['ts'][1] == first + 200, 'came %s' % s)
    c.seq, c.now = c.seq + 300 & MASK, first + 300


def dup_acks(lab, fam):
    """5681 3.2, 3042: two duplicates bring new segments, the third the lost one again."""
    c = opened(lab, fam)
    wrote(c, 20 * MSS)
    sent(c, 10)
    for i in (1, 2, 3):
        c.send(ACK)
        got = c.replies()
        want = c.ack if i == 3 else c.ack + (9 + i) * MSS & MASK
        must(got and (got[0].seq, len(got[0].data)) == (want, MSS), 'duplicate %d: %s' % (i, shown(got)))


def no_dup_acks(lab, fam, how):
    """5681 2: these are not duplicates."""
    c = opened(lab, fam)
    wrote(c, 10 * MSS)
    sent(c, 10)
    for i in range(4):
        if how == 'window':
            c.send(ACK, wnd=c.wnd - 10 * i - 10)
        elif how == 'data':
            c.advance(ACK, b'x')
        elif how == 'old':
            c.send(ACK, ack=c.ack - 1)
        got = [s for s in c.replies() if s.data and s.seq == c.ack]
        must(not got, 'a retransmission: %s' % shown(got))


def timeout(lab, fam, stamps):
    """6298: what is not acknowledged comes again, the first first, then after twice the time."""
    c = opened(lab, fam, sack=False, stamps=stamps)
    wrote(c, 3000)
    first = c.next()
    c.replies()
    s = c.next(what='the retransmission')
    must(s.seq == first.seq and s.data == first.data, 'came %s' % s)
    must(s.ip[4:6] != first.ip[4:6] or s.df, 'the same datagram')
    c.ack = first.seq + 3000 & MASK
    c.send(ACK)
    nothing(c)


def probed(lab, fam):
    """1122 4.2.2.17: a shut window is asked about, and again; when it opens the data comes."""
    c = opened(lab, fam)
    c.wnd = 0
    c.send(ACK)
    c.replies()
    wrote(c, 3000)
    nothing(c)
    for _ in range(2):
        s = c.next(what='a probe')
        must(s.seq in (c.ack, c.ack - 1 & MASK) and len(s.data) <= 1, 'came %s' % s)
        c.send(ACK)
    c.wnd = 468
    c.send(ACK)
    got = c.replies()
    must(sum(len(s.data) for s in got) == 3000, 'came %s' % shown(got))


def nagle(lab, fam, delay):
    """1122 4.2.3.4: a small segment waits while one is out."""
    c = opened(lab, fam)
    if not delay:
        c.puppet.must('setint', c.fd, IPPROTO_TCP, TCP_NODELAY, 1)
    c.puppet.must('write', c.fd, 10)
    c.want(ACK, size=10)
    c.ack = c.ack + 10 & MASK
    c.puppet.must('write', c.fd, 10)
    if delay:
        nothing(c)
        c.send(ACK)
    c.want(ACK, size=10)


def pushed(lab, fam):
    """9293 3.8.1: PSH with the last byte that is there."""
    c = opened(lab, fam)
    c.puppet.must('write', c.fd, 2 * MSS + 10)
    got = c.replies()
    must([bool(s.flags & PSH) for s in got] == [False, False, True], 'came %s' % shown(got))


def bounded(lab, fam, wnd):
    """No byte beyond the window."""
    c = opened(lab, fam, wscale=False)
    c.wnd = wnd
    c.send(ACK)
    c.replies()
    wrote(c, 30000)
    got = c.replies()
    size = sum(len(s.data) for s in got)
    must(size <= wnd and size >= wnd // MSS * MSS, 'sent %d into a window of %d' % (size, wnd))


def shrunk(lab, fam):
    """9293 3.8.6: the window may shrink; nothing new then, and no harm."""
    c = opened(lab, fam, wscale=False)
    wrote(c, 20 * MSS)
    sent(c, 10)
    c.wnd = 3 * MSS
    c.ack = c.ack + MSS & MASK
    c.send(ACK)
    nothing(c)
    c.wnd = 60000
    c.ack = c.ack + 9 * MSS & MASK
    c.send(ACK)
    got = c.replies()
    must(got and got[0].seq == c.ack, 'came %s' % shown(got))


def slow_start(lab, fam):
    """5681 3.1: each segment that is acknowledged lets two more out."""
    c = opened(lab, fam)
    wrote(c, 30 * MSS)
    sent(c, 10)
    c.ack = c.ack + 10 * MSS & MASK
    c.send(ACK, ack=c.ack - 8 * MSS)
    got = c.replies()
    must([s.seq for s in got] == [c.ack + i * MSS & MASK for i in range(4)], 'came %s' % shown(got))


def negotiated(lab, fam):
    c = Conn(lab, fam, 80)
    c.advance(SYN | ECE | CWR, options=mss(MSS) + WSCALE7)
    s = c.next()
    must(s.flags == SYN | ACK | ECE, 'came %s' % s)
    c.take_syn(s)
    c.send(ACK)
    c.fd = c.puppet.accept(lab.listeners[fam])
    c.wnd = 468
    return c


def ecn(lab, fam):
    """3168 6.1: ECT(0) on data alone; CE is echoed until CWR; ECE brings CWR, once."""
    c = negotiated(lab, fam)
    for tos, flags, echo in ((2, 0, False), (3, 0, True), (2, 0, True), (2, CWR, False), (2, 0, False)):
        for _ in range(2):
            c.advance(ACK | flags, b'x' * MSS, ip={'tos': tos})
            flags &= ~CWR
        s = c.replies()[-1]
        must(bool(s.flags & ECE) == echo and s.tos & 3 == 0, 'ECE should be %s: %s' % (echo, s))
    wrote(c, 20 * MSS)
    got = sent(c, 10)
    must(all(s.tos & 3 == 2 and not s.flags & (ECE | CWR) for s in got), 'no ECT(0)')
    c.ack = c.ack + 4 * MSS & MASK
    c.send(ACK | ECE)
    got = c.replies()
    for _ in range(6):
        if got:
            break
        c.ack = c.ack + MSS & MASK
        c.send(ACK | ECE)
        got = c.replies()
    must(got and got[0].flags & CWR and not any(s.flags & CWR for s in got[1:]), 'no CWR: %s' % shown(got))


def not_ecn(lab, fam):
    """Without it, marks mean nothing and are not set."""
    c = opened(lab, fam)
    for _ in range(2):
        c.advance(ACK | CWR, b'x' * MSS, ip={'tos': 3})
    s = c.replies()[-1]
    must(not s.flags & (ECE | CWR), 'came %s' % s)
    wrote(c, 12 * MSS)
    got = sent(c, 10)
    must(not any(s.tos & 3 or s.flags & (ECE | CWR) for s in got), 'marks')
    c.ack = c.ack + 10 * MSS & MASK
    c.send(ACK | ECE)
    got = c.replies()
    must(got and not any(s.flags & CWR for s in got), 'came %s' % shown(got))


def alive(lab, fam, stamps):
    """1122 4.2.3.6: SEG.SEQ = SND.NXT-1, no byte, or one that means nothing."""
    c = opened(lab, fam, stamps=stamps)
    c.puppet.must('setint', c.fd, IPPROTO_TCP, TCP_KEEPIDLE, 1)
    c.puppet.must('setint', c.fd, SOL_SOCKET, SO_KEEPALIVE, 1)
    s = c.next(what='the probe')
    must(s.flags == ACK and s.seq == c.ack - 1 & MASK and len(s.data) <= 1, 'came %s' % s)
    c.send(ACK)
    nothing(c)


def run(lab):
    for fam in lab.families:
        v = ' v%d' % fam
        for sizes, at_once in (((MSS, MSS), True), ((MSS,) * 5, False), ((MSS,), False), ((10,), False), ((10, 10), False)):
            lab.case('segments of %s%s' % (sizes, v), second_full, fam, sizes, at_once)
        for stamps in (False, True):
            ts = ' ts' if stamps else ''
            for order, last in (((1,), [(1, 2)]), ((1, 2), [(1, 3)]), ((1, 3), [(3, 4), (1, 2)]), ((3, 1), [(1, 2), (3, 4)]),
                                ((1, 3, 5, 7), [(7, 8), (5, 6), (3, 4), (1, 2)]), ((1, 3, 5, 7, 2), [(1, 4), (7, 8), (5, 6)]),
                                ((1, 3, 5, 7, 9), [(9, 10), (7, 8), (5, 6), (3, 4)]), ((9, 7, 5, 3, 1), [(1, 2), (3, 4), (5, 6), (7, 8)])):
                lab.case('SACK %s%s%s' % (order, ts, v), holes, fam, stamps, order, last)
            lab.case('the window is filled%s%s' % (ts, v), fills, fam, stamps)
            lab.case('timeout%s%s' % (ts, v), timeout, fam, stamps)
            lab.case('keepalive%s%s' % (ts, v), alive, fam, stamps)
        for parts in (((0, 60), (40, 100)), ((40, 100), (0, 60)), ((10, 20), (30, 40), (5, 90), (0, 100)), ((50, 100), (0, 100)),
                      ((99, 100), (0, 1), (1, 99)), ((0, 50), (0, 100)), ((20, 80), (10, 90), (0, 100)), ((0, 10), (20, 30), (10, 20), (30, 100))):
            lab.case('overlapping %s%s' % (parts, v), overlapping, fam, parts)
        for urg, flags in ((1, URG), (5, URG), (6, URG), (1000, URG), (0, URG), (65535, URG), (3, 0)):
            lab.case('urgent %d %#x%s' % (urg, flags, v), urgent, fam, urg, flags)
        lab.case('TSecr' + v, echoed, fam)
        lab.case('duplicate ACKs' + v, dup_acks, fam)
        for how in ('window', 'data', 'old'):
            lab.case('no duplicate ACKs, %s%s' % (how, v), no_dup_acks, fam, how)
        lab.case('probes' + v, probed, fam)
        for delay in (True, False):
            lab.case('Nagle %s%s' % (delay, v), nagle, fam, delay)
        lab.case('PSH' + v, pushed, fam)
        for wnd in (1, 500, 1400, 1500, 2800, 9000):
            lab.case('a window of %d%s' % (wnd, v), bounded, fam, wnd)
        lab.case('the window shrinks' + v, shrunk, fam)
        lab.case('slow start' + v, slow_start, fam)
        lab.case('ECN' + v, ecn, fam)
        lab.case('no ECN' + v, not_ecn, fam)
