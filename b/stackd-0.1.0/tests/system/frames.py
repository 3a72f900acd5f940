# SPDX-License-Identifier: BSD-3-Clause
"""frames.py FROM_NETNS FROM_IF TO_NETNS TO_IF COUNT [strict]: whether frames of all kinds come out of a bridge as they went in.

Each of COUNT rounds sends one frame of each kind; a number in it says when it was sent.  Those of one kind must come in order; with
`strict` all of them must.  Prints what is wrong; the exit status is 1 then.
"""
import ctypes
import os
import select
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_AUXDATA, ETH_P_ALL = 263, 8, 3
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
WAIT_S = 10
MARK = b'frames.py'


def checksum(data):
    total = sum(struct.unpack('!%dH' % ((len(data) + 1) // 2), data + b'\0' * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(proto, body, flags=0, ident=7):
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(body), ident, flags, 64, proto, 0, b'\x0a\x09\x00\x03', b'\x0a\x09\x00\x02')
    return b'\x08\0' + head[:10] + struct.pack('!H', checksum(head)) + head[12:] + body


def ip6(proto, body):
    return b'\x86\xdd' + struct.pack('!IHBB', 6 << 28, len(body), proto, 64) + bytes(range(16)) + bytes(range(16, 32)) + body


def kinds(body):
    """What follows the link addresses."""
    yield 'ARP', b'\x08\x06' + b'\0\1\x08\0\6\4\0\2' + body
    yield 'spanning tree (LLC)', struct.pack('!H', 3 + len(body)) + b'\x42\x42\x03' + body
    yield 'LLDP', b'\x88\xcc' + body
    yield 'unknown type', b'\xbe\xef' + body
    yield 'IPv4, an unknown protocol', ip4(253, body)
    yield 'IPv4, an echo request', ip4(1, b'\x08\0\0\0\0\1\0\2' + body)
    yield 'IPv4, UDP without a checksum', ip4(17, struct.pack('!HHHH', 1000, 2000, 8 + len(body), 0) + body)
    yield 'IPv4, TCP with a wrong checksum', ip4(6, struct.pack('!HHIIBBHHH', 1000, 2000, 1, 2, 0x50, 16, 99, 0x1234, 0) + body)
    yield 'IPv4, a broken header', b'\x08\0\x4f\xff\xff\xff' + bytes(24) + body
    yield 'IPv6, UDP', ip6(17, struct.pack('!HHHH', 1000, 2000, 8 + len(body), 0x1234) + body)
    yield 'IPv6, a header chain', ip6(0, bytes((60, 0)) + bytes(6) + bytes((59, 0)) + bytes(6) + body)
    yield 'a VLAN tag', b'\x81\0\x20\x05' + ip4(253, body)
    yield 'a VLAN tag, not IP', b'\x81\0\x60\x07\xbe\xef' + body
    yield 'the longest', b'\xbe\xef' + body + bytes(1500 - len(body))


def bound(netns, interface):
    """A packet socket in another network namespace."""
    here = os.open('/proc/self/ns/net', os.O_RDONLY)
    there = os.open('/run/netns/' + netns, os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(there, 0) != 0:
        raise OSError(ctypes.get_errno(), 'setns')
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((interface, 0))
    libc.setns(here, 0)
    os.close(here)
    os.close(there)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    return s


def received(s):
    """The next frame, with the tag that the kernel has taken out of it; None for one that leaves here."""
    data, extra, _, addr = s.recvmsg(65536, 256)
    if addr[2] == socket.PACKET_OUTGOING:
        return None
    for level, kind, value in extra:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack('IIIHHHH', value)
            if status & TP_STATUS_VLAN_VALID:
                tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                data = data[:12] + struct.pack('!HH', tpid, tci) + data[12:]
    return data


def send(sender, rounds):
    """Returns what was sent: (kind, frame) in order."""
    sent = []
    for turn in range(rounds):
        for number, (name, rest) in enumerate(kinds(MARK + struct.pack('!I', turn) + bytes(60))):
            frame = b'\x02\0\0\0\0\x77' + b'\x02\0\0\0\0' + bytes((number,)) + rest
            sent.append((name, frame))
            sender.send(frame)
        time.sleep(0.001)   # no faster than a socket's buffer
    return sent


def collect(receiver, count):
    frames, end = [], time.monotonic() + WAIT_S
    while len(frames) < count:
        ready, _, _ = select.select([receiver], [], [], max(0, end - time.monotonic()))
        if not ready:
            break
        frame = received(receiver)
        if frame is not None and MARK in frame:
            frames.append(frame)
    return frames


def main():
    sender, receiver = bound(sys.argv[1], sys.argv[2]), bound(sys.argv[3], sys.argv[4])
    strict = sys.argv[6:] == ['strict']
    sent = send(sender, int(sys.argv[5]))
    came = collect(receiver, len(sent))
    wrong = 0
    kind_of = {frame: name for name, frame in sent}
    for frame in came:
        if frame not in kind_of:
            print('nobody sent ' + frame.hex())
            wrong += 1
    for kind in (['all'] if strict else sorted(set(kind_of.values()))):
        want = [frame for name, frame in sent if kind in ('all', name)]
        got = [frame for frame in came if kind in ('all', kind_of.get(frame))]
        if got != want:
            print('%s: %d frames sent, %d came, %s' % (kind, len(want), len(got), 'some are missing' if len(got) < len(want) else
                                                       'not in order'))
            wrong += 1
    print('%d frames sent, %d came' % (len(sent), len(came)))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
