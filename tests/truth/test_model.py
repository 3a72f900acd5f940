#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Unit tests of the reference model: small cases whose answers were worked out by hand, each naming the rule it is about.

The last line counts as libcheck's programs do.  check_model.sh has the larger captures.
"""
import hashlib
import io
import json
import os
import struct
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

import capture
import compare
import make
import model
import segments
import states

C, S = (b'\x0a\0\0\1', 1000), (b'\x0a\0\0\2', 80)
CISN, SISN = 100, 900           # octet 0 of the client is 101, of the server 901

# as the kernel sent them
SYN4 = bytes.fromhex('ca0298642bded2d21e89910508004500003c7e3d40004006a7b60a6300010a630002ab9f1389719a4378000000'
                     '00a002faf021060000020405b40402080ac181e180000000000103030a')
TEXT6 = bytes.fromhex('ca0298642bded2d21e89910586dd600f0fbd00240640fd990000000000000000000000000001fd99000000000000'
                      '00000000000000029cdf138981c710e600bb7bd780180040282300000101080abbc57f976f27e4eb000003ff')


def seg(src, flags, seq, ack=0, text=b'', window=65535, shift=None, ts=0, number=0):
    bits = sum({'F': 1, 'S': 2, 'R': 4, 'P': 8, 'A': 16}[f] for f in flags)
    return segments.Segment(ts=ts, number=number, src=src, dst=S if src == C else C, seq=seq % 2**32, ack=ack % 2**32, flags=bits,
                            window=window, shift=shift, text=text)


HANDSHAKE = [seg(C, 'S', 100), seg(S, 'SA', 900, 101), seg(C, 'A', 101, 901)]


def play(*script, idle_ns=None):
    """The finished flows of these segments."""
    table = model.Table(idle_ns)
    for segment in script:
        table.take(segment)
    for flow in table.flows:
        flow.finish()
    return table.flows


def one(*script):
    """The only flow, as its line."""
    flows = play(*script)
    assert len(flows) == 1, len(flows)
    return flows[0].result()


class Case(unittest.TestCase):
    def direction(self, result, text, **counts):
        """Text, and counts: those not named are 0, but pkts."""
        self.assertEqual(result['bytes'], len(text))
        self.assertEqual(result['sha256'], hashlib.sha256(text).hexdigest())
        for name in ('missed', 'rexmit', 'ooo'):
            self.assertEqual(result[name], counts.get(name, 0), name)
        if 'pkts' in counts:
            self.assertEqual(result['pkts'], counts['pkts'])


class Flows(Case):
    def test_whole_life(self):
        got = one(*HANDSHAKE, seg(C, 'PA', 101, 901, b'ab'), seg(S, 'PA', 901, 103, b'xyz'), seg(C, 'FA', 103, 904),
                  seg(S, 'FA', 904, 104), seg(C, 'A', 104, 905))
        self.assertEqual((got['client'], got['server'], got['end']), ('10.0.0.1:1000', '10.0.0.2:80', 'FIN'))
        self.direction(got['c2s'], b'ab', pkts=5)
        self.direction(got['s2c'], b'xyz', pkts=3)

    def test_line_is_as_the_issue_says(self):
        line = json.dumps(one(seg(C, 'S', 1)), separators=(',', ':'))
        empty = hashlib.sha256(b'').hexdigest()
        self.assertEqual(line, '{"client":"10.0.0.1:1000","server":"10.0.0.2:80","end":"none",'
                         '"c2s":{"pkts":1,"bytes":0,"sha256":"%s","missed":0,"rexmit":0,"ooo":0},'
                         '"s2c":{"pkts":0,"bytes":0,"sha256":"%s","missed":0,"rexmit":0,"ooo":0}}' % (empty, empty))

    def test_f1_reset_begins_nothing(self):
        got = one(seg(C, 'R', 1), seg(S, 'RA', 1, 1), seg(C, 'R', 2))
        self.assertEqual((got['end'], got['client'], got['c2s']['pkts'], got['s2c']['pkts']), ('RST', model.name(C), 2, 1))
        self.assertEqual(len(play(seg(C, 'R', 1), seg(C, 'A', 1, 1), seg(C, 'R', 1))), 2)
        self.assertEqual(len(play(seg(C, 'A', 1, 1))), 1)
        self.assertEqual(len(play(seg(C, 'FA', 1, 1))), 1)

    def test_f2_closed_by_both_fins(self):
        closed = HANDSHAKE + [seg(C, 'FA', 101, 901), seg(S, 'FA', 901, 102), seg(C, 'A', 102, 902)]
        self.assertEqual(len(play(*closed, seg(C, 'S', 5000))), 2)
        self.assertEqual(len(play(*closed, seg(S, 'S', 5000))), 2)
        self.assertEqual(len(play(*closed, seg(C, 'S', 100))), 1)
        self.assertEqual(len(play(*closed, seg(C, 'A', 102, 902), seg(C, 'PA', 7000, 902, b'x'))), 1)
        self.assertEqual(len(play(*closed[:-2], seg(C, 'S', 5000))), 1)

    def test_f2_closed_one_sided(self):
        self.assertEqual(len(play(seg(C, 'S', 100), seg(C, 'FA', 101, 901), seg(C, 'S', 300))), 2)
        self.assertEqual(len(play(seg(S, 'SA', 900, 101), seg(S, 'FA', 901, 101), seg(S, 'SA', 950, 301))), 2)
        self.assertEqual(len(play(seg(S, 'SA', 900, 101), seg(S, 'A', 901, 101), seg(S, 'SA', 950, 301))), 1)

    def test_f2_closed_by_reset(self):
        self.assertEqual(len(play(seg(C, 'S', 100), seg(S, 'RA', 0, 101), seg(C, 'S', 300))), 2)
        self.assertEqual(len(play(seg(C, 'S', 100), seg(S, 'RA', 0, 101), seg(C, 'S', 100))), 1)
        self.assertEqual(len(play(seg(C, 'S', 100), seg(S, 'RA', 0, 77), seg(C, 'S', 300))), 1)

    def test_f2_answer_to_a_refused_syn_is_the_same_flow(self):
        self.assertEqual(len(play(seg(C, 'S', 100), seg(S, 'RA', 0, 101), seg(S, 'SA', 900, 101))), 1)

    def test_f3_syn_on_an_open_flow(self):
        script = HANDSHAKE + [seg(C, 'PA', 101, 901, b'old'), seg(C, 'S', 5000)]
        self.assertEqual(len(play(*script)), 1)
        self.assertEqual(len(play(*script, seg(S, 'SA', 900, 5001))), 1)
        self.assertEqual(len(play(*script, seg(S, 'SA', 7000, 6001))), 1)
        old, new = play(*script, seg(S, 'SA', 7000, 5001), seg(C, 'PA', 5001, 7001, b'new'))
        self.direction(old.result()['c2s'], b'old', pkts=4)
        self.direction(new.result()['c2s'], b'new', pkts=1)
        self.assertEqual(new.result()['client'], '10.0.0.1:1000')

    def test_f4_client(self):
        for script in ([seg(C, 'S', 1)], [seg(S, 'SA', 1, 5)], [seg(C, 'A', 1, 1)], [seg(S, 'A', 5, 1), seg(C, 'A', 1, 5)][1:],
                       [seg(S, 'PA', 901, 101, b'x'), seg(C, 'S', 100)], [seg(C, 'S', 1), seg(S, 'S', 1)]):
            self.assertEqual(one(*script)['client'], '10.0.0.1:1000')
        self.assertEqual(one(seg(S, 'A', 5, 1), seg(C, 'A', 1, 5))['client'], '10.0.0.2:80')

    def test_f5_end(self):
        fin = seg(C, 'FA', 101, 901)
        self.assertEqual(one(*HANDSHAKE)['end'], 'none')
        self.assertEqual(one(*HANDSHAKE, fin)['end'], 'HALF')
        self.assertEqual(one(*HANDSHAKE, fin, seg(S, 'FA', 901, 102))['end'], 'FIN')
        self.assertEqual(one(*HANDSHAKE, fin, seg(C, 'R', 102))['end'], 'RST')
        self.assertEqual(one(*HANDSHAKE, fin, seg(S, 'FA', 901, 102), seg(C, 'R', 102))['end'], 'FIN')
        self.assertEqual(one(*HANDSHAKE, seg(C, 'R', 101), fin, seg(S, 'FA', 901, 102))['end'], 'RST')

    def test_idle(self):
        script = [seg(C, 'S', 100), seg(S, 'SA', 900, 101, ts=10), seg(C, 'A', 101, 901, ts=21)]
        self.assertEqual(len(play(*script)), 1)
        self.assertEqual(len(play(*script, idle_ns=11)), 1)
        self.assertEqual(len(play(*script, idle_ns=10)), 2)


class Handshake(Case):
    def test_h1_unacceptable_syn_ack(self):
        got = one(seg(C, 'S', 100), seg(S, 'SA', 50, 777), seg(S, 'SA', 900, 101), seg(C, 'A', 101, 901), seg(S, 'PA', 901, 101, b'x'))
        self.direction(got['s2c'], b'x', pkts=3)

    def test_h2_isn_from_the_acknowledgment(self):
        got = one(seg(S, 'SA', 900, 101), seg(C, 'PA', 104, 901, b'd'))
        self.direction(got['c2s'], b'd', missed=3, ooo=1)
        got = one(seg(C, 'S', 100), seg(C, 'A', 101, 901), seg(S, 'PA', 903, 101, b'd'))
        self.direction(got['s2c'], b'd', missed=2, ooo=1)

    def test_h3_chosen_by_the_server(self):
        got = one(seg(C, 'S', 100, text=b'evil'), seg(C, 'S', 500), seg(S, 'SA', 900, 501), seg(C, 'PA', 501, 901, b'good'))
        self.direction(got['c2s'], b'good', pkts=3)
        got = one(seg(C, 'S', 100), seg(C, 'S', 500), seg(S, 'SA', 900, 101), seg(C, 'PA', 101, 901, b'good'))
        self.direction(got['c2s'], b'good', pkts=3)

    def test_h3_chosen_by_going_on(self):
        got = one(seg(C, 'S', 100), seg(C, 'S', 500), seg(C, 'A', 501, 901), seg(C, 'PA', 501, 901, b'good'))
        self.direction(got['c2s'], b'good')

    def test_h3_chosen_by_the_client(self):
        got = one(seg(C, 'S', 100), seg(S, 'SA', 900, 101), seg(S, 'SA', 2000, 101), seg(C, 'A', 101, 2001),
                  seg(S, 'PA', 2001, 101, b'good'))
        self.direction(got['s2c'], b'good')

    def test_h3_nothing_but_the_acknowledgment_tells(self):
        syns = [seg(C, 'S', 100, text=b'evil'), seg(C, 'S', 500), seg(S, 'SA', 900, 501)]
        self.direction(one(*syns, seg(C, 'PA', 503, 901, b'd'))['c2s'], b'd', missed=2, ooo=1)
        self.direction(one(*syns, seg(C, 'S', 500))['c2s'], b'', rexmit=1)
        got = one(seg(C, 'S', 100), seg(S, 'SA', 900, 101), seg(S, 'SA', 2000, 101), seg(C, 'A', 101, 2001),
                  seg(S, 'PA', 2003, 101, b'd'))
        self.direction(got['s2c'], b'd', missed=2, ooo=1)

    def test_h4_gone_on(self):
        got = one(seg(C, 'S', 100), seg(C, 'S', 500), seg(C, 'PA', 101, 901, b'a'), seg(C, 'PA', 501, 901, b'b'))
        self.direction(got['c2s'], b'ab', missed=399, ooo=1)
        got = one(seg(C, 'S', 100), seg(S, 'SA', 900, 101), seg(S, 'SA', 2000, 101), seg(C, 'A', 101, 901),
                  seg(C, 'A', 101, 2001), seg(S, 'PA', 901, 101, b'a'))
        self.direction(got['s2c'], b'a', missed=1098)     # the last one may be a FIN

    def test_h4_stands(self):
        got = one(*HANDSHAKE, seg(C, 'S', 500), seg(C, 'PA', 501, 901, b'far out', window=0), seg(S, 'SA', 900, 501))
        self.assertEqual(got['c2s']['bytes'], 7)        # octets 400 to 406, within the window
        self.direction(got['c2s'], b'far out', missed=400, ooo=1)

    def test_h5_text_in_syn(self):
        got = one(seg(C, 'SF', 100, text=b'ab'), seg(S, 'SA', 900, 103), seg(C, 'PA', 103, 901, b'c'))
        self.direction(got['c2s'], b'abc', pkts=2)
        self.assertEqual(got['end'], 'none')
        got = one(seg(C, 'S', 100, text=b'ab'), seg(C, 'S', 100, text=b'ab'))
        self.direction(got['c2s'], b'ab', rexmit=1, pkts=2)

    def test_h6_midstream(self):
        got = one(seg(C, 'A', 500, 7), seg(C, 'PA', 501, 7, b'b'), seg(C, 'PA', 500, 7, b'ab'), seg(C, 'PA', 502, 7, b'c'))
        self.direction(got['c2s'], b'abc', rexmit=1)
        for before, client in ((-1, S), (0, C), (65535, C), (65536, S)):
            got = one(seg(S, 'A', 901, 70000), seg(C, 'PA', 70000, 901, b'a'), seg(C, 'S', 69999 - before))
            self.assertEqual(got['client'], model.name(client), before)
        got = one(seg(C, 'PA', 101, 901, b'a'), seg(C, 'S', 100), seg(C, 'PA', 102, 901, b'b'))
        self.direction(got['c2s'], b'ab', pkts=3)


class Windows(Case):
    def test_a1_without_ack(self):
        got = one(*HANDSHAKE, seg(C, 'P', 101, 0, b'evil'), seg(C, 'F', 101), seg(C, 'PA', 101, 901, b'good'))
        self.direction(got['c2s'], b'good', pkts=5)
        self.assertEqual(got['end'], 'none')

    def test_a2_far(self):
        start = [seg(C, 'PA', 101, 901, b'a')]
        self.direction(one(*start, seg(C, 'PA', 102 + 2**30, 901, b'b'))['c2s'], b'a', pkts=2)
        self.direction(one(*start, seg(C, 'PA', 101 + 2**30, 901, b'b'))['c2s'], b'ab', pkts=2, ooo=1, missed=2**30 - 1)
        self.direction(one(*start, seg(C, 'PA', 102 - 2**30, 901, b'b'))['c2s'], b'a', pkts=2)
        self.direction(one(*start, seg(C, 'PA', 103 - 2**30, 901, b'b'))['c2s'], b'a', pkts=2, rexmit=1)

    def test_a2_old_acknowledgment(self):
        self.assertEqual(one(*HANDSHAKE[:2], seg(C, 'A', 90, 890), seg(S, 'R', 890), seg(S, 'R', 900))['end'], 'none')
        got = one(*HANDSHAKE[:2], seg(C, 'A', 90, 890, window=0), seg(S, 'PA', 901, 101, b'x'))
        self.direction(got['s2c'], b'x')

    def test_a3_scale(self):
        def edge(cshift, sshift, window=10):
            """How far beyond the acknowledged does text of the client count?"""
            script = [seg(C, 'S', 100, shift=cshift), seg(S, 'SA', 900, 101, shift=sshift), seg(C, 'A', 101, 901),
                      seg(S, 'A', 901, 101, window=window), seg(C, 'PA', 101, 901, b'x' * 100)]
            return one(*script)['c2s']['bytes']
        self.assertEqual(edge(None, None), 10)
        self.assertEqual(edge(3, None), 10)
        self.assertEqual(edge(None, 3), 10)
        self.assertEqual(edge(0, 3), 80)
        self.assertEqual(edge(7, 0), 10)

    def test_a3_unknown(self):
        script = [seg(S, 'SA', 900, 101, shift=3, window=5), seg(S, 'A', 901, 101, window=5), seg(C, 'PA', 101, 901, b'x' * 100)]
        self.assertEqual(one(*script)['c2s']['bytes'], 100)
        script = [seg(C, 'S', 100), seg(S, 'A', 901, 101, window=5), seg(C, 'PA', 101, 901, b'x' * 100)]
        self.assertEqual(one(*script)['c2s']['bytes'], 5)

    def test_a3_window_of_the_syn_ack(self):
        script = [seg(C, 'S', 100, shift=3), seg(S, 'SA', 900, 101, shift=3, window=2), seg(C, 'PA', 101, 901, b'x' * 100)]
        self.assertEqual(one(*script)['c2s']['bytes'], 2)

    def test_a3_newest_acknowledgment(self):
        def taken(*offers):
            return one(*HANDSHAKE, seg(C, 'PA', 101, 901, b'ab'), *[seg(S, 'A', 901, a, window=w) for a, w in offers],
                       seg(C, 'PA', 103, 901, b'x' * 100))['c2s']['bytes'] - 2
        self.assertEqual(taken((103, 20)), 20)
        self.assertEqual(taken((103, 20), (103, 10)), 10)       # taken back
        self.assertEqual(taken((103, 20), (102, 50)), 20)       # overtaken

    def test_t3_set_aside_then_acknowledged(self):
        start = HANDSHAKE + [seg(S, 'A', 901, 101, window=2), seg(C, 'PA', 101, 901, b'abcd'), seg(C, 'FA', 105, 901)]
        self.direction(one(*start)['c2s'], b'ab')
        self.assertEqual(one(*start)['end'], 'none')
        self.direction(one(*start, seg(S, 'A', 901, 104))['c2s'], b'abc')
        self.direction(one(*start, seg(S, 'A', 901, 104), seg(S, 'A', 901, 105))['c2s'], b'abcd')
        self.assertEqual(one(*start, seg(S, 'A', 901, 105))['end'], 'none')
        self.assertEqual(one(*start, seg(S, 'A', 901, 105), seg(S, 'A', 901, 106))['end'], 'HALF')
        got = one(*start, seg(S, 'A', 901, 106))
        self.direction(got['c2s'], b'abcd')
        self.assertEqual(got['end'], 'HALF')

    def test_t3_within_the_window_wins(self):
        got = one(*HANDSHAKE, seg(S, 'A', 901, 101, window=2), seg(C, 'PA', 101, 901, b'ab--'), seg(S, 'A', 901, 103, window=9),
                  seg(C, 'PA', 103, 901, b'cd'), seg(S, 'A', 901, 105))
        self.direction(got['c2s'], b'abcd', rexmit=1)       # although nobody took it the first time

    def test_t3_text_behind_the_fin(self):
        got = one(*HANDSHAKE, seg(S, 'A', 901, 101, window=2), seg(C, 'PFA', 101, 901, b'abcdef'), seg(S, 'A', 901, 103, window=9),
                  seg(C, 'FA', 104, 901), seg(S, 'A', 901, 108))
        self.direction(got['c2s'], b'abc')

    def test_t3_fin_at_the_edge(self):
        for at, end in ((103, 'HALF'), (104, 'none')):
            self.assertEqual(one(*HANDSHAKE, seg(S, 'A', 901, 101, window=2), seg(C, 'FA', at, 901))['end'], end)


class Text(Case):
    def c2s(self, *pieces):
        """(offset, text, flags) of the client after the handshake, nothing acknowledged."""
        return one(*HANDSHAKE, *[seg(C, 'A' + (p[2] if len(p) > 2 else ''), 101 + p[0], 901, p[1]) for p in pieces])['c2s']

    def test_t1_first_version(self):
        self.direction(self.c2s((0, b'abcd'), (0, b'ABCD')), b'abcd', rexmit=1)
        self.direction(self.c2s((0, b'abcd'), (2, b'CDef')), b'abcdef', rexmit=1)
        self.direction(self.c2s((2, b'cd'), (0, b'abCDef')), b'abcdef', rexmit=1, ooo=1)
        self.direction(self.c2s((2, b'cdef'), (3, b'DE'), (0, b'ab')), b'abcdef', rexmit=1, ooo=1)
        self.direction(self.c2s((2, b'cd'), (6, b'gh'), (1, b'bCDefGHi'), (0, b'a')), b'abcdefghi', rexmit=1, ooo=3)

    def test_t1_touching_is_not_overlapping(self):
        self.direction(self.c2s((4, b'ef'), (2, b'cd'), (0, b'ab'), (6, b'g')), b'abcdefg', ooo=2)

    def test_t2_text_of_a_reset(self):
        self.direction(one(*HANDSHAKE, seg(C, 'RA', 101, 901, b'evil'))['c2s'], b'')

    def test_t4_fin(self):
        self.direction(self.c2s((0, b'ab', 'F'), (2, b'no'), (1, b'bno')), b'ab', rexmit=1)
        self.direction(self.c2s((3, b'', 'F'), (0, b'abcde')), b'abc', ooo=1)
        self.direction(self.c2s((2, b'cd'), (1, b'', 'F'), (0, b'ab')), b'abcd', ooo=1)
        self.direction(self.c2s((0, b'ab', 'F'), (2, b'', 'F'), (5, b'', 'F')), b'ab', rexmit=1)

    def test_t5_holes(self):
        start = HANDSHAKE + [seg(C, 'PA', 103, 901, b'cd')]
        ack, late, more = seg(S, 'A', 901, 103), seg(C, 'PA', 101, 901, b'ab'), seg(C, 'PA', 105, 901, b'ef')
        self.direction(one(*start)['c2s'], b'cd', missed=2, ooo=1)
        self.direction(one(*start, late)['c2s'], b'abcd', ooo=1)
        self.direction(one(*start, ack, late, more)['c2s'], b'abcdef', ooo=1)
        self.direction(one(*start, seg(S, 'A', 901, 104), late, more)['c2s'], b'abcdef', ooo=1)
        self.direction(one(*start, seg(S, 'A', 901, 104), late, late)['c2s'], b'abcd', ooo=1, rexmit=1)
        self.direction(one(*start, seg(S, 'A', 901, 104), seg(C, 'PA', 102, 901, b'b'))['c2s'], b'bcd', missed=1, ooo=1)
        self.direction(one(*start, seg(S, 'A', 901, 102), late)['c2s'], b'abcd', ooo=1)
        # acknowledged before anything behind it has come: not yet a hole
        self.direction(one(*HANDSHAKE, seg(S, 'A', 901, 105), late, start[-1])['c2s'], b'abcd')
        both = seg(S, 'A', 901, 105)
        self.direction(one(*HANDSHAKE, both, start[-1], late)['c2s'], b'abcd', ooo=1)
        self.direction(one(*HANDSHAKE, both, start[-1], both, late)['c2s'], b'abcd', ooo=1)

    def test_t6_tail(self):
        text = seg(C, 'PA', 101, 901, b'ab')
        self.direction(one(*HANDSHAKE, text, seg(S, 'A', 901, 104))['c2s'], b'ab')
        self.direction(one(*HANDSHAKE, text, seg(S, 'A', 901, 108))['c2s'], b'ab', missed=4)
        fin = seg(C, 'FA', 103, 901)
        self.direction(one(*HANDSHAKE, text, fin, seg(S, 'A', 901, 110))['c2s'], b'ab')
        self.direction(one(seg(C, 'S', 100), seg(C, 'A', 101, 901), seg(C, 'A', 101, 5000))['s2c'], b'', pkts=0)

    def test_t8_keep_alive(self):
        start = HANDSHAKE + [seg(C, 'PA', 101, 901, b'ab')]
        alive = seg(C, 'A', 102, 901, b'\0')
        self.direction(one(*start, seg(S, 'A', 901, 103), alive)['c2s'], b'ab')
        self.direction(one(*start, alive)['c2s'], b'ab', rexmit=1)
        self.direction(one(*start, seg(S, 'A', 901, 103), seg(C, 'A', 101, 901, b'ab'))['c2s'], b'ab', rexmit=1)
        self.direction(one(*start, seg(C, 'A', 102, 901))['c2s'], b'ab')

    def test_t8_window_probe(self):
        got = one(*HANDSHAKE, seg(S, 'A', 901, 101, window=0), *[seg(C, 'A', 101, 901, b'a')] * 3, seg(S, 'A', 901, 101),
                  seg(C, 'A', 101, 901, b'ab'))
        self.direction(got['c2s'], b'ab')

    def test_t8_syn_and_fin(self):
        got = one(HANDSHAKE[0], *HANDSHAKE, HANDSHAKE[1], seg(C, 'FA', 101, 901), seg(C, 'FA', 101, 901))
        self.assertEqual((got['c2s']['rexmit'], got['s2c']['rexmit']), (2, 1))

    def test_wrap(self):
        got = one(seg(C, 'S', 2**32 - 2), seg(S, 'SA', 900, 2**32 - 1), seg(C, 'PA', 1, 901, b'cd'),
                  seg(C, 'PA', 2**32 - 1, 901, b'ab'), seg(S, 'A', 901, 3), seg(C, 'FA', 3, 901))
        self.direction(got['c2s'], b'abcd', ooo=1)
        self.assertEqual(got['end'], 'HALF')


class Reset(Case):
    def is_valid(self, *script):
        return one(*script)['end'] == 'RST'

    def test_r1_window(self):
        start = HANDSHAKE + [seg(C, 'PA', 101, 901, b'abcd'), seg(S, 'A', 901, 103, window=10)]
        for seq, valid in ((102, False), (103, True), (104, True), (105, True), (112, True), (113, False), (101, False),
                           (105 - 2**31, False)):
            self.assertEqual(self.is_valid(*start, seg(C, 'R', seq)), valid, seq)

    def test_r1_full_window(self):
        self.assertTrue(self.is_valid(*HANDSHAKE, seg(C, 'PA', 101, 901, b'ab'), seg(S, 'A', 901, 103, window=0), seg(C, 'R', 103)))

    def test_r2_no_stream(self):
        self.assertTrue(self.is_valid(seg(C, 'S', 100), seg(S, 'RA', 0, 101)))
        self.assertFalse(self.is_valid(seg(C, 'S', 100), seg(S, 'RA', 0, 100)))
        self.assertFalse(self.is_valid(seg(C, 'S', 100), seg(S, 'RA', 0, 102)))
        self.assertTrue(self.is_valid(seg(C, 'S', 100, text=b'a'), seg(S, 'RA', 0, 102)))
        self.assertFalse(self.is_valid(seg(C, 'S', 100), seg(S, 'R', 0)))
        self.assertTrue(self.is_valid(seg(C, 'S', 100), seg(C, 'S', 500), seg(S, 'RA', 0, 501)))
        self.assertFalse(self.is_valid(seg(C, 'S', 100), seg(C, 'S', 500), seg(S, 'RA', 0, 500)))
        self.assertTrue(self.is_valid(seg(C, 'PA', 7, 500, b'x'), seg(S, 'R', 500)))
        self.assertFalse(self.is_valid(seg(C, 'PA', 7, 500, b'x'), seg(S, 'R', 499)))
        self.assertFalse(self.is_valid(seg(C, 'PA', 7, 500, b'x'), seg(S, 'R', 500 + 2**30)))
        self.assertTrue(self.is_valid(seg(C, 'A', 7, 500), seg(C, 'R', 7)))


class Below(Case):
    """segments.py and capture.py."""

    def read(self, *frames, **how):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'x.pcap')
            capture.write(path, [(i, frame) for i, frame in enumerate(frames)])
            return list(segments.read(path, **how))

    def test_checksum(self):
        self.assertEqual(segments.checksum(bytes.fromhex('0001f203f4f5f6f7')), 0x220d)     # RFC 1071, 3
        self.assertEqual(segments.checksum(bytes.fromhex('0001f203f4f5f6f7220d')), 0)
        self.assertEqual(segments.checksum(b'\x01'), 0xfeff)

    def test_kernel_frames(self):
        syn, text = self.read(SYN4, TEXT6)
        self.assertEqual((syn.flags, syn.dst[1], syn.text), (segments.SYN, 5001, b''))
        self.assertEqual((text.flags, text.dst[1], len(text.text)), (segments.PSH | segments.ACK, 5001, 4))

    def test_every_broken_octet_counts(self):
        for at in range(14, len(SYN4)):
            broken = bytearray(SYN4)
            broken[at] ^= 0x10
            self.assertEqual(self.read(bytes(broken)), [], at)

    def test_cut_short(self):
        for size in range(len(SYN4)):
            self.assertEqual(self.read(SYN4[:size]), [])
        self.assertEqual(len(self.read(SYN4 + b'padding')), 1)

    def test_tags(self):
        tags = b'\x88\xa8\0\7\x81\0\0\1\x81\0\0\2'
        for count, found in ((0, 1), (1, 1), (2, 1), (3, 0)):
            self.assertEqual(len(self.read(SYN4[:12] + tags[:4 * count] + SYN4[12:])), found)

    def pieces(self, *cuts):
        """The datagram of SYN4 in pieces (from, to, octets that are wrong)."""
        frames = []
        for start, stop, junk in cuts:
            body = SYN4[34:][start:stop]
            more = 0x2000 if start + len(body) < len(SYN4) - 34 else 0
            head = bytearray(SYN4[14:34])
            struct.pack_into('!HHH', head, 2, 20 + len(body), 7, start // 8 | more)
            head[10:12] = b'\0\0'
            head[10:12] = struct.pack('!H', segments.checksum(bytes(head)))
            frames.append(SYN4[:14] + head + b'\xee' * junk + body[junk:])
        return frames

    def test_fragments(self):
        self.assertEqual(len(self.read(*self.pieces((0, 16, 0), (16, 99, 0)))), 1)
        self.assertEqual(len(self.read(*self.pieces((16, 99, 0), (8, 16, 0), (0, 8, 0)))), 1)
        self.assertEqual(len(self.read(*self.pieces((0, 16, 0), (0, 16, 0), (16, 99, 0)))), 1)
        self.assertEqual(self.read(*self.pieces((0, 8, 0), (16, 99, 0))), [])
        overlap = self.pieces((0, 16, 0), (8, 99, 8))
        self.assertEqual(len(self.read(*overlap)), 1)
        self.assertEqual(self.read(*overlap[::-1]), [])
        self.assertEqual(self.read(*overlap, overlap='drop'), [])

    def test_options(self):
        for options, shift in (('03030700', 7), ('03030f00', 14), ('01010303', None), ('0303', None), ('0500030307', None),
                               ('00030307', None), ('0101030302', 2), ('020405b403030900', 9), ('6302030303', 3)):
            self.assertEqual(segments._window_scale(bytes.fromhex(options)), shift, options)

    def test_pcapng(self):
        def block(order, kind, body):
            body += bytes(-len(body) % 4)
            return struct.pack(order + 'II', kind, len(body) + 12) + body + struct.pack(order + 'I', len(body) + 12)
        for order in '<>':
            data = block(order, 0x0a0d0d0a, struct.pack(order + 'IHHq', 0x1a2b3c4d, 1, 0, -1))
            data += block(order, 1, struct.pack(order + 'HHI', 1, 0, 0) + struct.pack(order + 'HHBxxxHH', 9, 1, 9, 0, 0))
            data += block(order, 6, struct.pack(order + '5I', 0, 1, 5, len(SYN4), len(SYN4)) + SYN4)
            with tempfile.NamedTemporaryFile() as f:
                f.write(data)
                f.flush()
                self.assertEqual(list(capture.read(f.name)), [(2**32 + 5, 1, SYN4)])


class States(Case):
    def states(self, *script):
        """Client's and server's state after each segment, by their initials."""
        table, found = model.Table(), []
        for segment in script:
            flow = table.flow_of(segment)
            if segment is script[0]:
                tracker = states.Tracker(flow)
            tracker.before()
            flow.take(segment)
            tracker.after()
            found.append('/'.join(tracker.now))
        return found

    def test_client_closes(self):
        self.assertEqual(self.states(*HANDSHAKE, seg(C, 'FA', 101, 901), seg(S, 'A', 901, 102), seg(S, 'FA', 901, 102),
                                     seg(C, 'A', 102, 902)),
                         ['SYN_SENT/SYN_RCVD', 'ESTABLISHED/SYN_RCVD', 'ESTABLISHED/ESTABLISHED', 'FIN_WAIT_1/CLOSE_WAIT',
                          'FIN_WAIT_2/CLOSE_WAIT', 'TIME_WAIT/LAST_ACK', 'TIME_WAIT/CLOSED'])

    def test_server_closes(self):
        self.assertEqual(self.states(*HANDSHAKE, seg(S, 'FA', 901, 101), seg(C, 'FA', 101, 902), seg(S, 'A', 902, 102))[3:],
                         ['CLOSE_WAIT/FIN_WAIT_1', 'LAST_ACK/TIME_WAIT', 'CLOSED/TIME_WAIT'])

    def test_fin_out_of_order(self):
        self.assertEqual(self.states(*HANDSHAKE, seg(C, 'FA', 103, 901), seg(C, 'A', 101, 901, b'ab'))[3:],
                         ['FIN_WAIT_1/ESTABLISHED', 'FIN_WAIT_1/CLOSE_WAIT'])

    def test_reset(self):
        self.assertEqual(self.states(*HANDSHAKE, seg(C, 'R', 90), seg(C, 'R', 101))[3:],
                         ['ESTABLISHED/ESTABLISHED', 'CLOSED/CLOSED'])

    def test_midstream(self):
        self.assertEqual(self.states(seg(C, 'A', 101, 901), seg(S, 'FA', 901, 101)),
                         ['ESTABLISHED/ESTABLISHED', 'CLOSE_WAIT/FIN_WAIT_1'])


class Compare(Case):
    def run_compare(self, expected, actual, *options):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, flows in (('expected', expected), ('actual', actual)):
                paths.append(os.path.join(folder, name))
                with open(paths[-1], 'w', encoding='ascii') as f:
                    f.writelines(json.dumps(flow) + '\n' for flow in flows)
            out, argv = io.StringIO(), sys.argv
            sys.argv = ['compare.py', *options, *paths]
            try:
                with redirect_stdout(out):
                    rc = compare.main()
            finally:
                sys.argv = argv
        return rc, out.getvalue()

    def test_same_in_any_order(self):
        flows = [one(seg(C, 'S', 1)), one(seg(S, 'S', 1)), one(*HANDSHAKE)]
        self.assertEqual(self.run_compare(flows, flows[::-1])[0], 0)

    def test_number_counts(self):
        flow = one(*HANDSHAKE)
        self.assertEqual(self.run_compare([flow, flow], [flow])[0], 1)
        self.assertEqual(self.run_compare([flow], [flow, flow])[0], 1)
        self.assertEqual(self.run_compare([], [])[0], 0)

    def test_difference_is_shown(self):
        rc, out = self.run_compare([one(*HANDSHAKE)], [one(*HANDSHAKE, seg(C, 'FA', 101, 901))])
        self.assertEqual(rc, 1)
        self.assertIn('expected none, actual HALF', out)
        self.assertIn('c2s.pkts', out)

    def test_ignored(self):
        flows = [one(*HANDSHAKE)], [one(*HANDSHAKE, seg(C, 'FA', 101, 901))]
        self.assertEqual(self.run_compare(*flows, '--ignore', 'end,c2s.pkts')[0], 0)
        self.assertEqual(self.run_compare(*flows, '--ignore', 'end,s2c.pkts')[0], 1)


class Scenes(Case):
    """The answers that make.py's scenes give."""


def scene_test(scene):
    def test(self):
        with tempfile.TemporaryDirectory() as folder:
            wire = make.play(scene)
            make.write(folder, 'x', wire)
            found = [flow.result() for flow in model.flows(os.path.join(folder, 'x.pcap'))]
        self.maxDiff = None
        order = lambda flow: json.dumps(flow, sort_keys=True)   # noqa: E731
        self.assertEqual(sorted(found, key=order), sorted(wire.expected, key=order))
    return test


for _scene in make.SCENES:
    setattr(Scenes, 'test_' + _scene.__name__, scene_test(_scene))


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    done = unittest.TextTestRunner(stream=sys.stdout).run(suite)
    bad, wrong = len(done.failures), len(done.errors)
    percent = 100 * (done.testsRun - bad - wrong) // max(done.testsRun, 1)
    print('%d%%: Checks: %d, Failures: %d, Errors: %d' % (percent, done.testsRun, bad, wrong))
    return not done.wasSuccessful()


if __name__ == '__main__':
    sys.exit(main())
