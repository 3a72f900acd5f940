# SPDX-License-Identifier: BSD-3-Clause
"""Both ends of a connection: ours, by hand, and the puppet's, a program on stackd's side (puppet.c)."""
import select
import subprocess
import time

from wire import ACK, Differs, FIN, LIMIT_S, MASK, RST, SYN

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLRDHUP = 1, 2, 4, 8, 16, 0x2000
SOL_SOCKET, SO_ERROR, IPPROTO_TCP, TCP_INFO = 1, 4, 6, 11
ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = range(1, 12)


def option(kind, body=b''):
    return bytes([kind, 2 + len(body)]) + body


def number(kind, size, value):
    return option(kind, value.to_bytes(size, 'big'))


def mss(value):
    return number(2, 2, value)


def stamp(val, echo):
    return b'\1\1' + option(8, (val & MASK).to_bytes(4, 'big') + (echo & MASK).to_bytes(4, 'big'))


WSCALE7 = b'\1' + number(3, 1, 7)
SACKOK = b'\1\1' + option(4)


class Puppet:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def say(self, *words):
        self.process.stdin.write(' '.join(str(w) for w in words) + '\n')
        if not select.select([self.process.stdout], [], [], 10)[0]:
            raise Differs('the program hangs in ' + ' '.join(str(w) for w in words))
        rc, error, *more = self.process.stdout.readline().split()
        return int(rc), error, more

    def must(self, *words):
        rc, error, more = self.say(*words)
        if rc < 0:
            raise Differs('%s: %s' % (' '.join(str(w) for w in words), error))
        return rc, more

    def socket(self, fam=4):
        return self.must('socket', fam)[0]

    def error(self, fd):
        return int(self.must('getint', fd, SOL_SOCKET, SO_ERROR)[1][0])

    def info(self, fd):
        names = ('state', 'options', 'snd_wscale', 'rcv_wscale', 'snd_mss', 'pmtu', 'unacked', 'cwnd', 'retransmits')
        rc, error, more = self.say('info', fd)
        if rc < 0:
            raise Differs('TCP_INFO: ' + error)
        return dict(zip(names, map(int, more)))

    def state(self, fd):
        return self.info(fd)['state']

    def events(self, fd, ask=POLLIN | POLLPRI | POLLOUT | POLLRDHUP, wait_ms=0):
        return int(self.must('poll', fd, ask, wait_ms)[1][0])

    def listener(self, fam, port, host, **options):
        fd = self.socket(fam)
        for name, value in options.get('before', {}).items():
            self.must('setint', fd, *name, value)
        self.must('bind', fd, host, port)
        self.must('listen', fd, 128)
        return fd

    def accept(self, listener):
        self.events(listener, POLLIN, LIMIT_S * 1000)
        return self.must('accept', listener)[0]


class Conn:
    """Our end.  seq: our next number, ack: what we expect of stackd, una: what of ours it has acknowledged.

    stamps: timestamps are spoken; our clock is `now`.  shift: of stackd's windows.
    """

    next_port = 20000

    def __init__(self, lab, fam=4, port=0, sport=0, stamps=False, src=None):
        Conn.next_port += 1
        self.lab, self.wire, self.puppet, self.fam = lab, lab.wire, lab.puppet, fam
        self.sport, self.port, self.src = sport or Conn.next_port, port, src
        self.iss = self.seq = lab.rng.choice((lab.rng.getrandbits(32), 0xffffffff, 0x7fffffff, 0xfffff000))
        self.ack = self.irs = 0
        self.stamps, self.now, self.echo = stamps, 1000000, 0
        self.shift, self.edge, self.fd = 0, None, None
        self.wnd = 65535
        lab.conns.append(self)

    def send(self, flags, seq=None, ack=None, data=b'', options=None, wnd=None, tick=1, **more):
        """seq and ack absolute; None: what is right now."""
        self.now += tick
        if options is None:
            options = stamp(self.now, self.echo) if self.stamps and not flags & RST else b''
        self.wire.tcp(self.fam, self.sport, self.port, self.seq if seq is None else seq,
                      (self.ack if flags & ACK else 0) if ack is None else ack, flags,
                      self.wnd if wnd is None else wnd, data, options, **dict({'src': self.src}, **more))

    def advance(self, flags, data=b'', **more):
        """Sends and goes on."""
        self.send(flags, data=data, **more)
        self.seq = self.seq + len(data) + bool(flags & FIN) + bool(flags & SYN) & MASK

    def seen(self, s):
        """What must hold for every segment."""
        if s.flags & RST:
            return s
        if s.urg or s.flags & 32:
            raise Differs('urgent data: %s' % s)
        if self.fam == 4 and not s.df:
            raise Differs('no DF')
        if not s.flags & ACK and s.ack:
            raise Differs('an acknowledgement number without ACK: %s' % s)
        if not s.flags & SYN and self.stamps != ('ts' in s.options):
            raise Differs('timestamps: %s' % s)
        if s.flags & ACK and s.sport == self.port:
            edge = s.ack + (s.wnd << (0 if s.flags & SYN else self.shift)) & MASK
            if self.edge is not None and (edge - self.edge & MASK) >= 1 << 31 and s.ack == self.seq:
                raise Differs('the window was taken back: %s' % s)
            self.edge = edge
        if 'ts' in s.options:
            self.echo = s.options['ts'][0]
        return s

    def replies(self):
        """What stackd says at once."""
        self.wire.settle(self.fam)
        return [self.seen(s) for s in self.wire.mine(self.sport, self.port or None)]

    def next(self, seconds=LIMIT_S, what='a segment'):
        end = time.monotonic() + seconds
        while True:
            for i, s in enumerate(self.wire.segments):
                if s.dport == self.sport and self.port in (0, s.sport):
                    del self.wire.segments[i]
                    return self.seen(s)
            left = end - time.monotonic()
            if left <= 0 or not self.wire.pump(left):
                raise Differs('%s did not come' % what)

    def want(self, flags, seq=None, ack=None, size=0, **more):
        """The next segment must be this one; seq, ack: absolute, None: what is right now."""
        s = self.next(**more)
        return self.match(s, flags, seq, ack, size)

    def match(self, s, flags, seq=None, ack=None, size=0):
        seq = self.ack if seq is None else seq & MASK
        ack = (self.seq if flags & ACK else 0) if ack is None else ack & MASK
        if (s.flags & ~8, s.seq, s.ack, len(s.data)) != (flags, seq, ack, size):
            raise Differs('expected flags %#x seq %u ack %u len %u, came %s' % (flags, seq, ack, size, s))
        return s

    # --- Into a state ------------------------------------------------------------------------------------------------

    def syn_options(self, wscale=True, sack=True):
        return mss(1460) + (stamp(self.now, 0) if self.stamps else b'') + (WSCALE7 if wscale else b'') + (SACKOK if sack else b'')

    def take_syn(self, s):
        self.irs, self.ack = s.seq, s.seq + 1 & MASK
        self.edge = s.ack + s.wnd & MASK if s.flags & ACK else None
        self.shift = s.options.get('wscale', 0)
        if self.fd is None and 'ts' not in s.options:
            self.stamps = False
        return s

    def half_open(self, **more):
        """SYN-RECEIVED, by a SYN of ours."""
        options = more.pop('options', None)
        self.advance(SYN, options=self.syn_options() if options is None else options, **more)
        s = self.next(what='a SYN-ACK')
        if s.flags & 63 != SYN | ACK or s.ack != self.seq:
            raise Differs('no SYN-ACK: %s' % s)
        self.take_syn(s)
        return s

    def opened(self, listener, **more):
        """ESTABLISHED, and accepted; listener: the puppet's."""
        s = self.half_open(**more)
        self.send(ACK)
        self.fd = self.puppet.accept(listener)
        return s

    def called(self, wscale=True):
        """SYN-SENT: the puppet connects; the SYN."""
        host = self.lab.own_text[self.fam]
        self.fd = self.puppet.socket(self.fam)
        rc, error, _ = self.puppet.say('connect', self.fd, host, self.sport)
        if error != 'EINPROGRESS':
            raise Differs('connect: ' + error)
        s = self.next(what='a SYN')
        if s.flags & 63 != SYN:
            raise Differs('no SYN: %s' % s)
        self.port = s.sport
        return self.take_syn(s)

    def crossed(self):
        """SYN-RECEIVED, by two SYNs."""
        self.called()
        self.advance(SYN, options=self.syn_options())
        s = self.next(what='a SYN-ACK')
        return self.match(s, SYN | ACK, seq=self.irs)

    def connected(self):
        """ESTABLISHED, by the puppet's connect."""
        self.called()
        self.advance(SYN | ACK, options=self.syn_options())
        return self.want(ACK)

    def fin(self, close=False):
        """The puppet ends its side; its FIN is taken, not acknowledged."""
        self.puppet.must(*(('close', self.fd) if close else ('shutdown', self.fd, 1)))
        self.fd = None if close else self.fd
        s = self.want(FIN | ACK)
        self.fin_at = s.seq
        self.ack = s.seq + 1 & MASK
        return s

    def our_fin(self):
        self.advance(FIN | ACK)
        return self.want(ACK)

    def done(self):
        """Nothing of it is left."""
        self.send(RST | ACK, options=b'')
        if self.fd is not None:
            self.puppet.say('close', self.fd)
            self.fd = None
