# SPDX-License-Identifier: BSD-3-Clause
"""Opening: options offered and taken (9293 3.2, 6691, 7323, 2018), sequence numbers, initial windows (6928), ECN (3168 6.1.1)."""
import itertools

from peer import Conn, mss, number, option, POLLOUT, SACKOK, stamp, WSCALE7
from wire import ACK, CWR, Differs, ECE, FIN, MASK, PSH, RST, SYN, URG

MTU = 1500
HEADERS = {4: 40, 6: 60}
DEFAULT_MSS = {4: 536, 6: 1220}


def must(fact, text):
    if not fact:
        raise Differs(text)


def laid_out(s, fam):
    """Sixteen- and 32-bit fields where their readers like them; nothing unknown; a MSS of the port's MTU."""
    must(s.flags & SYN and s.options.get('mss') == MTU - HEADERS[fam], 'the MSS: %s' % s)
    must(set(s.options) <= {'mss', 'wscale', 'sackok', 'ts'}, 'options: %s' % s)
    must(s.options.get('wscale', 0) <= 14, 'a shift above 14')
    must(not s.data, 'data')


def offers(lab, fam, has):
    """A SYN with some options: the SYN-ACK has MSS, and of the others those that were offered."""
    c = Conn(lab, fam, 80, stamps='ts' in has)
    blocks = {'mss': mss(1460), 'ts': stamp(c.now, 0), 'wscale': WSCALE7, 'sackok': SACKOK}
    s = c.half_open(options=b''.join(blocks[h] for h in has), tick=0)
    laid_out(s, fam)
    must(set(s.options) == set(has) | {'mss'}, 'offered %s, got %s' % (has, s.options))
    must('ts' not in has or s.options['ts'][1] == c.now, 'TSecr')
    must(s.wnd > 0, 'a window of nothing')
    c.stamps = 'ts' in has
    c.send(ACK)
    c.fd = c.puppet.accept(lab.listeners[fam])
    info = c.puppet.info(c.fd)
    must(bool(info['options'] & 1) == ('ts' in has) and bool(info['options'] & 2) == ('sackok' in has) and
         bool(info['options'] & 4) == ('wscale' in has), 'TCP_INFO: %s' % info)
    must(info['snd_wscale'] == (7 if 'wscale' in has else 0), 'TCP_INFO: the shift')
    # out of order: SACK only when it was agreed on
    c.send(ACK, seq=c.seq + 10, data=b'0123456789')
    s = c.want(ACK)
    want = ((c.seq + 10 & MASK, c.seq + 20 & MASK),) if 'sackok' in has else ()
    must(s.options.get('sack', ()) == sum(want, ()), 'SACK: %s' % s)
    must(s.wnd << c.shift >= 10000, 'the window: %s' % s)


def answered(lab, fam, has):
    """The same for an open of stackd's own: the SYN offers all, what the SYN-ACK lacks is not used."""
    c = Conn(lab, fam, stamps='ts' in has)
    s = c.called()
    laid_out(s, fam)
    must(set(s.options) == {'mss', 'ts', 'wscale', 'sackok'}, 'the SYN offers %s' % s.options)
    must(s.options['ts'][1] == 0, 'TSecr of a SYN')
    must(s.wnd > 0 and s.ack == 0, 'window or ack of a SYN')
    c.stamps = 'ts' in has
    if 'wscale' not in has:
        c.shift = 0
    blocks = {'mss': mss(1460), 'ts': stamp(c.now, c.echo), 'wscale': WSCALE7, 'sackok': SACKOK}
    c.advance(SYN | ACK, options=b''.join(blocks[h] for h in has))
    c.want(ACK)
    must(c.puppet.events(c.fd, POLLOUT, 5000) == POLLOUT, 'the program cannot write')
    c.send(ACK, seq=c.seq + 10, data=b'0123456789')
    s = c.want(ACK)
    want = (c.seq + 10 & MASK, c.seq + 20 & MASK) if 'sackok' in has else ()
    must(s.options.get('sack', ()) == want, 'SACK: %s' % s)


def largest(lab, fam, value, stamps, active):
    """Segments of the size the peer said (6691: options come off), default where it said nothing; ten of them at first."""
    c = Conn(lab, fam, 0 if active else 80, stamps=stamps)
    options = (mss(value) if value is not None else b'') + (stamp(c.now, 0) if stamps else b'')
    if active:
        c.called()
        c.stamps = stamps
        c.advance(SYN | ACK, options=options)
        c.shift = 0
        c.want(ACK)
    else:
        c.opened(lab.listeners[fam], options=options)
    want = min(value if value else DEFAULT_MSS[fam], MTU - HEADERS[fam]) - (12 if stamps else 0)
    c.puppet.must('write', c.fd, 60000)
    got = [s for s in c.replies() if s.data]
    sizes = [len(s.data) for s in got]
    if value is not None and 0 < value < 88:
        must(sizes and max(sizes) <= 88, 'segments of %s' % sizes)
        return
    must(sizes and sizes == [want] * len(sizes), 'segments of %s, should be %d' % (sizes, want))
    must(len(sizes) == 10, 'an initial window of %d segments' % len(sizes))
    must([s.seq for s in got] == [c.ack + i * want & MASK for i in range(len(got))], 'not in order')


def shifts(lab, fam, shift):
    """7323 2.3: a shift above 14 is 14; the SYN's own window is never scaled."""
    c = Conn(lab, fam, 80)
    c.opened(lab.listeners[fam], options=mss(1440) + b'\1' + number(3, 1, shift), wnd=100)
    must(c.puppet.info(c.fd)['snd_wscale'] == min(shift, 14), 'TCP_INFO: %s' % c.puppet.info(c.fd))
    c.send(ACK, wnd=1)
    c.replies()
    c.puppet.must('write', c.fd, 40000)
    size = sum(len(s.data) for s in c.replies())
    must(size <= min(1 << min(shift, 14), 14400), 'sent %d' % size)
    if shift >= 9:
        must(size >= min(1 << min(shift, 14), 14400) // 1440 * 1440, 'sent only %d' % size)


def syn_window(lab, fam, wnd):
    """The window of the handshake's segments bounds what is sent."""
    c = Conn(lab, fam, 80)
    c.half_open(options=mss(1460) + WSCALE7, wnd=wnd)
    c.send(ACK, wnd=wnd >> 7)
    c.fd = c.puppet.accept(lab.listeners[fam])
    c.puppet.must('write', c.fd, 5000)
    size = sum(len(s.data) for s in c.replies())
    must(size <= wnd, 'sent %d into %d' % (size, wnd))


TORTURE = {
    'nops': b'\1' * 40, 'eol': b'\0' + b'\xff' * 3, 'eol40': b'\0' * 40, 'unknown': option(253, b'ab') + mss(1000),
    'unknown40': option(99, b'x' * 38), 'empty-unknown': option(250) + b'\1\1', 'md5': option(19, b'k' * 16) + b'\1\1',
    'ao': option(29, b'\1\1' + b'k' * 12), 'fast-open': option(34) + b'\1\1', 'fast-open-cookie': option(34, b'c' * 8) + b'\1\1',
    'mptcp': option(30, b'\0\1' + b'k' * 8), 'user-timeout': option(28, b'\x80\x01'), 'sack-on-syn': b'\1\1' + option(5, b'\0' * 8),
    'eol-before-mss': b'\0\1\1\1' + mss(1000), 'mss-last': b'\1' * 36 + mss(1000),
    'all': mss(1460) + SACKOK[2:] + stamp(5, 0)[2:] + b'\1' + number(3, 1, 7) + option(34) + b'\0\0',
    'unaligned': b'\1' + mss(1000) + option(4) + number(3, 1, 2) + option(8, b'\0' * 8)}


def torture(lab, fam, options):
    """9293 3.1: options at any place, any known length; the unknown are skipped."""
    c = Conn(lab, fam, 80)
    s = c.half_open(options=options)
    c.stamps = 'ts' in s.options
    c.send(ACK)
    c.fd = c.puppet.accept(lab.listeners[fam])


def on_data(lab, fam, options):
    """The same on a segment with data."""
    c = Conn(lab, fam, 80)
    c.opened(lab.listeners[fam], options=mss(1460))
    c.advance(ACK | PSH, b'hello', options=options)
    c.want(ACK)
    must(c.puppet.must('read', c.fd, 100) == (5, [b'hello'.hex()]), 'the bytes')


def flags_of_syn(lab, fam, flags, reserved, answer):
    """Which SYNs are SYNs; bits that are reserved say nothing (9293 3.1)."""
    c = Conn(lab, fam, 80)
    c.send(SYN | flags, options=mss(1460), reserved=reserved)
    got = c.replies()
    if answer is None:
        must(not got, 'expected nothing, came %s' % ', '.join(map(str, got)))
        return
    must(len(got) == 1, 'expected a SYN-ACK, came %s' % ', '.join(map(str, got)))
    must(got[0].flags == answer and got[0].ack == c.seq + 1 & MASK and got[0].tos == 0, 'came %s' % got[0])


def syn_data(lab, fam):
    """9293 3.4: data on a SYN is kept, or sent again; a FIN may follow."""
    c = Conn(lab, fam, 80)
    c.send(SYN, data=b'hello', options=mss(1460))
    s = c.next(what='a SYN-ACK')
    must(s.flags == SYN | ACK and s.ack in (c.seq + 1 & MASK, c.seq + 6 & MASK), 'came %s' % s)
    c.take_syn(s)
    c.seq = c.seq + 1 & MASK
    c.advance(ACK | PSH, b'hello')
    c.fd = c.puppet.accept(lab.listeners[fam])
    c.want(ACK)
    must(c.puppet.must('read', c.fd, 100) == (5, [b'hello'.hex()]), 'the bytes')


def ack_with(lab, fam, flags, data):
    """The handshake's last ACK brings data, or a FIN, or both."""
    c = Conn(lab, fam, 80)
    c.half_open(options=mss(1460))
    c.advance(ACK | flags, data)
    c.fd = c.puppet.accept(lab.listeners[fam])
    s = c.want(ACK)
    must(c.puppet.say('read', c.fd, 100)[0] == len(data) or not data, 'the bytes')
    if flags & FIN:
        must(c.puppet.must('read', c.fd, 100)[0] == 0, 'no end')
    return s


def isns(lab, fam):
    """6528: another number each time for the same ports, growing; unrelated for others."""
    c = Conn(lab, fam, 80)
    first = c.half_open().seq
    c.send(RST)
    c.replies()
    d = Conn(lab, fam, 80, sport=c.sport)
    second = d.half_open().seq
    must(second - first & MASK < 1 << 30 and second != first, 'from %u to %u' % (first, second))
    e = Conn(lab, fam, 80)
    third = e.half_open().seq
    must(min(third - second & MASK, second - third & MASK) > 100000, 'neighbours: %u, %u' % (second, third))


def stray_ack(lab, fam):
    """A SYN-ACK that is not ours: RST with its number; the handshake goes on."""
    c = Conn(lab, fam)
    c.called()
    for ack in (c.irs, c.irs + 2, c.irs - 1000):
        c.send(SYN | ACK, ack=ack, options=c.syn_options())
        c.match(c.next(), RST, seq=ack, ack=0)
    c.advance(SYN | ACK, options=c.syn_options())
    c.want(ACK)


def synack_data(lab, fam, flags, data):
    """9293 3.10.7.3, eighth: data and FIN on the SYN-ACK count."""
    c = Conn(lab, fam)
    c.called()
    c.send(SYN | ACK | flags, data=data, options=c.syn_options())
    c.seq = c.seq + 1 & MASK
    s = c.next()
    must(s.flags == ACK and s.seq == c.ack, 'came %s' % s)
    if s.ack == c.seq:  # not kept: sent again
        c.send(ACK | flags, data=data)
        s = c.next()
    must(s.ack == c.seq + len(data) + bool(flags & FIN) & MASK, 'came %s' % s)
    if data:
        must(c.puppet.must('read', c.fd, 100)[0] == len(data), 'the bytes')
    if flags & FIN:
        must(c.puppet.must('read', c.fd, 100)[0] == 0, 'no end')


def crossed_done(lab, fam, how):
    """Simultaneous open ends with the other's SYN-ACK, or its ACK."""
    c = Conn(lab, fam)
    c.crossed()
    if how == 'synack':
        c.send(SYN | ACK, seq=c.iss, options=c.syn_options())
    else:
        c.send(ACK)
    must(c.puppet.events(c.fd, POLLOUT, 5000) == POLLOUT, 'the program cannot write')
    got = c.replies()
    must(len(got) <= (how == 'synack'), 'came %s' % ', '.join(map(str, got)))
    c.puppet.must('write', c.fd, 10)
    c.want(ACK, size=10)


def twice(lab, fam, change):
    """A SYN again: the same SYN-ACK.  Another SYN of the same ports and another number: RFC 9293 lets us choose."""
    c = Conn(lab, fam, 80)
    first = c.half_open()
    c.send(SYN, seq=c.iss, options=c.syn_options())
    got = c.replies()
    must(len(got) == 1 and got[0].ack == c.seq, 'came %s' % ', '.join(map(str, got)))
    must(got[0].flags == ACK or got[0].seq == first.seq, 'another number')


def run(lab):
    names = ('mss', 'ts', 'wscale', 'sackok')
    for fam in lab.families:
        for n in range(5):
            for has in itertools.combinations(names, n):
                lab.case('offers %s v%d' % (' '.join(has), fam), offers, fam, has)
                lab.case('answered %s v%d' % (' '.join(has), fam), answered, fam, has)
        for value in (None, 0, 1, 47, 88, 100, 256, 536, 1000, 1220, 1440, 1460, 9000, 65535):
            for stamps in (False, True):
                for active in (False, True):
                    lab.case('mss %s%s%s v%d' % (value, ' ts' if stamps else '', ' active' if active else '', fam), largest, fam, value,
                             stamps, active)
        for shift in (0, 1, 7, 12, 13, 14, 15, 100, 255):
            lab.case('shift %d v%d' % (shift, fam), shifts, fam, shift)
        for wnd in (0, 1, 500, 1460, 65535):
            lab.case('syn window %d v%d' % (wnd, fam), syn_window, fam, wnd)
        for name, options in TORTURE.items():
            lab.case('torture %s v%d' % (name, fam), torture, fam, options)
            lab.case('torture on data %s v%d' % (name, fam), on_data, fam, options)
        plain = SYN | ACK
        for flags, reserved, answer in ((0, 0, plain), (PSH, 0, plain), (URG, 0, plain), (0, 1, plain), (0, 15, plain), (PSH | URG, 8, plain),
                                        (ECE | CWR, 0, plain | ECE), (ECE | CWR, 1, plain | ECE), (ECE, 0, plain), (CWR, 0, plain),
                                        (ECE, 1, plain), (CWR, 1, plain), (RST, 0, None), (RST | FIN, 0, None)):
            lab.case('SYN with %#x, reserved %x v%d' % (flags, reserved, fam), flags_of_syn, fam, flags, reserved, answer)
        lab.case('SYN with data v%d' % fam, syn_data, fam)
        for flags, data in ((0, b'hello'), (FIN, b''), (FIN, b'hello'), (PSH | URG, b'hello')):
            lab.case('ACK with %#x %s v%d' % (flags, data, fam), ack_with, fam, flags, data)
            lab.case('SYN-ACK with %#x %s v%d' % (flags, data, fam), synack_data, fam, flags, data)
        lab.case('numbers v%d' % fam, isns, fam)
        lab.case('stray SYN-ACKs v%d' % fam, stray_ack, fam)
        lab.case('crossed, SYN-ACK v%d' % fam, crossed_done, fam, 'synack')
        lab.case('crossed, ACK v%d' % fam, crossed_done, fam, 'ack')
        lab.case('SYN twice v%d' % fam, twice, fam, False)
