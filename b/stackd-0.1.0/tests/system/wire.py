#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""wire.py INTERFACE [ATTACK...] [--stack IP] [--victim IP] [--port N] [--seconds S]: a hostile host on stackd's link.

It has raw access to the wire, an address and a link address of its own (no kernel stack answers for it), and sees and
forges the packets of the victim, a Linux host that fetches files from the same web server meanwhile.  Each attack prints
one line `NAME: what it did`; an answer that stackd must not give is an AssertionError.  --list names the attacks.

Two kinds: those that forge packets of the victim's connections (icmp, blind, acks, sack, arp), and those that are the
misbehaving peer themselves, with a small TCP of their own (Peer).
"""
import argparse
import hashlib
import os
import random
import select
import socket
import struct
import sys
import time

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
OWN_MAC = b'\x02\x00\x00\x00\x00\x66'
ICMP, TCP, UDP = 1, 6, 17
ETH_P_ALL = 3


# --- Packets ---------------------------------------------------------------------------------------------------------

def checksum(data):
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def ip4(src, dst, proto, payload, ttl=64, ident=0, frag=0x4000, options=b'', **bad):
    """bad: version, ihl, length, csum replace what would be right."""
    ihl = bad.get('ihl', 5 + len(options) // 4)
    head = struct.pack('!BBHHHBBH4s4s', bad.get('version', 4) << 4 | ihl, 0, bad.get('length', 20 + len(options) + len(payload)),
                       ident, frag, ttl, proto, 0, src, dst) + options
    return head[:10] + struct.pack('!H', bad.get('csum', checksum(head))) + head[12:] + payload


def tcp(src, dst, sport, dport, seq, ack, flags, wnd=65535, payload=b'', options=b'', urg=0):
    options += b'\1' * (-len(options) % 4)
    head = struct.pack('!HHIIBBHHH', sport, dport, seq & 0xffffffff, ack & 0xffffffff, (5 + len(options) // 4) << 4, flags, wnd, 0,
                       urg) + options
    pseudo = src + dst + struct.pack('!HH', TCP, len(head) + len(payload))
    return head[:16] + struct.pack('!H', checksum(pseudo + head + payload)) + head[18:] + payload


def icmp(kind, code, rest, payload):
    head = struct.pack('!BBH', kind, code, 0) + rest + payload
    return head[:2] + struct.pack('!H', checksum(head)) + head[4:]


class Segment:
    """One TCP segment as it was seen."""

    def __init__(self, frame):
        ip = frame[14:]
        ihl = (ip[0] & 15) * 4
        end = struct.unpack('!H', ip[2:4])[0]
        self.ip = ip[:end]
        self.src, self.dst = ip[12:16], ip[16:20]
        (self.sport, self.dport, self.seq, self.ack, off, self.flags, self.wnd) = struct.unpack('!HHIIBBH', ip[ihl:ihl + 16])
        off = (off >> 4) * 4
        self.options = ip[ihl + 20:ihl + off]
        self.payload = ip[ihl + off:end]

    def stamp(self):
        """(TSval, TSecr) or None."""
        i = 0
        while i + 1 < len(self.options) and self.options[i] != 0:
            if self.options[i] == 1:
                i += 1
                continue
            if self.options[i] == 8:
                return struct.unpack('!II', self.options[i + 2:i + 10])
            i += max(self.options[i + 1], 2)
        return None


# --- The wire --------------------------------------------------------------------------------------------------------

class Wire:
    def __init__(self, args):
        self.stack, self.victim = socket.inet_aton(args.stack), socket.inet_aton(args.victim)
        self.own = self.stack[:3] + b'\x66'
        self.port, self.seconds = args.port, args.seconds
        self.rng = random.Random(args.seed)
        self.tx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.tx.bind((args.interface, 0))
        self.rx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.rx.bind((args.interface, ETH_P_ALL))
        self.rx.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sent = 0
        with open('/sys/class/net/%s/address' % args.interface) as f:
            self.victim_mac = bytes.fromhex(f.read().strip().replace(':', ''))
        self.stack_mac = self.resolve()

    def send(self, frame):
        self.sent += 1
        try:
            self.tx.send(frame)
        except BlockingIOError:
            pass

    def ip(self, packet, src_mac=OWN_MAC):
        self.send(self.stack_mac + src_mac + b'\x08\x00' + packet)

    def as_victim(self, payload, proto=TCP, **more):
        self.ip(ip4(self.victim, self.stack, proto, payload, **more), self.victim_mac)

    def as_own(self, payload, proto=TCP, src=None, **more):
        self.ip(ip4(src or self.own, self.stack, proto, payload, **more))

    def arp(self, op, sha, spa, tha, tpa, dst=b'\xff' * 6):
        self.send(dst + OWN_MAC + b'\x08\x06' + struct.pack('!HHBBH6s4s6s4s', 1, 0x800, 6, 4, op, sha, spa, tha, tpa))

    def frames(self, seconds):
        """What stackd sends, for so long; requests for our address are answered on the way."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.rx], [], [], left)[0]:
                return
            frame, (_, _, kind, *_) = self.rx.recvfrom(65536)
            if kind == socket.PACKET_OUTGOING:
                continue
            if frame[12:14] == b'\x08\x06' and frame[20:22] == b'\0\1' and frame[38:41] == self.own[:3] and \
                    frame[41] >= 0x66 and frame[28:32] == self.stack:
                self.arp(2, OWN_MAC, frame[38:42], frame[22:28], frame[28:32], frame[22:28])
            yield frame

    def segments(self, seconds):
        for frame in self.frames(seconds):
            if frame[12:14] == b'\x08\x00' and frame[23] == TCP and frame[26:30] == self.stack:
                yield Segment(frame)

    def resolve(self):
        for _ in range(20):
            self.arp(1, OWN_MAC, self.own, b'\0' * 6, self.stack)
            for frame in self.frames(0.2):
                if frame[12:14] == b'\x08\x06' and frame[20:22] == b'\0\2' and frame[28:32] == self.stack:
                    return frame[22:28]
        sys.exit('nobody has the address %s' % socket.inet_ntoa(self.stack))

    def live(self, seconds=5.0):
        """A segment with payload that stackd sends to the victim now."""
        for s in self.segments(seconds):
            if s.dst == self.victim and len(s.payload) > 0:
                return s
        raise AssertionError('the victim is sent nothing')

    def forged(self, s, seq, ack, flags, payload=b'', wnd=65535, options=None, **more):
        """A segment of the victim's, on the connection of s, which stackd sent."""
        stamp = s.stamp()
        if options is None:
            options = struct.pack('!BBBBII', 1, 1, 8, 10, stamp[1], stamp[0]) if stamp else b''
        self.as_victim(tcp(self.victim, self.stack, s.dport, s.sport, seq, ack, flags, wnd, payload, options), **more)

    def forget(self, first, count, seq):
        """Takes back SYNs of ours from these ports, whose number was seq - 1; thrice, as some may be lost in the crowd."""
        for i in range(3 * count):
            self.as_own(tcp(self.own, self.stack, first + i % count, self.port, seq, 0, RST))
            if i % 100 == 0:
                time.sleep(0.001)

    def for_a_while(self, part=1.0):
        end = time.monotonic() + self.seconds * part
        while time.monotonic() < end:
            yield


class Peer:
    """One end of a connection, driven by hand.  options: of its SYN.  What it receives in order is in `got`."""

    def __init__(self, wire, sport, src=None, options=b'', wnd=65535):
        self.wire, self.sport, self.src, self.wnd = wire, sport, src or wire.own, wnd
        self.seq = self.iss = wire.rng.getrandbits(32)
        self.ack = 0
        self.got = bytearray()
        self.state = 'SYN-SENT'
        self.last = None
        self.send(SYN, options=options)
        self.seq += 1

    def send(self, flags, payload=b'', seq=None, ack=None, wnd=None, options=b'', urg=0):
        w = self.wire
        w.as_own(tcp(self.src, w.stack, self.sport, w.port, self.seq if seq is None else seq, self.ack if ack is None else ack,
                     flags, self.wnd if wnd is None else wnd, payload, options, urg), src=self.src)

    def take(self, s):
        """True when s moved us on."""
        self.last = s
        if s.flags & RST:
            self.state = 'RESET'
        elif self.state == 'SYN-SENT' and s.flags & (SYN | ACK) == SYN | ACK:
            self.state = 'ESTABLISHED'
            self.ack = s.seq + 1 & 0xffffffff
            return True
        elif s.seq == self.ack and (s.payload or s.flags & FIN):
            self.got += s.payload
            self.ack = self.ack + len(s.payload) + (s.flags & FIN) & 0xffffffff
            if s.flags & FIN:
                self.state = 'FIN'
            return True
        return False

    def request(self, path, **more):
        text = b'GET /%s HTTP/1.0\r\n\r\n' % path.encode()
        self.send(ACK | PSH, text, **more)
        self.seq += len(text)

    def reset(self):
        self.send(RST | ACK)

    def body(self):
        return bytes(self.got).partition(b'\r\n\r\n')[2]


def mine(wire, peers, seconds):
    """Segments for these peers (by port and address), with the peer."""
    for s in wire.segments(seconds):
        p = peers.get((s.dst, s.dport))
        if p is not None:
            yield p, s


def opened(wire, first, count, **more):
    """count peers, established."""
    peers = {}
    for i in range(count):
        p = Peer(wire, first + i, **more)
        peers[(p.src, p.sport)] = p
    waiting = count
    for p, s in mine(wire, peers, 3):
        if p.state == 'SYN-SENT' and p.take(s):
            p.send(ACK)
            waiting -= 1
            if waiting == 0:
                break
    return peers


def fetched(wire, sport, path, want, options=b'', reply=None, seconds=5.0):
    """A whole file by a peer that answers as `reply(peer, segment)` does; its bytes must be right."""
    p = Peer(wire, sport, options=options)
    for p, s in mine(wire, {(p.src, p.sport): p}, seconds):
        fresh = p.take(s)
        if p.state == 'RESET':
            break
        if fresh and s.flags & SYN:
            p.send(ACK, options=reply(p, s, True) if reply else b'')
            p.request(path, options=reply(p, s, True) if reply else b'')
            continue
        options = reply(p, s, fresh) if reply else b''
        if options is not None:
            p.send(ACK, options=options)
        if p.state == 'FIN':
            p.send(FIN | ACK, options=options or b'')
            break
    whole = hashlib.sha256(p.body()).hexdigest() == want
    if not whole:
        p.reset()
    assert p.state in ('FIN', 'ESTABLISHED'), 'the connection was reset'
    return whole, len(p.body())


# --- Forging what the victim hears and says ----------------------------------------------------------------------------

def attack_icmp(w):
    """Every unreachable, with numbers that are not in flight; frag-needed with impossible sizes; short and mad quotes."""
    n = w.sent
    for _ in w.for_a_while():
        s = w.live()
        for code in range(16):
            for seq in (s.seq + 0x40000000, s.seq - 1000000, w.rng.getrandbits(32)):
                quote = s.ip[:24] + struct.pack('!I', seq & 0xffffffff)
                w.as_own(icmp(3, code, struct.pack('!HH', 0, w.rng.choice((0, 1, 67, 68, 296, 65535))), quote), ICMP)
        for kind in (4, 5, 11, 12, 200):
            w.as_own(icmp(kind, 0, w.stack, s.ip[:28]), ICMP)
        for cut in (0, 1, 19, 20, 27):
            w.as_own(icmp(3, 3, b'\0' * 4, s.ip[:cut]), ICMP)
        w.as_own(icmp(3, 4, b'\0' * 4, b'\x4f' + s.ip[1:28]), ICMP)
        w.as_own(icmp(3, 4, b'\0' * 4, bytes(w.rng.getrandbits(8) for _ in range(60))), ICMP)
    return '%d messages about nothing' % (w.sent - n)


def attack_icmp_in_flight(w):
    """On the path: what is quoted is in flight.  The transfer gets slow, at most."""
    n = w.sent
    for _ in w.for_a_while():
        s = w.live()
        for code, mtu in ((0, 0), (1, 0), (2, 0), (3, 0), (13, 0), (4, 0), (4, 1), (4, 68), (4, 296), (4, 1499), (4, 1500)):
            w.as_own(icmp(3, code, struct.pack('!HH', 0, mtu), s.ip[:28]), ICMP)
    return '%d messages about what is in flight' % (w.sent - n)


def attack_blind(w):
    """RST, SYN and data beside the numbers that count: in the window, just outside, far away; ACKs that cannot be."""
    n = w.sent
    for _ in w.for_a_while():
        s = w.live()
        for off in (1, 2, 100, 1459, 30000, 60000, 0x10000000, 0x7fffffff, 0x80000000, -1, -2, -1460, -70000):
            w.forged(s, s.ack + off, s.seq, RST)
            w.forged(s, s.ack + off, s.seq, RST | ACK)
            w.forged(s, s.ack + off, 0, SYN, options=b'\2\4\5\xb4')
            w.forged(s, s.ack + off, s.seq, SYN | ACK)
        for ack in (s.seq + 0x40000000, s.seq - 0x40000000):
            for flags in (ACK, ACK | PSH, ACK | FIN, ACK | URG):
                w.forged(s, s.ack, ack, flags, b'GET /evil HTTP/1.1\r\n\r\n')
        w.forged(s, s.ack, s.seq, 0, b'no flags')
        w.forged(s, s.ack, s.seq, SYN | FIN)
        if s.stamp():
            old = struct.pack('!BBBBII', 1, 1, 8, 10, s.stamp()[1] - 1000 & 0xffffffff, s.stamp()[0])
            w.forged(s, s.ack, s.seq, ACK | PSH, b'old', options=old)
            w.forged(s, s.ack, s.seq, ACK | PSH, b'no timestamp', options=b'')
    return '%d segments beside the window' % (w.sent - n)


def attack_acks(w):
    """On the path: duplicate ACKs, old ones, windows of nothing, urgent pointers, SACK blocks that lie."""
    n = w.sent
    for _ in w.for_a_while():
        s = w.live()
        stamp = s.stamp() or (0, 0)
        ts = struct.pack('!BBBBII', 1, 1, 8, 10, stamp[1], stamp[0])
        for _ in range(5):
            w.forged(s, s.ack, s.seq, ACK)
        w.forged(s, s.ack, s.seq - 1000, ACK, wnd=0)
        w.forged(s, s.ack - 1, s.seq, ACK)
        for a, b in ((1 << 30, 2 << 30), (-5000, -1), (0, 0), (100000, 10), (-1 << 30, 1 << 30)):
            w.forged(s, s.ack, s.seq, ACK, options=ts + struct.pack('!BBBBII', 1, 1, 5, 10, s.seq + a & 0xffffffff,
                                                                     s.seq + b & 0xffffffff))
    return '%d acknowledgements' % (w.sent - n)


def attack_arp(w):
    """The victim's address is claimed, then everybody's; ours (stackd's) too; nonsense.  A neighbour that still answers
    keeps its place."""
    n = w.sent
    for _ in w.for_a_while():
        for op in (1, 2):
            w.arp(op, OWN_MAC, w.victim, b'\0' * 6, w.victim)
            w.arp(op, OWN_MAC, w.victim, w.stack_mac, w.stack, w.stack_mac)
            w.arp(op, OWN_MAC, w.stack, b'\0' * 6, w.stack)
            w.arp(op, b'\xff' * 6, w.victim, b'\0' * 6, w.stack)
            w.arp(op, b'\0' * 6, w.victim, b'\0' * 6, w.stack)
            w.arp(op, OWN_MAC, b'\xff' * 4, b'\0' * 6, w.stack)
        for _ in range(50):
            spa = w.stack[:2] + bytes((w.rng.getrandbits(8), w.rng.getrandbits(8)))
            if spa not in (w.victim, w.stack):
                w.arp(1, OWN_MAC, spa, b'\0' * 6, w.stack)
        w.arp(7, OWN_MAC, w.own, b'\0' * 6, w.stack)
        w.send(w.stack_mac + OWN_MAC + b'\x08\x06' + b'\0\1\x08\0\6\4\0\1')
        for s in w.segments(0.02):
            pass
    return '%d messages' % (w.sent - n)


# --- Frames that are no good -------------------------------------------------------------------------------------------

def attack_frames(w):
    """Runts, giants, tags in tags, unknown types, broadcast, wrong destinations, lengths that do not fit, bad checksums."""
    n = w.sent
    syn = tcp(w.own, w.stack, 999, w.port, 1, 0, SYN)
    good = ip4(w.own, w.stack, TCP, syn)
    head = w.stack_mac + OWN_MAC
    frames = [head + b'\x08\x00', head + b'\x08\x06', head + b'\x81\x00', head + b'\x81\x00\0\1', head + b'\x81\x00\0\0\x81\x00']
    frames += [head + b'\x81\x00\0\5' * k + b'\x08\x00' + good for k in range(1, 6)]
    frames += [head + b'\x88\xa8\0\0\x81\x00\0\0\x08\x00' + good, head + b'\x86\xdd' + good, head + b'\x12\x34' + b'x' * 60]
    frames += [b'\xff' * 6 + OWN_MAC + b'\x08\x00' + good, b'\1\0\x5e\0\0\1' + OWN_MAC + b'\x08\x00' + good]
    frames += [b'\x02\0\0\0\0\x77' + OWN_MAC + b'\x08\x00' + good, head + b'\x08\x00' + good[:1500] + b'p' * (1500 - len(good))]
    frames += [head + b'\x08\x00' + good[:cut] for cut in range(0, len(good))]
    for bad in ({'version': 6}, {'ihl': 0}, {'ihl': 4}, {'ihl': 15}, {'length': 0}, {'length': 19}, {'length': 1500},
                {'length': 65535}, {'csum': 0x1234}, {'ttl': 0}):
        frames.append(head + b'\x08\x00' + ip4(w.own, w.stack, TCP, syn, **bad))
    for src in ('0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255', '10.9.0.255', '10.9.0.0', socket.inet_ntoa(w.stack)):
        a = socket.inet_aton(src)
        frames.append(head + b'\x08\x00' + ip4(a, w.stack, TCP, tcp(a, w.stack, 999, w.port, 1, 0, SYN)))
    land = tcp(w.stack, w.stack, w.port, w.port, 1, 0, SYN)
    frames.append(head + b'\x08\x00' + ip4(w.stack, w.stack, TCP, land))
    for proto in (0, 2, 41, 47, 50, 132, 255):
        frames.append(head + b'\x08\x00' + ip4(w.own, w.stack, proto, b'\0' * 40))
    for _ in w.for_a_while():
        for frame in frames:
            w.send(frame)
    giants = 0
    for size in (1600, 4000, 9000):
        try:
            w.send(head + b'\x08\x00' + ip4(w.own, w.stack, TCP, tcp(w.own, w.stack, 999, w.port, 1, 0, SYN, payload=b'g' * size)))
            giants += 1
        except OSError:
            pass # longer than this interface sends
    w.forget(999, 1, 2)
    return '%d frames, %d giants' % (w.sent - n, giants)


def options_of(w):
    """IP options: good and bad."""
    yield from (b'\x01' * 40, b'\0' * 40, b'\x83\x07\x04' + w.own + b'\0', b'\x89\x07\x04' + w.own + b'\0', b'\x07\x27\x04' + b'\0' * 37,
                b'\x44\x00\x00\x00', b'\x44\x01\x00\x00', b'\x01\x01\x01\x07', b'\x44\x29\x05\x00', b'\x94\x04\0\0', b'\xff\xff\xff\xff')
    for _ in range(10):
        yield bytes(w.rng.getrandbits(8) for _ in range(4 * w.rng.randint(1, 10)))


def attack_ip_options(w):
    n = w.sent
    for _ in w.for_a_while():
        for o in options_of(w):
            w.as_own(tcp(w.own, w.stack, 998, w.port, 1, 0, SYN), options=o)
            w.as_own(icmp(8, 0, b'\0\1\0\1', b'ping'), ICMP, options=o)
            w.as_own(struct.pack('!HHHH', 1, 9, 8, 0), UDP, options=o)
    w.forget(998, 1, 2)
    return '%d datagrams' % (w.sent - n)


def attack_fragments(w):
    """Teardrops, overlaps, two ends, holes, more than 64 KiB, one byte at a time, and floods of first and of last pieces."""
    n = w.sent
    seg = tcp(w.own, w.stack, 997, w.port, 1, 0, SYN, payload=b'f' * 1180)
    for _ in w.for_a_while():
        ident = w.rng.getrandbits(16)

        def piece(off, data, more, i=ident, proto=TCP):
            w.as_own(data, proto, ident=i, frag=(0x2000 if more else 0) | off // 8)

        piece(0, seg[:800], True)
        piece(400, seg[400:], False)
        piece(0, seg[:24], True, ident + 1 & 0xffff)
        piece(8, b'x' * 16, True, ident + 1 & 0xffff)
        piece(24, b'x' * 4, False, ident + 2 & 0xffff)
        piece(0, b'x' * 32, True, ident + 2 & 0xffff)
        piece(800, b'a' * 8, False, ident + 3 & 0xffff)
        piece(1600, b'b' * 8, False, ident + 3 & 0xffff)
        piece(65528, b'z' * 1000, False, ident + 4 & 0xffff)
        piece(65528, b'z' * 7, False, ident + 4 & 0xffff, ICMP)
        piece(0, b'', True, ident + 5 & 0xffff)
        piece(0, b'x' * 13, True, ident + 5 & 0xffff)
        for off in range(0, 400, 8):
            piece(off, b'8' * 8, True, ident + 6 & 0xffff, UDP)
        for i in range(100):
            piece(w.rng.choice((0, 8, 80, 64000)), b'q' * 64, w.rng.random() < .5, w.rng.getrandbits(16), w.rng.choice((ICMP, TCP, UDP)))
    return '%d fragments' % (w.sent - n)


def attack_tcp_options(w):
    """SYNs and segments with every flag and mad options, to the open port, a closed one and port 0."""
    n = w.sent
    mad = (b'\2\0', b'\2\1', b'\2\2', b'\2\3\1', b'\2\4\0\0', b'\2\4\0\1', b'\2\4\xff\xff', b'\3\3\xff', b'\3\3\x0e', b'\3\2', b'\4\3\0', b'\5\2',
           b'\5\3\0', b'\5\n' + b'\xff' * 8, b'\5\x22' + b'\0' * 32, b'\x08\x0a' + b'\xff' * 8, b'\x08\0', b'\x08\x0b' + b'\0' * 9,
           b'\x1d\x12' + b'\0' * 16, b'\x22\x02', b'\xfe\x04\xf9\x89', b'\0' * 40, b'\1' * 40, b'\x99\x28' + b'x' * 36)
    for _ in w.for_a_while():
        for flags in range(64):
            port = w.rng.choice((w.port, w.port, 9, 0))
            o = w.rng.choice(mad) + w.rng.choice(mad)
            seq = 5 if flags & SYN else w.rng.getrandbits(32)
            w.as_own(tcp(w.own, w.stack, 2000 + flags, port, seq, w.rng.getrandbits(32), flags, 1000, b'tt', o[:40], urg=3))
            if w.sent % 8 == 0:
                w.as_own(tcp(w.own, w.stack, 2000 + flags, w.port, 5, 0, SYN, options=w.rng.choice(mad)))
    w.forget(2000, 64, 6)
    return '%d segments' % (w.sent - n)


# --- The misbehaving peer ----------------------------------------------------------------------------------------------

def attack_half_open(w):
    """Thousands of SYNs whose SYN-ACKs nobody answers, then RSTs for them."""
    for i in range(3000):
        w.as_own(tcp(w.own, w.stack, 10000 + i, w.port, 1000, 0, SYN, options=b'\2\4\5\xb4'))
    w.forget(10000, 3000, 1001)
    return '3000 connections half open'


def attack_sockstress(w):
    """Established, a request, then a window of nothing; others say nothing at all, or one byte now and then (slowloris)."""
    peers = opened(w, 20000, 900)
    live = [p for p in peers.values() if p.state == 'ESTABLISHED']
    assert len(live) > 800, 'only %d of 900 could connect' % len(live)
    for i, p in enumerate(live):
        if i % 3 == 0:
            p.wnd = 0
            p.request('64K')
        elif i % 3 == 1:
            p.send(ACK | PSH, b'G')
            p.seq += 1
    for p, s in mine(w, peers, w.seconds):
        if s.flags & RST == 0 and p.wnd == 0:
            p.send(ACK, wnd=0)
    for p in live:
        if p.wnd == 0:
            p.ack = p.last.seq if p.last.payload else p.ack
    for i in range(3 * len(live)):
        live[i % len(live)].reset()
        if i % 100 == 0:
            time.sleep(0.001)
    return '%d connections that want nothing' % len(live)


def attack_window(w):
    """A window that shrinks below what is in flight, to nothing, to one byte, and opens at last: the bytes are right."""
    sizes = [100, 30000, 0, 1, 7, 0, 2000, 0, 1]

    def reply(p, s, fresh):
        p.wnd = sizes.pop() if sizes and len(p.got) > 20000 else 65535
        if p.wnd == 0:
            p.send(ACK)
            p.wnd = 5000
        return b''

    whole, size = fetched(w, w.rng.randint(30000, 31000), '64K', w.sha['64K'], reply=reply)
    assert whole, 'only %d bytes' % size
    return '%d bytes through a window that shrinks' % size


def attack_mss(w):
    """An MSS of nothing and of one."""
    done = []
    for mss in (0, 1, 40, 65535):
        whole, size = fetched(w, w.rng.randint(31000, 32000), '64K', w.sha['64K'], options=struct.pack('!BBH', 2, 4, mss))
        assert whole, 'MSS %d: only %d bytes' % (mss, size)
        done.append(mss)
    return 'MSS %s' % done


def attack_sack(w):
    """A peer that SACKs what it has, what it has not, what was never sent, and takes it all back."""
    def reply(p, s, fresh):
        a = p.ack
        blocks = [(a + 100, a + 200), (a + 1, a + 65000), (a - 1000, a + 10), (a + 50, a + 40), (a + 1460, a + 2920)]
        w.rng.shuffle(blocks)
        o = b''.join(struct.pack('!II', x & 0xffffffff, y & 0xffffffff) for x, y in blocks[:w.rng.randint(0, 3)])
        return struct.pack('!BBBB', 1, 1, 5, 2 + len(o)) + o if o else b''

    whole, size = fetched(w, w.rng.randint(32000, 33000), '64K', w.sha['64K'], options=b'\2\4\5\xb4\4\2', reply=reply)
    return '%d bytes to a liar, %s' % (size, 'all' if whole else 'not all, as it said that it had them')


def attack_stamps(w):
    """Timestamps that stand still, and echoes that were never sent."""
    def reply(p, s, fresh):
        return struct.pack('!BBBBII', 1, 1, 8, 10, 1000, w.rng.choice((0, 1, 0xffffffff, w.rng.getrandbits(32))))

    whole, size = fetched(w, w.rng.randint(33000, 34000), '64K', w.sha['64K'], options=b'\2\4\5\xb4\4\2\x08\x0a' + struct.pack('!II', 1000, 0),
                          reply=reply)
    assert whole, 'only %d bytes' % size
    return '%d bytes by mad clocks' % size


def attack_urgent(w):
    """Urgent pointers everywhere; the request is read all the same."""
    p = next(iter(opened(w, w.rng.randint(34000, 35000), 1).values()))
    for c in b'GET /1B HTTP/1.0\r\n\r\n':
        p.send(ACK | URG, bytes((c,)), urg=w.rng.choice((0, 1, 100, 65535)))
        p.seq += 1
    for _, s in mine(w, {(p.src, p.sport): p}, 3):
        if p.take(s):
            p.send(ACK)
        if p.state != 'ESTABLISHED':
            break
    ok = len(p.body()) == 1
    p.send(FIN | ACK) if ok else p.reset()
    assert ok, 'no answer to an urgent request'
    return 'one request, all urgent'


def attack_optimistic(w):
    """It acknowledges what is still to come, and each byte on its own."""
    p = next(iter(opened(w, w.rng.randint(35000, 36000), 1).values()))
    p.request('64K')
    bad = 0
    for _, s in mine(w, {(p.src, p.sport): p}, w.seconds):
        if p.take(s) and s.payload:
            p.send(ACK, ack=p.ack + 100000 & 0xffffffff)
            bad += 1
            for k in range(0, len(s.payload), 50):
                p.send(ACK, ack=s.seq + k & 0xffffffff)
            p.send(ACK)
        if p.state != 'ESTABLISHED':
            break
    p.reset() if p.state == 'ESTABLISHED' else p.send(FIN | ACK)
    assert p.state != 'RESET', 'reset'
    return '%d ACKs of the future' % bad


ATTACKS = {name[7:]: f for name, f in list(globals().items()) if name.startswith('attack_')}


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('interface', nargs='?')
    a.add_argument('attacks', nargs='*')
    a.add_argument('--stack', default='10.9.0.1')
    a.add_argument('--victim', default='10.9.0.2')
    a.add_argument('--port', type=int, default=80)
    a.add_argument('--seconds', type=float, default=0.3, help='of each flood')
    a.add_argument('--seed', type=int, default=1)
    a.add_argument('--www', help='the folder that the server serves')
    a.add_argument('--list', action='store_true')
    args = a.parse_args()
    if args.list or args.interface is None:
        print('\n'.join(ATTACKS))
        return 0
    w = Wire(args)
    w.sha = {}
    for name in os.listdir(args.www) if args.www else ():
        with open(os.path.join(args.www, name), 'rb') as f:
            w.sha[name] = hashlib.sha256(f.read()).hexdigest()
    failed = 0
    for name in args.attacks or ATTACKS:
        begun = time.monotonic()
        try:
            said = ATTACKS[name](w)
        except AssertionError as e:
            said = 'WRONG: %s' % e
            failed += 1
        print('%s: %s (%.1f s)' % (name, said, time.monotonic() - begun), flush=True)
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
