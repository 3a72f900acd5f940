# SPDX-License-Identifier: BSD-3-Clause
"""Below TCP: what is dropped without a word, what makes no difference (9293 3.1, 791, 8200, 1122 3.2.1 and 4.2.3.10)."""
import struct

from peer import Conn, mss
from wire import ACK, address, Differs, FIN, ICMP6, MASK, packet, PSH, RST, SYN, TCP, tcp

BROADCAST = b'\xff' * 6
FRAGMENT, HOP, ROUTING, DEST, NO_NEXT = 44, 0, 43, 60, 59


def must(fact, text):
    if not fact:
        raise Differs(text)


def deliver(lab, fam, answer, **more):
    """A SYN to a listener that differs in one thing from what is right: is it taken?"""
    c = Conn(lab, fam, more.pop('port', 80), sport=more.pop('sport', 0))
    c.advance(SYN, options=more.pop('options', mss(1460)), **more)
    lab.wire.settle(fam)
    got = lab.wire.mine(c.sport)
    if answer == '-':
        must(not got, 'expected nothing, came %s' % ', '.join(map(str, got)))
    elif answer == 'sa':
        must(len(got) == 1 and got[0].flags == SYN | ACK and got[0].ack == c.seq, 'expected a SYN-ACK, came %s' %
             ', '.join(map(str, got)))
    elif answer == 'rst':
        must(len(got) == 1 and got[0].flags == RST | ACK and got[0].ack == c.seq, 'expected a RST, came %s' %
             ', '.join(map(str, got)))


def silent(lab, port):
    got = lab.wire.mine(port)
    must(not got, 'came %s' % ', '.join(map(str, got)))


def no_answer(lab, fam, flags, **more):
    """Nothing about strays of these kinds, either: no RST."""
    c = Conn(lab, fam, 9)
    c.send(flags, ack=5 if flags & ACK else 0, options=b'', **more)
    lab.wire.settle(fam)
    silent(lab, c.sport)


def strange_source(lab, fam, src, flags, port):
    c = Conn(lab, fam, port)
    c.send(flags, options=b'', src=src, ack=7 if flags & ACK else 0)
    lab.wire.settle(fam)
    silent(lab, c.sport)


def land(lab, fam, flags):
    """From itself: the same address and port.  Neither an answer nor a storm."""
    stack = lab.wire.stack[fam]
    lab.wire.tcp(fam, 80, 80, 1000, 1 if flags & ACK else 0, flags, src=stack)
    lab.wire.settle(fam)
    silent(lab, 80)


def on_connection(lab, fam, taken, **more):
    """Data to a connection, changed in one thing."""
    c = Conn(lab, fam, 80)
    c.opened(lab.listeners[fam], options=mss(1460))
    c.send(ACK | PSH, data=b'hello', **more)
    got = c.replies()
    if taken:
        got = got or [c.next(what='the acknowledgement')]
        must(got[0].ack == c.seq + 5 & MASK, 'came %s' % got[0])
        must(c.puppet.must('read', c.fd, 10) == (5, [b'hello'.hex()]), 'the bytes')
        c.seq = c.seq + 5 & MASK
    else:
        must(not got and c.puppet.say('read', c.fd, 10)[1] == 'EAGAIN', 'came %s' % ', '.join(map(str, got)))


def fragments(lab, fam, cuts, order):
    """A segment in pieces, in any order, is one segment."""
    c = Conn(lab, fam, 80)
    c.opened(lab.listeners[fam], options=mss(1460))
    data = bytes(range(200)) * 5
    src, dst = lab.wire.own[fam], lab.wire.stack[fam]
    body = tcp(src, dst, c.sport, c.port, c.seq, c.ack, ACK | PSH, payload=data)
    edges = [0] + list(cuts) + [len(body)]
    pieces = [(a, body[a:b], b < len(body)) for a, b in zip(edges, edges[1:])]
    for i in order:
        at, piece, more = pieces[i]
        if fam == 4:
            lab.wire.send(packet(src, dst, TCP, piece, ident=lab.ident, frag=at // 8 | (0x2000 if more else 0)))
        else:
            head = b'\0\0' + struct.pack('!HI', at | more, lab.ident)
            lab.wire.send(packet(src, dst, TCP, piece, exts=((FRAGMENT, head),)))
    lab.ident += 1
    got = c.replies() or [c.next(what='the acknowledgement')]
    must(got[0].ack == c.seq + len(data) & MASK, 'came %s' % got[0])
    c.seq = c.seq + len(data) & MASK


def headers6(lab, exts, answer, problem=None):
    """A SYN behind extension headers; problem: the parameter problem that tells of them (8200 4.2, 4443 3.4)."""
    c = Conn(lab, 6, 80)
    lab.wire.others.clear()
    c.send(SYN, options=mss(1440), ip={'exts': exts})
    got = c.replies()
    must(bool(got) == (answer == 'sa'), 'came %s' % (', '.join(map(str, got)) or 'nothing'))
    told = [tuple(ip[40:42]) + (int.from_bytes(ip[44:48], 'big'),) for kind, ip in lab.wire.others if kind == ICMP6]
    must(told == ([problem] if problem else []), 'ICMPv6 %s' % told)


def pad(size):
    """An options header of so many bytes that says nothing."""
    return bytes([0, size // 8 - 1]) + (b'\1' + bytes([size - 4]) + b'\0' * (size - 4))


def unknown_option(action):
    return bytes([0, 0, action << 6 | 0x3e, 4, 0, 0, 0, 0])


def group6(lab, dst, mac, answer):
    """Sent to a group, TCP is silent; also about options and headers."""
    c = Conn(lab, 6, 80)
    c.send(SYN, options=mss(1440), dst=address(dst), mac=mac)
    got = c.replies()
    must(not got, 'came %s' % ', '.join(map(str, got)))


def run(lab):
    lab.ident = 7
    for fam in lab.families:
        own, stack = lab.wire.own[fam], lab.wire.stack[fam]
        v = ' v%d' % fam
        lab.case('plain' + v, deliver, fam, 'sa')
        for ttl in (0, 1, 255):
            lab.case('TTL %d%s' % (ttl, v), deliver, fam, 'sa', ip={'ttl': ttl})
            lab.case('data with TTL %d%s' % (ttl, v), on_connection, fam, True, ip={'ttl': ttl})
        for tos in (3, 1, 0xb8, 0xff):
            lab.case('TOS %#x%s' % (tos, v), deliver, fam, 'sa', ip={'tos': tos})
        for csum in (1, 0xffff, 0x100):
            lab.case('checksum wrong by %#x%s' % (csum, v), deliver, fam, '-', csum=csum)
            lab.case('checksum wrong by %#x, no listener%s' % (csum, v), deliver, fam, '-', csum=csum, port=9)
            lab.case('data, checksum wrong by %#x%s' % (csum, v), on_connection, fam, False, csum=csum)
        for doff in (0, 1, 4, 7, 15):
            lab.case('data offset %d%s' % (doff, v), deliver, fam, '-', doff=doff)
            lab.case('data offset %d, no listener%s' % (doff, v), deliver, fam, '-', doff=doff, port=9)
        for doff in (0, 4, 15):
            lab.case('data, data offset %d%s' % (doff, v), on_connection, fam, False, doff=doff)
        lab.case('reserved bits on data' + v, on_connection, fam, True, reserved=15)
        lab.case('no listener' + v, deliver, fam, 'rst', port=9)
        lab.case('port 0' + v, deliver, fam, 'any', port=0)
        lab.case('to a broadcast link address' + v, deliver, fam, '-', mac=BROADCAST)
        lab.case('to a group link address' + v, deliver, fam, '-', mac=b'\1\0\x5e\0\0\1' if fam == 4 else b'\x33\x33\0\0\0\1')
        lab.case('to a broadcast link address, no listener' + v, deliver, fam, '-', mac=BROADCAST, port=9)
        for flags in (SYN, ACK, SYN | ACK, FIN, FIN | ACK, 0, RST, RST | ACK):
            lab.case('stray %#x to a broadcast link address%s' % (flags, v), no_answer, fam, flags, mac=BROADCAST)
            lab.case('land %#x%s' % (flags, v), land, fam, flags)
        lab.case('urgent pointer without URG' + v, on_connection, fam, True, urg=3)
        for cuts in ((24, 48), (504,), (504, 1000)):
            n = len(cuts) + 1
            for order in (range(n), reversed(range(n))):
                lab.case('fragments at %s%s' % (cuts, v), fragments, fam, cuts, list(order))
        if fam == 4:
            for text in ('0.0.0.0', '255.255.255.255', '10.9.0.255', '224.0.0.1', '239.1.1.1', '240.0.0.1', '127.0.0.1', '10.9.0.0',
                         lab.stack_text[4]):
                for flags, port in ((SYN, 80), (SYN, 9), (ACK, 9)):
                    lab.case('from %s %#x to %d' % (text, flags, port), strange_source, 4, address(text), flags, port)
            for text in ('255.255.255.255', '10.9.0.255', '224.0.0.1', '10.9.0.0', '127.0.0.1', '10.9.0.77', '0.0.0.0'):
                for flags in (SYN, ACK):
                    lab.case('to %s %#x' % (text, flags), no_answer, 4, flags, dst=address(text))
                    lab.case('to %s %#x, link broadcast' % (text, flags), no_answer, 4, flags, dst=address(text), mac=BROADCAST)
            for name, options, answer in (
                    ('NOPs', b'\1' * 4, 'sa'), ('end', b'\0' * 4, 'sa'), ('40 of them', b'\1' * 40, 'sa'), ('record route', b'\7\7\4\0\0\0\0\0', 'sa'),
                    ('timestamp', b'\x44\x0c\5\0' + b'\0' * 8, 'sa'), ('router alert', b'\x94\4\0\0', 'sa'), ('unknown', b'\x9e\4\0\0', 'sa'),
                    ('source route', b'\x83\7\4\x0a\x09\0\1\0', '-'), ('strict source route', b'\x89\7\4\x0a\x09\0\1\0', '-'),
                    ('length 0', b'\x9e\0\0\0', '-'), ('length 1', b'\x9e\1\0\0', '-'), ('too long', b'\x9e\x0c\0\0', '-'),
                    ('length missing', b'\1\1\1\x9e', '-')):
                lab.case('IP options: ' + name, deliver, 4, answer, ip={'options': options})
            for name, bad in (('version 5', {'version': 5}), ('version 6', {'version': 6}), ('header of 4 words', {'ihl': 4}),
                              ('header of 15 words', {'ihl': 15}), ('checksum', {'csum': 0x1234}), ('length 19', {'length': 19}),
                              ('length 30', {'length': 30}), ('length beyond', {'length': 1400}), ('reserved flag', {'frag': 0xc000})):
                lab.case('IP: ' + name, deliver, 4, 'sa' if name == 'reserved flag' else '-', ip=bad)
        else:
            for text in ('::', '::1', 'ff02::1', 'ff0e::1', '::ffff:10.9.0.103', lab.stack_text[6]):
                for flags, port in ((SYN, 80), (SYN, 9), (ACK, 9)):
                    lab.case('from %s %#x to %d' % (text, flags, port), strange_source, 6, address(text), flags, port)
            for text, mac in (('ff02::1', b'\x33\x33\0\0\0\1'), ('ff02::1:ff00:1', b'\x33\x33\xff\0\0\1'), ('::1', None), ('::', None),
                              ('fd00:9::77', None), ('::ffff:10.9.0.1', None)):
                lab.case('to %s' % text, group6, text, mac, '-')
                lab.case('to %s, ACK' % text, no_answer, 6, ACK, dst=address(text), mac=mac)
            for name, bad in (('length 10', {'length': 10}), ('length beyond', {'length': 1400})):
                lab.case('IPv6: ' + name, deliver, 6, '-', ip=bad)
            run6(lab)


def run6(lab):
    plain = pad(8)
    for name, exts, answer, problem in (
            ('hop-by-hop', ((HOP, plain),), 'sa', None), ('destination', ((DEST, plain),), 'sa', None),
            ('routing, nothing left', ((ROUTING, b'\0\0\0\0\0\0\0\0'),), 'sa', None),
            ('routing type 0, one left', ((ROUTING, b'\0\2\0\1' + b'\0' * 20),), '-', (4, 0, 42)),
            ('routing type 253, nothing left', ((ROUTING, b'\0\0\xfd\0\0\0\0\0'),), 'sa', None),
            ('routing type 253, one left', ((ROUTING, b'\0\0\xfd\1\0\0\0\0'),), '-', (4, 0, 42)),
            ('atomic fragment', ((FRAGMENT, b'\0\0\0\0\0\0\0\1'),), 'sa', None),
            ('hop-by-hop, destination, routing, destination', ((HOP, plain), (DEST, plain), (ROUTING, b'\0\0\0\0\0\0\0\0'), (DEST, plain)),
             'sa', None),
            ('hop-by-hop twice', ((HOP, plain), (HOP, plain)), '-', (4, 1, 40)),
            ('hop-by-hop not first', ((DEST, plain), (HOP, plain)), '-', (4, 1, 40)),
            ('unknown header', ((253, plain),), '-', (4, 1, 6)), ('unknown header behind one', ((DEST, plain), (253, plain)), '-', (4, 1, 40)),
            ('no next header', ((NO_NEXT, b'\0' * 8),), '-', None),
            ('option to be skipped', ((DEST, unknown_option(0)),), 'sa', None), ('option: discard', ((DEST, unknown_option(1)),), '-', None),
            ('option: tell', ((DEST, unknown_option(2)),), '-', (4, 2, 42)), ('option: tell if not a group', ((DEST, unknown_option(3)),), '-', (4, 2, 42)),
            ('hop-by-hop option: tell', ((HOP, unknown_option(2)),), '-', (4, 2, 42)), ('router alert', ((HOP, b'\0\0\5\2\0\0\1\0'),), 'sa', None),
            ('Pad1 only', ((DEST, b'\0' * 8),), 'sa', None), ('128 bytes of padding', ((DEST, pad(128)),), 'sa', None)):
        lab.case('IPv6: ' + name, headers6, exts, answer, problem)
