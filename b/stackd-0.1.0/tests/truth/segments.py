# SPDX-License-Identifier: BSD-3-Clause
"""From frames to TCP segments: link headers, VLAN tags, IPv4 and IPv6 with fragments, checksums.

What does not come out of here does not exist for the model, neither as a packet nor as payload:

  - frames whose captured octets do not hold the whole IP packet (cut short), and what is not TCP;
  - IPv4 with a bad header checksum, a bad length or version; TCP with a bad checksum (0 is not special), with a data offset below 5
    or beyond the segment;
  - fragments that never become a whole datagram.

Octets after the IP packet (Ethernet padding) are cut off.  Up to two VLAN tags (0x8100, 0x88a8, 0x9100) are stripped, and their
numbers tell no flows apart.  TCP options are read up to the first one with a length of 0 or 1 or that runs over the end; the
rest of the options is ignored and the segment is good, since that is what receivers do.

Fragments: the first version of every octet wins, and the first end that was told; a datagram is complete when its octets are.
It counts as one packet, at the time of the piece that completed it.  Pieces wait for 30 s from the first.  With
overlap='drop' two pieces that overlap, but for exact repetitions, condemn the datagram instead (RFC 5722); for IPv6 this is
always so.
"""
import struct
import sys
from array import array

import capture

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
TCP = 6
VLAN = (0x8100, 0x88a8, 0x9100)
FRAG_WAIT_NS = 30 * 10**9


class Segment:
    """One TCP segment that is good by itself.  src and dst are (IP address as bytes, port); shift is None without the option."""
    __slots__ = ('ts', 'number', 'src', 'dst', 'seq', 'ack', 'flags', 'window', 'shift', 'text')

    def __init__(self, **fields):
        for name, value in fields.items():
            setattr(self, name, value)


def checksum(data):
    """RFC 1071; 0 over data that holds its right checksum."""
    if len(data) % 2:
        data += b'\0'
    words = array('H', data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    if sys.byteorder == 'little':
        total = (total & 0xff) << 8 | total >> 8
    return ~total & 0xffff


def pseudo_header(src, dst, size):
    if len(src) == 4:
        return src + dst + struct.pack('!BBH', 0, TCP, size)
    return src + dst + struct.pack('!II', size, TCP)


def read(path, overlap='first'):
    """The good TCP segments of a capture, in its order.  number counts frames from 1, as tshark does."""
    fragments = Fragments(overlap)
    for number, (ts, link, frame) in enumerate(capture.read(path), 1):
        segment = _from_ip(_network(link, frame), fragments, ts)
        if segment:
            segment.ts, segment.number = ts, number
            yield segment


def _network(link, frame):
    """The octets from the IP header on, or none."""
    if link == capture.ETHERNET:
        pos, kind = 14, frame[12:14]
    elif link == capture.COOKED:
        pos, kind = 16, frame[14:16]
    elif link == capture.COOKED2:
        pos, kind = 20, frame[0:2]
    elif link in capture.NULL:
        return frame[4:]
    elif link in capture.RAW:
        return frame
    else:
        return b''
    for _ in range(2):
        if len(kind) == 2 and struct.unpack('!H', kind)[0] in VLAN:
            kind, pos = frame[pos + 2:pos + 4], pos + 4
    version = {b'\x08\x00': 4, b'\x86\xdd': 6}.get(kind)
    packet = frame[pos:]
    return packet if packet and packet[0] >> 4 == version else b''


def _from_ip(packet, fragments, ts):
    if not packet:
        return None
    if packet[0] >> 4 == 4:
        return _from_ip4(packet, fragments, ts)
    if packet[0] >> 4 == 6:
        return _from_ip6(packet, fragments, ts)
    return None


def _from_ip4(packet, fragments, ts):
    if len(packet) < 20:
        return None
    header, total = (packet[0] & 15) * 4, struct.unpack_from('!H', packet, 2)[0]
    if header < 20 or total < header or len(packet) < total or checksum(packet[:header]) != 0:
        return None
    ident, offset = struct.unpack_from('!HH', packet, 4)
    protocol, src, dst, body = packet[9], packet[12:16], packet[16:20], packet[header:total]
    if offset & 0x3fff:
        body = fragments.add((src, dst, protocol, ident), (offset & 0x1fff) * 8, bool(offset & 0x2000), body, ts)
    return _from_tcp(src, dst, body) if body and protocol == TCP else None


def _from_ip6(packet, fragments, ts):
    if len(packet) < 40 or len(packet) < 40 + struct.unpack_from('!H', packet, 4)[0]:
        return None
    kind, src, dst = packet[6], packet[8:24], packet[24:40]
    body = packet[40:40 + struct.unpack_from('!H', packet, 4)[0]]
    for _ in range(8):
        if kind == TCP:
            return _from_tcp(src, dst, body)
        if kind not in (0, 43, 44, 60) or len(body) < 8:
            return None
        if kind != 44:
            kind, body = body[0], body[8 + body[1] * 8:]
            continue
        offset, ident = struct.unpack_from('!HI', body, 2)
        first, kind, body = body[0], body[0], body[8:]
        if offset & 0xfff9:
            body = fragments.add((src, dst, first, ident), offset & 0xfff8, bool(offset & 1), body, ts)
            if not body:
                return None
    return None


def _from_tcp(src, dst, data):
    if len(data) < 20 or checksum(pseudo_header(src, dst, len(data)) + data) != 0:
        return None
    sport, dport, seq, ack, offset, flags, window = struct.unpack_from('!HHIIBBH', data)
    offset = (offset >> 4) * 4
    if offset < 20 or offset > len(data):
        return None
    return Segment(src=(src, sport), dst=(dst, dport), seq=seq, ack=ack, flags=flags, window=window,
                   shift=_window_scale(data[20:offset]), text=data[offset:])


def _window_scale(options):
    """RFC 7323: shifts above 14 mean 14."""
    pos, shift = 0, None
    while pos < len(options) and options[pos] != 0:
        if options[pos] == 1:
            pos += 1
            continue
        if pos + 1 >= len(options) or options[pos + 1] < 2 or pos + options[pos + 1] > len(options):
            break
        if options[pos] == 3 and options[pos + 1] == 3:
            shift = min(options[pos + 2], 14)
        pos += options[pos + 1]
    return shift


class Fragments:
    """Datagrams in pieces."""

    def __init__(self, overlap):
        self.overlap = overlap
        self.waiting = {}       # key: [since, {octet: value}, size or None, pieces, condemned]

    def add(self, key, offset, more, body, ts):
        """The datagram, when this piece completes it."""
        if offset + len(body) > 65535 or not body or (more and len(body) % 8):
            return None
        entry = self.waiting.get(key)
        if entry is None or ts - entry[0] > FRAG_WAIT_NS:
            entry = self.waiting[key] = [ts, {}, None, set(), False]
        _, octets, _, pieces, _ = entry
        strict = self.overlap == 'drop' or len(key[0]) == 16
        if strict and (offset, len(body)) not in pieces and any(i in octets for i in range(offset, offset + len(body))):
            entry[4] = True
        pieces.add((offset, len(body)))
        for i, value in enumerate(body, offset):
            octets.setdefault(i, value)
        if not more and entry[2] is None:
            entry[2] = offset + len(body)
        size = entry[2]
        if entry[4] or size is None or any(i not in octets for i in range(size)):
            return None
        del self.waiting[key]
        return bytes(octets[i] for i in range(size))
