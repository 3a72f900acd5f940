# SPDX-License-Identifier: BSD-3-Clause
"""Closing, and what the program sees of it (9293 3.6, 1122 4.2.2.13, 2525 2.17, 1337; poll(2), read(2) and write(2) as Linux has them)."""
from peer import CLOSE, Conn, mss, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP
from states import close_wait, established, fin_wait_1, fin_wait_2, last_ack, syn_sent, time_wait
from wire import ACK, Differs, FIN, MASK, PSH, RST, SYN

ALL = POLLIN | POLLOUT | POLLRDHUP | POLLHUP


def must(fact, text):
    if not fact:
        raise Differs(text)


def one(c, what='a segment'):
    got = c.replies()
    must(len(got) == 1, 'expected %s, came %s' % (what, ', '.join(map(str, got)) or 'nothing'))
    return got[0]


def reset_seen(c):
    """One RST, with the number that counts."""
    got = [s for s in c.replies() if not s.data]
    must(len(got) == 1, 'expected a RST, came %s' % (', '.join(map(str, got)) or 'nothing'))
    s = got[0]
    must(s.flags & ~ACK == RST and s.seq == c.ack and (not s.flags & ACK or s.ack == c.seq), 'came %s' % s)


def is_gone(c):
    """Nothing knows this connection any more."""
    c.send(ACK, options=b'')
    s = c.next(what='a RST')
    must(s.flags == RST and s.seq == c.ack, 'came %s' % s)


def unread(lab, fam, stamps):
    c = established(lab, fam, stamps)
    c.advance(ACK | PSH, b'hello')
    c.next()
    c.puppet.must('close', c.fd)
    c.fd = None
    reset_seen(c)
    is_gone(c)


def no_linger(lab, fam, state):
    c = state(lab, fam, False)
    if state is established:
        c.puppet.must('write', c.fd, 100)
        c.ack = c.ack + len(c.next().data) & MASK
    c.puppet.must('linger', c.fd, 1, 0)
    c.puppet.must('close', c.fd)
    c.fd = None
    if state is time_wait:
        return
    reset_seen(c)
    is_gone(c)


def data_for_nobody(lab, fam, state):
    """1122 4.2.2.13: closed, it cannot take data: RST."""
    c = established(lab, fam, False)
    c.fin(close=True)
    if state == 'FIN-WAIT-2':
        c.send(ACK)
        must(not c.replies(), 'an answer to an ACK')
    c.advance(ACK | PSH, b'hello')
    s = one(c, 'a RST')
    must(s.flags & ~ACK == RST and s.seq == c.ack, 'came %s' % s)
    is_gone(c)


def orphan_ends(lab, fam, both):
    """close, FIN, and the peer's FIN, with the ACK of ours or before it."""
    c = established(lab, fam, False)
    c.fin(close=True)
    if not both:
        c.advance(FIN | ACK, ack=c.fin_at)
        c.want(ACK)
        c.send(ACK)
        must(not c.replies(), 'an answer to an ACK')
    else:
        c.advance(FIN | ACK)
        c.want(ACK)
    c.send(FIN | ACK, seq=c.seq - 1)
    c.want(ACK)


def survives(lab, fam, stamps):
    """1337: a RST does not end TIME-WAIT."""
    c = time_wait(lab, fam, stamps)
    c.send(RST)
    must(not c.replies(), 'an answer to a RST')
    c.send(FIN | ACK, seq=c.seq - 1)
    c.want(ACK)


def reused(lab, fam, stamps, off):
    """1122 4.2.2.13, 6191: a newer SYN opens the connection anew, with a number beyond the old ones."""
    c = time_wait(lab, fam, stamps)
    old, c.edge = c.ack, None
    c.seq, c.now = c.seq + off & MASK, c.now + 1000
    c.advance(SYN, options=c.syn_options())
    s = one(c, 'a SYN-ACK')
    must(s.flags == SYN | ACK and s.ack == c.seq and 0 < s.seq - old & MASK < 1 << 31, 'came %s' % s)
    c.take_syn(s)
    c.puppet.must('close', c.fd)
    c.send(ACK)
    c.fd = c.puppet.accept(lab.listeners[fam])


def abandoned(lab, fam):
    """CLOSE in SYN-SENT says nothing; the SYN-ACK that comes is for nobody."""
    c = syn_sent(lab, fam, False)
    c.puppet.must('close', c.fd)
    c.fd = None
    must(not c.replies(), 'it said something')
    c.send(SYN | ACK, options=mss(1460))
    s = one(c, 'a RST')
    must(s.flags == RST and s.seq == c.ack, 'came %s' % s)


def listener_gone(lab, fam, whole):
    """Half-open, and whole but not accepted: what becomes of them when the listener closes."""
    fd = lab.puppet.listener(fam, 81, lab.stack_text[fam])
    c = Conn(lab, fam, 81)
    c.half_open(options=mss(1460))
    if whole:
        c.send(ACK)
        c.puppet.events(fd, POLLIN, 5000)
    lab.puppet.must('close', fd)
    if whole:
        reset_seen(c)
    else:
        got = c.replies()
        must(all(s.flags & RST for s in got), 'came %s' % ', '.join(map(str, got)))
    is_gone(c)


def events(lab, fam, steps):
    """What poll says after each step."""
    c = None
    for step, want in steps:
        if step == 'new':
            c = Conn(lab, fam)
            c.fd = lab.puppet.socket(fam)
        elif step == 'connect':
            c = syn_sent(lab, fam, False)
        elif step == 'synack':
            c.advance(SYN | ACK, options=c.syn_options())
            c.want(ACK)
        elif step == 'refuse':
            c.send(RST | ACK)
        elif step == 'data':
            c.advance(ACK | PSH, b'hello')
            c.next()
        elif step == 'read':
            must(c.puppet.must('read', c.fd, 100) == (5, [b'hello'.hex()]), 'the bytes')
        elif step == 'fin':
            c.our_fin()
        elif step == 'shutdown':
            c.fin()
        elif step == 'ack':
            c.send(ACK)
        elif step == 'rst':
            c.send(RST)
        elif step == 'end':
            must(c.puppet.must('read', c.fd, 100)[0] == 0, 'no end')
        elif step.startswith('write '):
            rc, error, _ = c.puppet.say('write', c.fd, 10)
            must(error == step[6:], 'write: %s' % error)
        elif step.startswith('error '):
            rc, error, _ = c.puppet.say('read', c.fd, 100)
            must(error == step[6:], 'read: %s' % error)
        c.replies()
        if want is not None:
            c.puppet.events(c.fd, want, 5000 if want else 0)
            got = c.puppet.events(c.fd)
            must(got == want, 'after %s the events are %#x, should be %#x' % (step, got, want))


RESET = ALL | POLLERR
EVENTS = {
    'new': (('new', None), ('error ENOTCONN', None), ('write ENOTCONN', None)),
    'connect': (('connect', 0), ('synack', POLLOUT), ('data', POLLIN | POLLOUT), ('read', POLLOUT)),
    'refused': (('connect', 0), ('refuse', RESET), ('error ECONNREFUSED', ALL), ('write EPIPE', ALL)),
    'refused, write first': (('connect', 0), ('refuse', RESET), ('write ECONNREFUSED', ALL), ('write EPIPE', ALL), ('end', ALL)),
    'peer first': (('connect', 0), ('synack', POLLOUT), ('fin', POLLIN | POLLOUT | POLLRDHUP), ('end', POLLIN | POLLOUT | POLLRDHUP),
                   ('shutdown', ALL), ('ack', ALL), ('write EPIPE', ALL), ('end', ALL)),
    'we first': (('connect', 0), ('synack', POLLOUT), ('shutdown', POLLOUT), ('ack', POLLOUT), ('data', POLLIN | POLLOUT), ('read', POLLOUT),
                 ('fin', ALL), ('end', ALL), ('write EPIPE', ALL)),
    'data, then FIN': (('connect', 0), ('synack', POLLOUT), ('data', POLLIN | POLLOUT), ('fin', POLLIN | POLLOUT | POLLRDHUP),
                       ('read', POLLIN | POLLOUT | POLLRDHUP), ('end', POLLIN | POLLOUT | POLLRDHUP)),
    'reset': (('connect', 0), ('synack', POLLOUT), ('rst', RESET), ('error ECONNRESET', ALL), ('end', ALL), ('write EPIPE', ALL)),
    'reset, write first': (('connect', 0), ('synack', POLLOUT), ('rst', RESET), ('write ECONNRESET', ALL), ('write EPIPE', ALL), ('end', ALL)),
    'data, then reset': (('connect', 0), ('synack', POLLOUT), ('data', POLLIN | POLLOUT), ('rst', RESET), ('read', None),
                         ('error ECONNRESET', ALL), ('end', ALL)),
    'reset after FIN': (('connect', 0), ('synack', POLLOUT), ('fin', None), ('rst', RESET), ('write EPIPE', ALL), ('end', ALL)),
    'reset in FIN-WAIT-2': (('connect', 0), ('synack', POLLOUT), ('shutdown', POLLOUT), ('ack', POLLOUT), ('rst', RESET),
                            ('error ECONNRESET', ALL))}


def half_closed(lab, fam):
    """CLOSE-WAIT: our data goes on."""
    c = close_wait(lab, fam, False)
    c.puppet.must('write', c.fd, 5000)
    got = [s for s in c.replies() if s.data]
    must(sum(size for _, size in {(s.seq, len(s.data)) for s in got}) == 5000 and all(s.ack == c.seq for s in got),
         'came %s' % ', '.join(map(str, got)))
    c.ack = c.ack + 5000 & MASK
    c.send(ACK)
    c.replies()
    c.fin()
    c.send(ACK)
    must(not c.replies(), 'an answer to an ACK')
    must(c.puppet.state(c.fd) == CLOSE, 'not closed')
    is_gone(c)


def fin_with_data(lab, fam, order):
    """A FIN with data, before what it follows, or behind."""
    c = established(lab, fam, False)
    first, second = (ACK, c.seq, b'hello'), (ACK | FIN, c.seq + 5, b'world')
    for flags, seq, data in (first, second) if order else (second, first):
        c.send(flags, seq=seq, data=data)
        c.replies()
    c.seq = c.seq + 11 & MASK
    c.send(ACK, seq=c.seq - 1)  # an old one: what is the right one now?
    c.want(ACK)
    must(c.puppet.must('read', c.fd, 100) == (10, [b'helloworld'.hex()]), 'the bytes')
    must(c.puppet.must('read', c.fd, 100)[0] == 0, 'no end')


def fin_again(lab, fam, state):
    """A FIN that is not acknowledged comes again."""
    c = state(lab, fam, False)
    s = c.next(what='the FIN again')
    must(s.flags & FIN and s.seq == c.fin_at, 'came %s' % s)


def beyond_fin(lab, fam, flags):
    """Data behind the peer's FIN is nobody's."""
    c = close_wait(lab, fam, False)
    c.send(flags, data=b'more')
    got = c.replies()
    must(all(s.flags == ACK and s.ack == c.seq for s in got), 'came %s' % ', '.join(map(str, got)))
    must(c.puppet.must('read', c.fd, 100)[0] == 0, 'no end')


def run(lab):
    for fam in lab.families:
        v = ' v%d' % fam
        for stamps in (False, True):
            ts = ' ts' if stamps else ''
            lab.case('unread data%s%s' % (ts, v), unread, fam, stamps)
            lab.case('TIME-WAIT survives a RST%s%s' % (ts, v), survives, fam, stamps)
            for off in (1, 1000, 1 << 30) + ((-1000,) if stamps else ()):
                lab.case('TIME-WAIT reused, %d%s%s' % (off, ts, v), reused, fam, stamps, off)
        for state in (established, fin_wait_1, fin_wait_2, close_wait):
            lab.case('SO_LINGER 0 in %s%s' % (state.__name__, v), no_linger, fam, state)
        for state in ('FIN-WAIT-1', 'FIN-WAIT-2'):
            lab.case('data in %s, closed%s' % (state, v), data_for_nobody, fam, state)
        for both in (False, True):
            lab.case('closed on both sides, %s%s' % (both, v), orphan_ends, fam, both)
        lab.case('close in SYN-SENT' + v, abandoned, fam)
        for whole in (False, True):
            lab.case('a listener closes, %s%s' % (whole, v), listener_gone, fam, whole)
        for name, steps in EVENTS.items():
            lab.case('events: %s%s' % (name, v), events, fam, steps)
        lab.case('half-closed' + v, half_closed, fam)
        for order in (True, False):
            lab.case('FIN with data, %s%s' % (order, v), fin_with_data, fam, order)
        for flags in (ACK, ACK | FIN, ACK | PSH):
            lab.case('behind the FIN %#x%s' % (flags, v), beyond_fin, fam, flags)
        for state in (fin_wait_1, last_ack):
            lab.case('FIN again, %s%s' % (state.__name__, v), fin_again, fam, state)
