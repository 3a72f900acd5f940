# SPDX-License-Identifier: BSD-3-Clause
"""Capture files as lists of frames: pcap and pcapng are read, pcap is written.

A frame is (time in nanoseconds, link type, bytes captured).  What cannot be parsed ends the file, as it does for every
other reader.
"""
import struct

ETHERNET = 1
RAW = (12, 14, 101)     # no link header; 12 and 14 on the BSDs
NULL = (0, 108)
COOKED, COOKED2 = 113, 276
MAGICS = {0xa1b2c3d4: 1000, 0xa1b23c4d: 1}      # nanoseconds per fraction


def read(path):
    """All frames of a file, in its order."""
    with open(path, 'rb') as f:
        data = f.read()
    if data[:4] == b'\x0a\x0d\x0d\x0a':
        yield from _read_ng(data)
    else:
        yield from _read_pcap(data)


def _read_pcap(data):
    for order in '<>':
        if len(data) >= 24 and struct.unpack_from(order + 'I', data)[0] in MAGICS:
            break
    else:
        raise ValueError('neither pcap nor pcapng')
    unit = MAGICS[struct.unpack_from(order + 'I', data)[0]]
    link = struct.unpack_from(order + 'I', data, 20)[0] & 0x0fffffff
    pos = 24
    while pos + 16 <= len(data):
        sec, frac, caplen, _ = struct.unpack_from(order + '4I', data, pos)
        pos += 16
        if pos + caplen > len(data):
            return
        yield sec * 1000000000 + frac * unit, link, data[pos:pos + caplen]
        pos += caplen


def _read_ng(data):
    order, links, units, pos = '<', [], [], 0
    while pos + 12 <= len(data):
        kind = struct.unpack_from(order + 'I', data, pos)[0]
        if kind == 0x0a0d0d0a:      # section: may change the byte order
            order = '<' if data[pos + 8:pos + 12] == b'\x4d\x3c\x2b\x1a' else '>'
            links, units = [], []
        size = struct.unpack_from(order + 'I', data, pos + 4)[0]
        if size < 12 or pos + size > len(data):
            return
        body = data[pos + 8:pos + size - 4]
        pos += size
        if kind == 1:               # interface
            links.append(struct.unpack_from(order + 'H', body)[0])
            units.append(_ng_unit(order, body[8:]))
        elif kind == 6:             # enhanced packet
            port, high, low, caplen, _ = struct.unpack_from(order + '5I', body)
            yield int((high << 32 | low) * units[port]), links[port], body[20:20 + caplen]
        elif kind == 3:             # simple packet: no time
            orig = struct.unpack_from(order + 'I', body)[0]
            yield 0, links[0], body[4:4 + orig]


def _ng_unit(order, options):
    """Nanoseconds per tick of an interface: option 9, else microseconds."""
    pos = 0
    while pos + 4 <= len(options):
        code, size = struct.unpack_from(order + '2H', options, pos)
        if code == 0:
            break
        if code == 9 and size == 1:
            value = options[pos + 4]
            return 1e9 / (2 ** (value & 127) if value & 128 else 10 ** value)
        pos += 4 + (size + 3) // 4 * 4
    return 1000


def write(path, frames):
    """frames: (nanoseconds, bytes) or (nanoseconds, bytes, length on the wire), Ethernet.  Nanosecond pcap."""
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b23c4d, 2, 4, 0, 0, 262144, ETHERNET))
        for ts, frame, *wire in frames:
            f.write(struct.pack('<4I', ts // 1000000000, ts % 1000000000, len(frame), wire[0] if wire else len(frame)))
            f.write(frame)
