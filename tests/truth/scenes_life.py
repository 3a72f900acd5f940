# SPDX-License-Identifier: BSD-3-Clause
"""Scenes about how connections begin and end: SYN, FIN, RST, and the same ports again."""
from craft import text

UP, DOWN = b'question', b'the answer'


def syn_again(wire):
    """A SYN, a SYN-ACK and a FIN are retransmitted with the same numbers; a SYN comes late."""
    talk = wire.talk()
    talk.c('S')
    talk.c('S', at=-1)
    talk.s('SA')
    talk.s('SA', at=-1)
    talk.s('SA', at=-1)
    talk.c()
    talk.c('S', at=-1)
    talk.both(UP, DOWN)
    talk.c('FA')
    talk.c('FA', at=len(UP))
    talk.s()
    talk.s('FA')
    talk.c()
    talk.expect('FIN', UP, DOWN, rexmit=(3, 2))


def syn_other(wire):
    """Two SYNs with different ISNs: the server's acknowledgment chooses; without a server, what the client goes on with."""
    for isns, with_server in (((1000, 90000), True), ((90000, 1000), True), ((1000, 90000), False)):
        talk = wire.talk(isn=(isns[1], 5000000))
        talk.c('S')
        talk.restart((isns[0], 5000000))
        talk.pkts = [1, 0]
        talk.c('S')
        if with_server:
            talk.s('SA')
        else:
            talk.lose(1, 1)
        talk.c()
        talk.c('PA', UP)
        if with_server:
            talk.s()
        talk.c('FA')
        talk.expect('HALF', UP)

    # the first one is what the server has taken
    talk = wire.talk()
    talk.c('S')
    talk.c('S', b'evil', at=77776)
    talk.next[0] = 0
    talk.s('SA')
    talk.c()
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)


def syn_inside(wire):
    """SYNs in the middle, within the window and outside, begin nothing and break nothing."""
    talk = wire.talk()
    talk.open()
    talk.both(UP, DOWN)
    for at in (100, 2**30 + 5, -70000):
        talk.c('S', at=at)
        talk.next[0] = len(UP)
        talk.s()
    talk.s('SA', at=500)
    talk.next[1] = len(DOWN)
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP + UP, DOWN + DOWN)


def syn_ack_other(wire):
    """Two SYN-ACKs: the client's acknowledgment chooses.  One that acknowledges nonsense is none."""
    for chosen in (0, 1):
        talk = wire.talk()
        other = talk.isn[1] + 300000 * (1 if chosen else -1)
        talk.c('S')
        order = [talk.isn[1], other] if chosen == 0 else [other, talk.isn[1]]
        right = talk.isn[1]
        for isn in order:
            talk.isn[1] = isn
            talk.s('SA', at=-1)
        talk.isn[1] = right
        talk.c()
        talk.both(UP, DOWN)
        talk.close()
        talk.expect('FIN', UP, DOWN)

    talk = wire.talk()
    talk.c('S')
    right = talk.isn[1]
    talk.isn[1] = 42
    talk.s('SA', ack=500)
    talk.restart((talk.isn[0], right))
    talk.next, talk.pkts = [0, -1], [1, 1]
    talk.s('SA')
    talk.c()
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)


def syn_text(wire):
    """Text in the SYN: taken at once; or ignored and sent again."""
    talk = wire.talk()
    talk.c('S', UP)
    talk.s('SA')
    talk.c()
    talk.s('PA', DOWN)
    talk.c()
    talk.close()
    talk.expect('FIN', UP, DOWN)

    talk = wire.talk()
    talk.c('S', UP)
    talk.s('SA', ack=0)
    talk.c('A', at=0)
    talk.c('PA', UP, at=0)
    talk.s('PA', DOWN)
    talk.c()
    talk.close()
    talk.expect('FIN', UP, DOWN, rexmit=(1, 0))


def fin(wire):
    """With text; out of order; with text behind it; before text that is there already; one side only."""
    talk = wire.talk()
    talk.open()
    talk.c('PFA', UP)
    talk.s('PFA', DOWN)
    talk.c()
    talk.expect('FIN', UP, DOWN)

    sent = text(3000, 'fin')
    talk = wire.talk()                      # FIN first, text fills in
    talk.open()
    talk.c('FA', at=3000)
    talk.c('PA', sent[2000:], at=2000)
    talk.s(ack=0)
    talk.c('PA', sent[1000:2000], at=1000)
    talk.c('PA', sent[:1000], at=0)
    talk.s()
    talk.s('FA')
    talk.c()
    talk.expect('FIN', sent, ooo=(3, 0))

    talk = wire.talk()                      # the tap missed it, but not the answer; then it comes again
    talk.open()
    talk.c('FA')
    talk.lose(1, 1)
    talk.c()
    talk.s('FA', at=0)
    talk.c()
    talk.expect('FIN')

    talk = wire.talk()                      # the same, and the tap missed a window update before, so the first FIN seemed to lie beyond
    talk.open()
    talk.s(window=0)
    talk.c('PFA', UP)
    talk.lose(1, 1)
    talk.s('FA', at=0)
    talk.c()
    talk.expect('FIN', UP)

    talk = wire.talk()                      # text behind the FIN, and another FIN
    talk.open()
    talk.c('PFA', UP)
    talk.s()
    talk.c('PA', b'behind', at=len(UP))
    talk.c('PA', b'behind', at=len(UP) + 1)
    talk.c('PA', UP[-3:] + b'behind', at=len(UP) - 3)
    talk.c('FA', at=len(UP) + 50)
    talk.next[0] = len(UP) + 1
    talk.s('FA')
    talk.c()
    talk.expect('FIN', UP, rexmit=(1, 0))

    talk = wire.talk()                      # a FIN in the midst of what has come is none
    talk.open()
    talk.c('PA', sent[2000:], at=2000)
    talk.c('FA', at=1000)
    talk.c('PA', sent[:2000], at=0)
    talk.c('FA', at=500)
    talk.s()
    talk.s('FA')
    talk.c()
    talk.expect('HALF', sent, ooo=(1, 0))


def half_close(wire):
    """One side is done, the other goes on for long; and one flow is left half-closed."""
    for complete in (True, False):
        talk = wire.talk()
        talk.open()
        talk.c('PFA', UP)
        talk.s()
        down = text(20000, 'half')
        for at in range(0, 20000, 1000):
            talk.s('PA', down[at:at + 1000])
            talk.c()
        if complete:
            talk.s('FA')
            talk.c()
        talk.expect('FIN' if complete else 'HALF', UP, down)


def simultaneous(wire):
    """Both open; both close."""
    talk = wire.talk()
    talk.c('S')
    talk.s('S')
    talk.c('SA', at=-1, ack=0)
    talk.s('SA', at=-1, ack=0)
    talk.c()
    talk.s()
    talk.both(UP, DOWN)
    talk.c('FA', ack=len(DOWN))
    talk.s('FA', ack=len(UP))
    talk.c()
    talk.s()
    talk.expect('FIN', UP, DOWN, rexmit=(1, 1))


def reset(wire):
    """Valid ones: exact, within the window, refusing, with text, after one FIN, after two."""
    talk = wire.talk()
    talk.open()
    talk.both(UP, DOWN)
    talk.c('R', ack=0)
    talk.expect('RST', UP, DOWN)

    talk = wire.talk()                      # inside the window, with text, and the other side has more under way
    talk.open()
    talk.both(UP, DOWN)
    talk.c('RA', b'not text', at=len(UP) + 100)
    talk.s('PA', b'under way')
    talk.c('R', at=len(UP))
    talk.expect('RST', UP, DOWN + b'under way')

    talk = wire.talk()                      # refused
    talk.c('S')
    talk.s('RA', at=-5000001, ack=0)
    talk.expect('RST')

    talk = wire.talk()                      # refused with the wrong acknowledgment, then accepted
    talk.c('S')
    talk.s('RA', at=-5000001, ack=17)
    talk.s('R', at=-5000001)
    talk.s('SA')
    talk.c()
    talk.close()
    talk.expect('FIN')

    talk = wire.talk()                      # a scan
    talk.c('S')
    talk.s('SA')
    talk.c('R')
    talk.expect('RST')

    talk = wire.talk()                      # after one FIN
    talk.open()
    talk.both(UP, DOWN)
    talk.c('FA')
    talk.s()
    talk.c('R')
    talk.expect('RST', UP, DOWN)

    talk = wire.talk()                      # after both
    talk.open()
    talk.both(UP, DOWN)
    talk.close()
    talk.s('R')
    talk.expect('FIN', UP, DOWN)


def reset_outside(wire):
    """Before what is acknowledged, at the window's edge and beyond: nothing happens."""
    talk = wire.talk(shift=(None, None))
    talk.open()
    talk.both(UP, DOWN)
    for at in (len(UP) - 1, 0, -1, -100000, len(UP) + 65535, len(UP) + 65536, 2**31):
        talk.c('R', b'evil', at=at)
    talk.c('RA', at=len(UP) + 100000)
    talk.s('R', at=len(DOWN) - 1)
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP + UP, DOWN + DOWN)


def reuse(wire):
    """The same addresses and ports again: after a close, a RST, in TIME-WAIT by either side, and without a close that was seen."""
    talk = wire.talk()
    for turn, isns in enumerate(((1000, 5000), (70000, 90000), (60000, 80000), (1, 2**32 - 1))):
        talk.restart(isns)
        talk.open()
        talk.both(UP, DOWN + b'%d' % turn)
        if turn == 1:
            talk.s('R')
            talk.expect('RST', UP, DOWN + b'1')
        else:
            talk.close()
            talk.c('S', at=-1)              # an old SYN of this connection
            talk.expect('FIN', UP, DOWN + b'%d' % turn, rexmit=(1, 0))

    # the server opens towards the client's port
    talk.ends = (talk.ends[1], talk.ends[0])
    talk.restart((777, 888))
    talk.open()
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)

    talk = wire.talk()                      # the end was not seen, but the server answers the new SYN
    talk.open()
    talk.both(UP, DOWN)
    old = list(talk.pkts)
    talk.restart((3000000, 7))
    talk.c('S')
    talk.pkts = [old[0] + 1, old[1]]
    talk.expect('none', UP, DOWN)
    talk.pkts = [0, 0]
    talk.s('SA')
    talk.c()
    talk.both(UP + b'new', DOWN + b'new')
    talk.close()
    talk.expect('FIN', UP + b'new', DOWN + b'new')

    talk = wire.talk()                      # the same, and neither the beginning nor all of the rest was seen
    talk.next = [5000, 7000]
    talk.c('PA', UP)
    talk.s()
    talk.c('FA')
    talk.restart((3000000, 7))
    old = [2, 1]
    talk.c('S')
    talk.pkts = [old[0] + 1, old[1]]
    talk.expect('HALF', UP)
    talk.pkts = [0, 0]
    talk.s('SA')
    talk.c()
    talk.both(UP + b'new', DOWN + b'new')
    talk.close()
    talk.expect('FIN', UP + b'new', DOWN + b'new')

    talk = wire.talk()                      # the same; the client's SYN was seen
    talk.c('S')
    talk.lose(1, 1)
    talk.lose(0, 5000)
    talk.s('A')
    talk.s('PFA', DOWN)
    talk.pkts = [0, 0]
    old = [1, 2]
    talk.restart((3000000, 7))
    talk.c('S')
    talk.pkts = [old[0] + 1, old[1]]
    talk.expect('HALF', b'', DOWN, missed=(4999, 0))
    talk.pkts = [0, 0]
    talk.s('SA')
    talk.c()
    talk.both(UP + b'new', DOWN + b'new')
    talk.close()
    talk.expect('FIN', UP + b'new', DOWN + b'new')

    talk = wire.talk()                      # an acknowledgment of the old connection is late, and is answered with a RST
    talk.open()
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)
    talk.restart((100000, 5100000))
    talk.c('S')
    talk.s('SA')
    talk.c('A', at=-98995, ack=-99990)
    talk.s('R', at=-99990)
    talk.c()
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)

    talk = wire.talk()                      # only one side is seen
    for turn in (0, 1):
        talk.restart((1000 * (turn + 1), 5 + turn))
        talk.next[0] = 0
        talk.s('SA')
        talk.s('PA', DOWN)
        talk.s('FA')
        talk.expect('HALF', b'', DOWN)


SCENES = (syn_again, syn_other, syn_inside, syn_ack_other, syn_text, fin, half_close, simultaneous, reset, reset_outside, reuse)
