# SPDX-License-Identifier: BSD-3-Clause
"""Every state with every segment (RFC 9293 3.10.7, 5961, 7323 5, 1337): what comes back, and which state it is then.

Answers: '-' nothing; 'ack' <SEQ=SND.NXT><ACK=RCV.NXT>; 'got' the same, with what was sent acknowledged; 'rst=' a RST with our
acknowledgement's number; 'rst+' a RST that acknowledges what was sent; 'sa' the SYN-ACK.  With '|' either.  '!' after it: the
connection is gone.
"""
from peer import (CLOSE, CLOSE_WAIT, CLOSING, Conn, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, stamp, SYN_RECV, SYN_SENT,
                  TIME_WAIT)
from wire import ACK, Differs, FIN, MASK, PSH, RST, SYN, URG

ECONNREFUSED, ECONNRESET, EPIPE = 111, 104, 32


def closed(lab, fam, stamps):
    c = Conn(lab, fam, 9, stamps=False)
    c.ack = lab.rng.getrandbits(32)
    return c


def listen(lab, fam, stamps):
    c = closed(lab, fam, stamps)
    c.port = 80
    return c


def syn_sent(lab, fam, stamps):
    c = Conn(lab, fam, stamps=stamps)
    c.called()
    return c


def syn_received(lab, fam, stamps):
    c = Conn(lab, fam, 80, stamps=stamps)
    c.half_open()
    return c


def syn_crossed(lab, fam, stamps):
    c = Conn(lab, fam, stamps=stamps)
    c.crossed()
    return c


def established(lab, fam, stamps):
    c = Conn(lab, fam, 80, stamps=stamps)
    c.opened(lab.listeners[fam])
    return c


def connected(lab, fam, stamps):
    c = Conn(lab, fam, stamps=stamps)
    c.connected()
    return c


def fin_wait_1(lab, fam, stamps):
    c = established(lab, fam, stamps)
    c.fin()
    return c


def fin_wait_2(lab, fam, stamps):
    c = fin_wait_1(lab, fam, stamps)
    c.send(ACK)
    c.replies()
    return c


def closing(lab, fam, stamps):
    c = fin_wait_1(lab, fam, stamps)
    c.advance(FIN | ACK, ack=c.fin_at)
    c.want(ACK)
    return c


def close_wait(lab, fam, stamps):
    c = established(lab, fam, stamps)
    c.our_fin()
    return c


def last_ack(lab, fam, stamps):
    c = close_wait(lab, fam, stamps)
    c.fin()
    return c


def time_wait(lab, fam, stamps):
    c = fin_wait_2(lab, fam, stamps)
    c.our_fin()
    return c


STATES = {
    'CLOSED': (closed, None), 'LISTEN': (listen, None), 'SYN-SENT': (syn_sent, SYN_SENT), 'SYN-RCVD': (syn_received, None),
    'SYN-RCVD-x': (syn_crossed, SYN_RECV), 'ESTAB': (established, ESTABLISHED), 'ESTAB-a': (connected, ESTABLISHED),
    'FIN-WAIT-1': (fin_wait_1, FIN_WAIT1), 'FIN-WAIT-2': (fin_wait_2, FIN_WAIT2), 'CLOSING': (closing, CLOSING),
    'CLOSE-WAIT': (close_wait, CLOSE_WAIT), 'LAST-ACK': (last_ack, LAST_ACK), 'TIME-WAIT': (time_wait, TIME_WAIT)}

# where an acknowledgement of what stackd has sent leads, and the events that bring one
MOVED = {'SYN-RCVD-x': ESTABLISHED, 'FIN-WAIT-1': FIN_WAIT2, 'CLOSING': TIME_WAIT, 'LAST-ACK': CLOSE}
TAKEN = ('ack', 'data', 'data-ooo', 'data-edge', 'data-over', 'fin-ooo', 'echo-data')


def right(c):
    return c.edge - c.seq & MASK


# name: (flags, seq beside RCV.NXT, ack beside SND.NXT, data, options)
EVENTS = {
    'rst': (RST, 0, 0, b''), 'rst-ack-any': (RST | ACK, 0, 0x12345, b''), 'rst-in': (RST, 1, 0, b''),
    'rst-last': (RST, lambda c: right(c) - 1, 0, b''), 'rst-left': (RST, -1, 0, b''), 'rst-right': (RST, right, 0, b''),
    'rst-far': (RST, 1 << 30, 0, b''), 'rst-data': (RST | ACK, 0, 0, b'why'), 'rst-fin': (RST | FIN, 0, 0, b''),
    'rst-in-ack': (RST | ACK, 1, 0, b''),
    'syn': (SYN, 0, 0, b''), 'syn-in': (SYN, 1, 0, b''), 'syn-left': (SYN, -1000000, 0, b''), 'syn-right': (SYN, right, 0, b''),
    'syn-data': (SYN, 7, 0, b'hello'), 'syn-fin': (SYN | FIN, 7, 0, b''), 'syn-rst-left': (SYN | RST, -1, 0, b''),
    'synack': (SYN | ACK, 0, 0, b''), 'synack-left': (SYN | ACK, -1000000, 0, b''), 'synack-dup': (SYN | ACK, -1, 0, b''),
    'synack-fin': (SYN | ACK | FIN, 0, 0, b''),
    'ack': (ACK, 0, 0, b''), 'ack-too-old': (ACK, 0, -(1 << 30), b''), 'ack-future': (ACK, 0, 1, b''),
    'ack-half': (ACK, 0, (1 << 31) - 1, b''),
    'ack-left': (ACK, -1, 0, b''), 'ack-far-left': (ACK, -1000000, 0, b''), 'ack-right': (ACK, lambda c: right(c) + 1, 0, b''),
    'data': (ACK | PSH, 0, 0, b'x'), 'data-ooo': (ACK, 1, 0, b'x'), 'data-left': (ACK, -1, 0, b'x'), 'data-over': (ACK, -1, 0, b'xy'),
    'data-right': (ACK, right, 0, b'x'), 'data-edge': (ACK, lambda c: right(c) - 1, 0, b'xy'),
    'data-noack': (PSH, 0, 0, b'x'), 'data-old-ack': (ACK, 0, -(1 << 30), b'x'), 'data-future-ack': (ACK, 0, 1, b'x'),
    'fin-left': (ACK | FIN, -1, 0, b''), 'fin-right': (ACK | FIN, right, 0, b''), 'fin-ooo': (ACK | FIN, 1, 0, b''),
    'fin-noack': (FIN, 0, 0, b''), 'fin-future-ack': (ACK | FIN, 0, 1, b''),
    'none': (0, 0, 0, b''), 'none-data': (0, 0, 0, b'x'), 'xmas': (FIN | PSH | URG, 0, 0, b''), 'ece-cwr': (0xc0, 0, 0, b''),
    # with timestamps
    'old': (ACK, 0, 0, b''), 'old-data': (ACK, 0, 0, b'x'), 'old-fin': (FIN | ACK, 0, 0, b''), 'old-rst': (RST, 0, 0, b''),
    'old-syn': (SYN, 0, 0, b''),
    'bare': (ACK, 0, 0, b''), 'bare-data': (ACK, 0, 0, b'x'), 'bare-fin': (FIN | ACK, 0, 0, b''), 'echo-data': (ACK, 0, 0, b'x'),
}
STAMPED = ('old', 'bare', 'echo')

SYNC = 'SYN-RCVD SYN-RCVD-x ESTAB ESTAB-a FIN-WAIT-1 FIN-WAIT-2 CLOSING CLOSE-WAIT LAST-ACK TIME-WAIT'.split()
OPEN = ('ESTAB', 'ESTAB-a', 'FIN-WAIT-1', 'FIN-WAIT-2')
ENDED = ('CLOSING', 'CLOSE-WAIT', 'LAST-ACK', 'TIME-WAIT')
HALF = ('SYN-RCVD', 'SYN-RCVD-x')


def synchronized():
    """{event: {state: answer}} for the synchronized states and SYN-RECEIVED."""
    table = {}

    def row(names, answer, **others):
        for name in names.split():
            cells = table.setdefault(name, {})
            for state in SYNC:
                key = state.replace('-', '_')
                group = 'half' if state in HALF else 'ended' if state in ENDED else 'open'
                cells[state] = others.get(key, others.get(group, answer))

    row('rst rst-ack-any rst-data rst-fin old-rst', '-!', TIME_WAIT='-')
    row('rst-in rst-last rst-in-ack', 'ack', TIME_WAIT='-|ack')
    row('rst-left rst-right rst-far syn-rst-left', '-')
    # 9293 3.10.7.4, fourth: half open by a SYN of the peer's, the connection goes back to LISTEN
    row('syn syn-in', 'ack', SYN_RCVD='any', TIME_WAIT='ack|sa')
    row('syn-data syn-fin', 'ack', SYN_RCVD='any', TIME_WAIT='any')
    row('syn-left', 'ack', SYN_RCVD='ack|sa', TIME_WAIT='ack|sa') # 6191: a newer timestamp suffices
    row('syn-right', 'ack', SYN_RCVD='ack|sa', TIME_WAIT='ack|sa')
    row('synack synack-fin', 'ack', SYN_RCVD='any')
    row('synack-left synack-dup', 'ack')
    # the simultaneous open ends with the other's SYN-ACK, whose number lies before the window
    table['synack-dup']['SYN-RCVD-x'] = 'any'
    row('ack', '-', TIME_WAIT='-')
    row('ack-too-old', 'ack', half='rst=', TIME_WAIT='-|ack')
    row('ack-future ack-half', 'ack', half='rst=', TIME_WAIT='-|ack')
    row('ack-left ack-far-left ack-right', 'ack')
    row('data', 'got', ended='-|ack')
    row('data-ooo', 'ack', ended='-|ack')
    row('data-edge', 'ack', ended='-|ack')
    row('data-left data-right', 'ack')
    row('data-over', 'got', half='any', ended='-|ack')
    row('data-noack none none-data xmas ece-cwr fin-noack', '-')
    row('data-old-ack', 'ack', half='rst=', TIME_WAIT='-|ack')
    row('data-future-ack fin-future-ack', 'ack', half='rst=', TIME_WAIT='-|ack')
    row('fin-left', 'ack', half='ack')
    row('fin-right', 'ack')
    row('fin-ooo', 'ack', ended='-|ack')
    row('old', 'ack')
    row('old-data old-fin old-syn', 'ack', TIME_WAIT='ack', SYN_RCVD='ack|sa')
    row('bare bare-data bare-fin', '-')
    row('echo-data', 'got', ended='-|ack')
    return table


def expectations():
    table = synchronized()
    closed_row = {
        'rst': '-', 'rst-ack-any': '-', 'rst-data': '-', 'rst-fin': '-', 'syn': 'rst+', 'syn-data': 'rst+', 'syn-fin': 'rst+',
        'syn-rst-left': '-', 'synack': 'rst=', 'synack-fin': 'rst=', 'ack': 'rst=', 'ack-future': 'rst=', 'data': 'rst=', 'data-noack': 'rst+',
        'fin-noack': 'rst+', 'fin-left': 'rst=', 'none': 'rst+', 'none-data': 'rst+', 'xmas': 'rst+', 'ece-cwr': 'rst+'}
    listen_row = dict(closed_row, **{
        'syn': 'new', 'syn-data': 'new', 'syn-fin': '-|new', 'data-noack': '-', 'fin-noack': '-', 'none': '-', 'none-data': '-',
        'xmas': '-', 'ece-cwr': '-'})
    sent_row = {
        'rst': '-', 'rst-ack-any': '-', 'rst-in-ack': '-!', 'rst-fin': '-', 'syn-rst-left': '-', 'ack': '-', 'ack-future': 'rst=',
        'ack-too-old': 'rst=', 'ack-half': 'rst=', 'data': '-', 'data-noack': '-', 'fin-noack': '-', 'fin-left': '-',
        'fin-future-ack': 'rst=', 'none': '-', 'none-data': '-', 'xmas': '-', 'ece-cwr': '-'}
    for state, row in (('CLOSED', closed_row), ('LISTEN', listen_row), ('SYN-SENT', sent_row)):
        for event, answer in row.items():
            table[event][state] = answer
    return table


def inject(c, event):
    """The segment, and what a RST or an ACK that answers it says."""
    flags, seq, ack, data = EVENTS[event]
    seq = c.seq + (seq(c) if callable(seq) else seq)
    ack = c.ack + ack if flags & ACK else 0
    options = None
    if event.startswith('old'):
        options = stamp(c.now - 500000, c.echo)
    elif event.startswith('bare'):
        options = b''
    elif event.startswith('echo'):
        options = stamp(c.now + 1, c.echo + 0x10000000)
    c.send(flags, seq=seq, ack=ack, data=data, options=options)
    length = len(data) + bool(flags & SYN) + bool(flags & FIN)
    return seq & MASK, ack & MASK, length


def judge(c, answer, seq, ack, length, replies):
    """Does one of the answers fit?"""
    says = []
    for one in answer.split('|'):
        try:
            fits(c, one.rstrip('!'), seq, ack, length, replies)
            return one
        except Differs as e:
            says.append(str(e))
    raise Differs(' or '.join(says))


def fits(c, one, seq, ack, length, replies):
    if one == 'any':
        return
    if one == '-':
        if replies:
            raise Differs('expected nothing, came %s' % ', '.join(map(str, replies)))
        return
    if one == 'got' and not replies:
        replies = [c.next(what='the acknowledgement')]
    if len(replies) != 1:
        raise Differs('expected %s, came %s' % (one, ', '.join(map(str, replies)) or 'nothing'))
    s = replies[0]
    if one == 'ack':
        c.match(s, ACK)
    elif one == 'got':
        c.match(s, ACK, ack=seq + length)
        c.seq = seq + length & MASK
    elif one == 'rst=':
        c.match(s, RST, seq=ack, ack=0)
    elif one == 'rst+':
        c.match(s, RST | ACK, seq=0, ack=seq + length)
    elif one == 'sa':
        if s.flags & 63 != SYN | ACK:
            raise Differs('expected a SYN-ACK, came %s' % s)
    elif one == 'new':
        if s.flags & 63 != SYN | ACK or s.ack not in (seq + 1 & MASK, seq + length & MASK):
            raise Differs('expected a SYN-ACK, came %s' % s)


def after(c, state, event, chosen):
    """What the program sees."""
    if c.fd is None:
        return
    if chosen.endswith('!'):
        want = ECONNREFUSED if state.startswith('SYN') else 0 if state in ('CLOSING', 'LAST-ACK') else ECONNRESET
        got = c.puppet.error(c.fd)
        if got != want and not (state == 'CLOSE-WAIT' and got == EPIPE) and not (want == 0 and got == ECONNRESET):
            raise Differs('the error is %d, should be %d' % (got, want))
        if c.puppet.state(c.fd) != CLOSE:
            raise Differs('the state is %d' % c.puppet.state(c.fd))
        return
    if chosen == 'any':
        return
    states = {MOVED[state] if event in TAKEN and state in MOVED else STATES[state][1]}
    if TIME_WAIT in states:
        states.add(CLOSE)
    got = c.puppet.state(c.fd)
    if got not in states:
        raise Differs('the state is %d, should be %s' % (got, states))
    if c.puppet.error(c.fd):
        raise Differs('there is an error')


def run(lab):
    table = expectations()
    for fam in lab.families:
        for stamps in (False, True):
            for event, cells in table.items():
                if event.startswith(STAMPED) and not stamps:
                    continue
                for state, answer in cells.items():
                    if event.startswith(STAMPED) and state in ('CLOSED', 'LISTEN', 'SYN-SENT'):
                        continue
                    name = '%s %s v%d%s' % (state, event, fam, ' ts' if stamps else '')
                    lab.case(name, one_cell, state, event, answer, fam, stamps)


def one_cell(lab, state, event, answer, fam, stamps):
    for _ in range(5):
        c = STATES[state][0](lab, fam, stamps)
        what = inject(c, event)
        replies = c.replies()
        if not any(s.flags & FIN for s in replies):
            break  # else its FIN came again, and may have said it all: the machine is slow
    chosen = judge(c, answer, *what, replies)
    after(c, state, event, chosen)
