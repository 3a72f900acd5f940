# SPDX-License-Identifier: BSD-3-Clause
"""Packets as bytes, and the wire they go over: a packet socket on the far end of stackd's link.

The addresses we speak from belong to no kernel: we answer ARP and neighbour solicitations for them ourselves.  Whether
stackd says something or keeps silent is seen without waiting: Wire.settle() sends two echo requests, one after the
other's answer; what stackd had to say at once is on the wire before the second answer.
"""
import select
import socket
import struct
import time

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
ICMP, TCP, ICMP6 = 1, 6, 58
OWN_MAC = b'\x02\x00\x00\x00\x00\x67'
ETH_P_ALL = 3
MASK = 0xffffffff
LIMIT_S = 5  # for what must come


class Differs(AssertionError):
    """stackd did something else than expected."""


def checksum(data):
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def pseudo(src, dst, proto, length):
    if len(src) == 4:
        return src + dst + struct.pack('!HH', proto, length)
    return src + dst + struct.pack('!IHH', length, 0, proto)


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ':' in text else socket.AF_INET, text)


def ip4(src, dst, proto, payload, ttl=64, tos=0, ident=0, frag=0x4000, options=b'', csum=None, length=None, version=4, ihl=None):
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack('!BBHHHBBH', version << 4 | ihl, tos, length, ident, frag, ttl, proto, 0) + src + dst + options
    csum = checksum(head) if csum is None else csum
    return head[:10] + struct.pack('!H', csum) + head[12:] + payload


def ip6(src, dst, proto, payload, ttl=64, tos=0, exts=(), length=None, **_):
    """exts: pairs of an extension header's number and its bytes, of which the first is filled in here."""
    for kind, body in reversed(exts):
        payload = bytes([proto]) + body[1:] + payload
        proto = kind
    return struct.pack('!IHBB', 6 << 28 | tos << 20, len(payload) if length is None else length, proto, ttl) + src + dst + payload


def packet(src, dst, proto, payload, **more):
    return (ip4 if len(src) == 4 else ip6)(src, dst, proto, payload, **more)


def tcp(src, dst, sport, dport, seq, ack, flags, wnd=65535, payload=b'', options=b'', urg=0, reserved=0, doff=None, csum=None, pad=b'\1'):
    options += pad * (-len(options) % 4)
    doff = 5 + len(options) // 4 if doff is None else doff
    head = struct.pack('!HHIIBBHHH', sport, dport, seq & MASK, ack & MASK, doff << 4 | reserved, flags, wnd, 0, urg) + options
    good = checksum(pseudo(src, dst, TCP, len(head) + len(payload)) + head + payload)
    return head[:16] + struct.pack('!H', good if csum is None else good ^ csum) + head[18:] + payload


def icmp(kind, code, rest, payload):
    head = struct.pack('!BBH', kind, code, 0) + rest + payload
    return head[:2] + struct.pack('!H', checksum(head)) + head[4:]


def icmp6(src, dst, kind, code, rest, payload):
    head = struct.pack('!BBH', kind, code, 0) + rest + payload
    return head[:2] + struct.pack('!H', checksum(pseudo(src, dst, ICMP6, len(head)) + head)) + head[4:]


NAMES = {2: 'mss', 3: 'wscale', 4: 'sackok', 5: 'sack', 8: 'ts'}


class Segment:
    """One TCP segment of stackd's; what no segment of TCP may look like is a Differs."""

    def __init__(self, ip):
        if ip[0] >> 4 == 4:
            ihl = (ip[0] & 15) * 4
            self.src, self.dst, self.tos, self.ttl = ip[12:16], ip[16:20], ip[1], ip[8]
            end = struct.unpack('!H', ip[2:4])[0]
            self.df = bool(ip[6] & 0x40)
            if checksum(ip[:ihl]):
                raise Differs("IPv4's checksum is wrong")
        else:
            ihl, self.src, self.dst = 40, ip[8:24], ip[24:40]
            self.tos, self.ttl, self.df = struct.unpack('!H', ip[:2])[0] >> 4 & 255, ip[7], True
            end = 40 + struct.unpack('!H', ip[4:6])[0]
        self.ip, t = ip[:end], ip[ihl:end]
        if checksum(pseudo(self.src, self.dst, TCP, len(t)) + t):
            raise Differs("TCP's checksum is wrong")
        self.sport, self.dport, self.seq, self.ack, off, self.flags, self.wnd, _, self.urg = struct.unpack('!HHIIBBHHH', t[:20])
        if off & 15:
            raise Differs('reserved bits are set')
        off = (off >> 4) * 4
        self.raw, self.data = t[20:off], t[off:]
        self.order, self.options = [], {}
        self.parse()

    def parse(self):
        i, raw = 0, self.raw
        while i < len(raw):
            if raw[i] == 0:
                if any(raw[i:]):
                    raise Differs('options after the end of options')
                return
            if raw[i] == 1:
                i += 1
                continue
            size = raw[i + 1] if i + 1 < len(raw) else 0
            if size < 2 or i + size > len(raw):
                raise Differs('malformed options ' + raw.hex())
            name, body = NAMES.get(raw[i], str(raw[i])), raw[i + 2:i + size]
            if name in self.options:
                raise Differs('option %s twice' % name)
            self.order.append(name)
            self.options[name] = struct.unpack('!%dI' % (len(body) // 4), body) if name in ('ts', 'sack') else int.from_bytes(body, 'big')
            i += size

    def __len__(self):
        return len(self.data) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def __str__(self):
        marks = ''.join(c for bit, c in zip((FIN, SYN, RST, PSH, ACK, URG, ECE, CWR), 'FSRP.UEW') if self.flags & bit)
        return '%s seq %u ack %u len %u win %u %s' % (marks or '-', self.seq, self.ack, len(self.data), self.wnd, self.options or '')


class Wire:
    def __init__(self, interface, stack4, stack6):
        self.stack = {4: address(stack4), 6: address(stack6)}
        self.own = {4: self.stack[4][:3] + b'\x67', 6: self.stack[6][:15] + b'\x67'}
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.bind((interface, ETH_P_ALL))
        self.mac = b'\xff' * 6
        self.segments = []  # from stackd, not yet asked for
        self.others = []    # (protocol, IP packet): ICMP and the like
        self.echoes = 0
        self.settle(4)
        self.settle(6)

    def send(self, ip, mac=None):
        kind = b'\x08\x00' if ip[0] >> 4 != 6 else b'\x86\xdd'
        self.sock.send((mac or self.mac) + OWN_MAC + kind + ip)

    def tcp(self, fam, *args, src=None, dst=None, ip=None, mac=None, **more):
        src, dst = src or self.own[fam], dst or self.stack[fam]
        self.send(packet(src, dst, TCP, tcp(src, dst, *args, **more), **(ip or {})), mac)

    def take(self, frame):
        """One frame from stackd: answers questions about our link address, keeps the rest."""
        self.mac = frame[6:12]
        kind, ip = frame[12:14], frame[14:]
        if kind == b'\x08\x06':
            if ip[6:8] == b'\0\1' and ip[24:27] == self.own[4][:3] and ip[27] >= 0x60:
                self.sock.send(frame[6:12] + OWN_MAC + kind + ip[:6] + b'\0\2' + OWN_MAC + ip[24:28] + ip[8:18])
        elif kind == b'\x08\x00' and ip[9] == TCP or kind == b'\x86\xdd' and ip[6] == TCP:
            self.segments.append(Segment(ip))
        elif kind == b'\x86\xdd' and ip[6] == ICMP6 and ip[40] == 135:
            target = ip[48:64]
            if target[:15] == self.own[6][:15] and target[15] >= 0x60 and any(ip[8:24]):
                body = icmp6(target, ip[8:24], 136, 0, b'\x60\0\0\0', target + b'\2\1' + OWN_MAC)
                self.send(ip6(target, ip[8:24], ICMP6, body, ttl=255), frame[6:12])
        else:
            self.others.append((ip[9] if kind == b'\x08\x00' else ip[6], ip))

    def pump(self, seconds):
        """Waits so long at most; takes what is there.  False: nothing came."""
        if not select.select([self.sock], [], [], max(seconds, 0))[0]:
            return False
        frame, (_, _, kind, *_) = self.sock.recvfrom(65536)
        if kind != socket.PACKET_OUTGOING and frame[6:12] != OWN_MAC and frame[12:14] in (b'\x08\x00', b'\x08\x06', b'\x86\xdd'):
            self.take(frame)
        return True

    def settle(self, fam=4):
        for _ in range(2):
            self.echo(fam)

    def echo(self, fam):
        self.echoes += 1
        mark = struct.pack('!HH', 0x5e77, self.echoes & 0xffff)
        src, dst = self.own[fam], self.stack[fam]
        body = icmp(8, 0, mark, b'') if fam == 4 else icmp6(src, dst, 128, 0, mark, b'')
        answer = b'\0\0' if fam == 4 else b'\x81\0'
        head = 20 if fam == 4 else 40
        end = time.monotonic() + LIMIT_S
        mac = self.mac
        if mac[0] & 1 and fam == 4:  # who is there?
            self.sock.send(mac + OWN_MAC + b'\x08\x06\0\1\x08\0\x06\x04\0\1' + OWN_MAC + src + b'\0' * 6 + dst)
            while self.mac == mac and time.monotonic() < end:
                self.pump(0.1)
        self.send(packet(src, dst, ICMP if fam == 4 else ICMP6, body))
        while time.monotonic() < end:
            self.pump(end - time.monotonic())
            for i, (_, ip) in enumerate(self.others):
                if ip[head:head + 2] == answer and ip[head + 4:head + 8] == mark:
                    del self.others[i]
                    return
        raise Differs('stackd answers no echo request any more')

    def mine(self, port, peer=None):
        """Takes out the segments for this port of ours."""
        got = [s for s in self.segments if s.dport == port and peer in (None, s.sport)]
        self.segments = [s for s in self.segments if s.dport != port or peer not in (None, s.sport)]
        return got
