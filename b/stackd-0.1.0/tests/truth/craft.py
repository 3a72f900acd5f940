# SPDX-License-Identifier: BSD-3-Clause
"""Packets by hand, and the answer beside them.

A scene is a function that gets a Wire, plays Talks over it, and tells by Talk.expect() what must be found in the capture.  What
is expected is stated by the scene, which knows what it sent; no reassembly is asked.
"""
import hashlib
import ipaddress
import random
import struct

from segments import FIN, SYN, RST, PSH, ACK, URG, checksum, pseudo_header

FLAGS = {'F': FIN, 'S': SYN, 'R': RST, 'P': PSH, 'A': ACK, 'U': URG}
TCP, UDP, ICMP = 6, 17, 1
CLIENT_MAC, SERVER_MAC = b'\x02\0\0\0\0\x0a', b'\x02\0\0\0\0\x0b'


def text(size, seed):
    """Octets that look like nothing else."""
    return random.Random('%s %d' % (seed, size)).randbytes(size)


def first_wins(*pieces):
    """The octets of (offset, text) pieces, in this order; holes are left out."""
    octets = {}
    for at, octs in pieces:
        for i, value in enumerate(octs, at):
            octets.setdefault(i, value)
    return bytes(octets[i] for i in sorted(octets))


class Wire:
    """The frames of one scene in their order, and what must be found.  net sets the addresses of a scene apart."""

    def __init__(self, net=1):
        self.net = net
        self.frames = []        # (ns, bytes) or (ns, bytes, length on the wire)
        self.expected = []
        self.now_ns = 1700000000 * 10**9
        self.talks = 0

    def put(self, frame, wire_len=None):
        self.now_ns += 1000000
        self.frames.append((self.now_ns, frame) + ((wire_len,) if wire_len else ()))

    def wait(self, seconds):
        self.now_ns += int(seconds * 10**9)

    def talk(self, **options):
        """A connection between addresses that are new in this scene."""
        self.talks += 1
        return Talk(self, self.talks, **options)


def ethernet(from_client, packet, tags=()):
    kind = 0x86dd if packet[0] >> 4 == 6 else 0x0800
    head = SERVER_MAC + CLIENT_MAC if from_client else CLIENT_MAC + SERVER_MAC
    for tpid, vid in tags:
        head += struct.pack('!HH', tpid, vid)
    frame = head + struct.pack('!H', kind) + packet
    return frame + bytes(max(60 - len(frame), 0))


def ip4(src, dst, protocol, body, ident=0, offset=0, more=False, bad=False, options=b''):
    header = struct.pack('!BBHHHBBH', 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), ident,
                         offset // 8 | (0x2000 if more else 0), 64, protocol, 0) + src + dst + options
    return header[:10] + struct.pack('!H', checksum(header) ^ (0x0101 if bad else 0)) + header[12:] + body


def ip6(src, dst, protocol, body):
    return struct.pack('!IHBB', 6 << 28, len(body), protocol, 64) + src + dst + body


def tcp(src, dst, seq, ack, flags, window, octets, options=b'', urgent=0, doff=None, bad=False):
    """src and dst: (address, port)."""
    options += b'\0' * (-len(options) % 4)
    doff = (20 + len(options)) // 4 if doff is None else doff
    head = struct.pack('!HHIIBBHHH', src[1], dst[1], seq % 2**32, ack % 2**32, doff << 4, flags, window, 0, urgent)
    data = head + options + octets
    total = checksum(pseudo_header(src[0], dst[0], len(data)) + data) ^ (0x5a5a if bad else 0)
    return data[:16] + struct.pack('!H', total) + data[18:]


def window_scale(shift):
    return bytes((1, 3, 3, shift))


class Talk:
    """One connection.  Offsets count from the octet after the SYN, which is -1, as everywhere in this folder.

    c() and s() send a segment of the client or the server.  What is not said continues: at goes on where that side has
    been, ack acknowledges all that the other side has sent so far.
    """

    def __init__(self, wire, number, isn=(1000, 5000000), port=80, version=4, tags=(), shift=(7, 7), number_of_port=None):
        self.wire, self.isn, self.tags, self.shift, self.version = wire, list(isn), tags, shift, version
        sport = number_of_port or 20000 + number
        if version == 4:
            hosts = bytes((10, wire.net // 256, wire.net % 256, 1)), bytes((10, wire.net // 256, wire.net % 256, 2))
        else:
            hosts = [ipaddress.ip_address('2001:db8:%x::%d' % (wire.net, host)).packed for host in (1, 2)]
        self.ends = ((hosts[0], sport), (hosts[1], port))
        self.restart()

    def restart(self, isn=None):
        """The same addresses again."""
        if isn:
            self.isn = list(isn)
        self.next = [-1, -1]
        self.pkts = [0, 0]

    # --- sending ---

    def segment(self, side, flags, octets=b'', at=None, ack=None, window=65535, urgent=0, options=b'', bad=False, doff=None):
        """The octets of a TCP segment, counted as sent."""
        bits = sum(FLAGS[f] for f in flags)
        start = self.next[side] if at is None else at
        stop = start + len(octets) + ('S' in flags) + ('F' in flags)
        if 'R' not in flags:
            self.next[side] = max(self.next[side], stop)
        acked = self.next[1 - side] if ack is None else ack
        number = self.isn[1 - side] + 1 + acked if bits & ACK else 0
        if not bad:
            self.pkts[side] += 1
        return tcp(self.ends[side], self.ends[1 - side], self.isn[side] + 1 + start, number, bits, window, octets, options,
                   urgent, doff, bad)

    def packet(self, side, segment, **ip):
        src, dst = self.ends[side][0], self.ends[1 - side][0]
        return ip4(src, dst, TCP, segment, **ip) if self.version == 4 else ip6(src, dst, TCP, segment)

    def put(self, side, packet, wire_len=None):
        self.wire.put(ethernet(side == 0, packet, self.tags), wire_len)

    def send(self, side, flags, octets=b'', **how):
        if 'S' in flags and 'options' not in how and self.shift[side] is not None:
            how['options'] = b'\x02\x04\x05\xb4' + window_scale(self.shift[side])
        self.put(side, self.packet(side, self.segment(side, flags, octets, **how)))

    def c(self, flags='A', octets=b'', **how):
        self.send(0, flags, octets, **how)

    def s(self, flags='A', octets=b'', **how):
        self.send(1, flags, octets, **how)

    def lose(self, side, size):
        """These octets are sent, but never come by here."""
        self.next[side] += size

    def uncount(self, side):
        """The last packet of that side will not be found."""
        self.pkts[side] -= 1

    # --- whole passages ---

    def open(self):
        self.c('S')
        self.s('SA')
        self.c()

    def both(self, up, down):
        """Text each way, acknowledged."""
        self.c('PA', up)
        self.s()
        self.s('PA', down)
        self.c()

    def close(self):
        self.c('FA')
        self.s('FA')
        self.c()

    # --- the answer ---

    def expect(self, end, c2s=b'', s2c=b'', missed=(0, 0), rexmit=(0, 0), ooo=(0, 0), turned=False):
        """turned: the server is who this Talk calls the client.  Counts are given (c's, s's)."""
        order = (1, 0) if turned else (0, 1)
        self.wire.expected.append({
            'client': self.name(order[0]), 'server': self.name(order[1]), 'end': end,
            **{key: {'pkts': self.pkts[i], 'bytes': len((c2s, s2c)[i]), 'sha256': hashlib.sha256((c2s, s2c)[i]).hexdigest(),
                     'missed': missed[i], 'rexmit': rexmit[i], 'ooo': ooo[i]} for key, i in zip(('c2s', 's2c'), order)}})

    def name(self, side):
        return ('%s:%d' if self.version == 4 else '[%s]:%d') % (ipaddress.ip_address(self.ends[side][0]), self.ends[side][1])
