# SPDX-License-Identifier: BSD-3-Clause
"""Scenes about what is below TCP: checksums, fragments, tags, broken headers, IPv6, other traffic."""
import struct

from craft import ICMP, TCP, UDP, ethernet, ip4, ip6, text

UP, DOWN = b'upwards', b'downwards'


def bad_checksums(wire):
    """Evil text, FINs and RSTs in packets that every receiver drops, each just before the real thing."""
    talk = wire.talk()
    talk.open()
    for flags in ('PA', 'PFA', 'R', 'S'):
        keep = list(talk.next)
        talk.c(flags, b'evil!!!', at=0, bad=True)
        talk.put(0, talk.packet(0, talk.segment(0, flags, b'evil!!!', at=0), bad=True))
        talk.uncount(0)
        talk.next = keep
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)


def _pieces(talk, segment, size):
    return [(at, segment[at:at + size]) for at in range(0, len(segment), size)], len(segment)


def _put_piece(talk, ident, at, piece, more):
    src, dst = talk.ends[0][0], talk.ends[1][0]
    talk.put(0, ip4(src, dst, TCP, piece, ident=ident, offset=at, more=more))


def _fragmented(talk, first):
    src, dst = talk.ends[0][0], talk.ends[1][0]
    syn = talk.segment(0, 'S', options=b'\x02\x04\x05\xb4\x01\x03\x03\x07')
    _put_piece(talk, first + 1, 0, syn[:16], True)
    _put_piece(talk, first + 1, 16, syn[16:], False)
    talk.s('SA')
    talk.c()
    sent = b''
    for ident, arrange in enumerate((list, lambda p: p[::-1], lambda p: p + p[1:2], lambda p: p[1:2] + p + p[:1]), first + 2):
        octets = text(3000, 'fragments %d' % ident)
        pieces, size = _pieces(talk, talk.segment(0, 'PA', octets), 1480)
        late = arrange(pieces)
        for at, piece in late:
            _put_piece(talk, ident, at, piece, at + len(piece) < size)
        sent += octets
        talk.s()
    both = [_pieces(talk, talk.segment(0, 'PA', text(2000, name)), 1000) for name in ('left', 'right')]
    for (at, left), (_, right) in zip(both[0][0], both[1][0]):
        _put_piece(talk, first + 10, at, left, at + len(left) < both[0][1])
        _put_piece(talk, first + 11, at, right, at + len(right) < both[1][1])
    sent += text(2000, 'left') + text(2000, 'right')
    keep = list(talk.next)
    lost = talk.segment(0, 'PA', b'never whole' * 100)
    talk.uncount(0)
    talk.next = keep
    talk.put(0, ip4(src, dst, TCP, lost[:800], ident=first + 12, more=True))
    talk.put(0, ip4(src, dst, TCP, b'evil' * 4, ident=first + 13, offset=65528))
    talk.s()
    talk.close()
    talk.expect('FIN', sent)


def fragments(wire):
    """In order, backwards, with repetitions, interleaved, with the SYN in pieces; one that never becomes whole.  Several flows, so that
    engines that share them all have some."""
    for number in range(6):
        _fragmented(wire.talk(), number * 100)


def fragments_overlap(wire):
    """Pieces that overlap with other octets: only the first versions make a good checksum.  Receivers differ here."""
    talk = wire.talk()
    talk.open()
    segment = talk.segment(0, 'PA', text(2000, 'overlap'))
    _put_piece(talk, 1, 0, segment[:1200], True)
    _put_piece(talk, 1, 1000, b'X' * 200 + segment[1200:], False)
    talk.s()
    talk.close()
    talk.expect('FIN', text(2000, 'overlap'))


def vlan(wire):
    """One tag and two, of each kind; the two ways of a flow may differ."""
    for up, down in (([(0x8100, 7)], [(0x8100, 7)]), ([(0x88a8, 100), (0x8100, 7)],) * 2, ([(0x9100, 1), (0x8100, 2)],) * 2,
                     ([(0x8100, 5), (0x8100, 6)],) * 2, ([(0x8100, 5)], [])):
        talk = wire.talk()

        def put(side, packet, wire_len=None, tags=(up, down)):
            wire.put(ethernet(side == 0, packet, tags[side]), wire_len)
        talk.put = put
        talk.open()
        talk.both(UP, DOWN)
        talk.close()
        talk.expect('FIN', UP, DOWN)


def _version6(talk, ident):
    src, dst = talk.ends[0][0], talk.ends[1][0]
    talk.open()
    talk.both(UP, DOWN)
    segment = talk.segment(0, 'PA', b'behind headers')
    hop, route = struct.pack('!BB6x', 60, 0), struct.pack('!BBBBBBBB', TCP, 0, 1, 4, 0, 0, 0, 0)
    talk.put(0, ip6(src, dst, 0, hop + route + segment))
    long = text(2000, 'six')
    segment = talk.segment(0, 'PA', long)
    for at in (1000, 0):
        head = struct.pack('!BBHI', TCP, 0, at | (at == 0), ident)
        talk.put(0, ip6(src, dst, 44, head + segment[at:at + 1000 if at == 0 else None]))
    segment = talk.segment(0, 'PA', b'atomic')
    talk.put(0, ip6(src, dst, 44, struct.pack('!BBHI', TCP, 0, 0, 5) + segment))
    keep = list(talk.next)
    talk.c('PA', b'evil', bad=True)
    talk.next = keep
    talk.close()
    talk.expect('FIN', UP + b'behind headers' + long + b'atomic', DOWN)


def version6(wire):
    """IPv6: plain, behind other headers, in fragments, with a bad checksum; several flows."""
    for number in range(6):
        _version6(wire.talk(version=6), 99 + number)


def noise(wire):
    """UDP, ICMP (quoting TCP), ARP, nothing at all, unknown types, GRE around one flow; RSTs of none."""
    talk = wire.talk()
    src, dst = talk.ends[0][0], talk.ends[1][0]
    odd = [ip4(src, dst, UDP, struct.pack('!HHHH', talk.ends[0][1], 80, 12, 0) + b'noise'),
           ip4(dst, src, ICMP, b'\x03\x01\0\0\0\0\0\0' + talk.packet(0, talk.segment(0, 'S'))[:28]),
           ip4(src, dst, 47, b'\0\0\x08\0' + talk.packet(0, talk.segment(0, 'S'))),
           ip4(src, dst, TCP, b''), ip4(src, dst, TCP, b'short'), ip4(src, dst, 255, b'')]
    talk.restart()

    def clutter():
        wire.put(b'\xff' * 6 + src + b'\0\0' + b'\x08\x06' + bytes(46))
        wire.put(b'')
        wire.put(b'\0' * 13)
        wire.put(bytes(12) + b'\x88\xcc' + bytes(50))
        for packet in odd:
            wire.put(ethernet(True, packet))
    clutter()
    talk.open()
    clutter()
    talk.both(UP, DOWN)
    talk.close()
    clutter()
    wire.put(ethernet(True, talk.packet(0, talk.segment(0, 'R', at=5))))
    talk.uncount(0)
    # ... which was the flow's, after all; but here are some that reset nothing
    talk.pkts[0] += 1
    talk.expect('FIN', UP, DOWN)
    stray = wire.talk()
    stray.c('R', at=0)
    stray.s('RA', at=0)
    stray.c('R', at=100)
    stray.expect('RST')


def truncated(wire):
    """The capture holds only the beginning of some frames, or the frame is shorter than IP says."""
    talk = wire.talk()
    talk.open()
    keep = list(talk.next)
    frame = ethernet(True, talk.packet(0, talk.segment(0, 'PA', b'cut short ' * 10)))
    talk.uncount(0)
    talk.next = keep
    for size in (100, 60, 54, 50, 40, 34, 20, 14, 1):
        wire.put(frame[:size], wire_len=len(frame))
        wire.put(frame[:size])
    talk.both(UP, DOWN)
    talk.close()
    talk.expect('FIN', UP, DOWN)


def bad_headers(wire):
    """Data offsets and options that lie; options that only look odd are those of good segments."""
    talk = wire.talk()
    talk.open()
    keep = list(talk.next)
    for doff in (0, 4, 15):
        talk.c('PA', b'evil!!!', at=0, doff=doff)
        talk.uncount(0)
        talk.next = list(keep)
    for size in (0x4f, 0x44):               # an IP header that is longer than the packet, and too short a one
        packet = bytearray(talk.packet(0, talk.segment(0, 'PA', b'evil!!!', at=0)))
        talk.uncount(0)
        packet[0] = size
        talk.put(0, bytes(packet))
    talk.next = list(keep)
    sent = b''
    for number, options in enumerate((b'\x05\x00\0\0', b'\x08\x01\0\0', b'\x02\xff\0\0', b'\x63\x04\0\0', b'\0\x02\x04\x05',
                                      b'\x01' * 40)):
        octets = b'option %d' % number
        talk.c('PA', octets, options=options)
        sent += octets
    src, dst = talk.ends[0][0], talk.ends[1][0]
    talk.put(0, ip4(src, dst, TCP, talk.segment(0, 'PA', b'ip options'), options=b'\x94\x04\0\0' + b'\x01' * 36))
    sent += b'ip options'
    talk.s()
    talk.close()
    talk.expect('FIN', sent)


SCENES = (bad_checksums, fragments, fragments_overlap, vlan, version6, noise, truncated, bad_headers)
