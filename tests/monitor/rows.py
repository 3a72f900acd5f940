#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""rows.py FOLDER: the capture that tests/system/rows.sh replays, FOLDER/rows.pcap, and FOLDER/scenes, a line "NAME PORT" for each scene.

A scene is a function; its flows have a server port of their own.  Each begins with a burst of the engine's, so that what is told once a
burst is told at a known place; turn() begins another burst.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'truth'))
import capture
from craft import CLIENT_MAC, SERVER_MAC, UDP, Wire, ethernet, ip4

BURST = 64
ARP = SERVER_MAC + CLIENT_MAC + b'\x08\x06' + bytes(46)
SCENES = []


def scene(function):
    SCENES.append(function)
    return function


class Stage(Wire):
    """The wire of all scenes; port is the present one's."""

    def __init__(self):
        super().__init__()
        self.port = 1000

    def talk(self, **options):
        return super().talk(**{'port': self.port, **options})

    def turn(self):
        """What comes now comes with another burst."""
        while len(self.frames) % BURST != 0:
            self.put(ARP)


@scene
def exchange(wire):
    """A question and an answer; the client closes first."""
    talk = wire.talk()
    talk.open()
    talk.both(b'question', b'answer')
    talk.close()


@scene
def opening(wire):
    """Each packet of the handshake twice; then it is reset."""
    talk = wire.talk()
    for _ in range(2):
        talk.c('S', at=-1)
    for _ in range(2):
        talk.s('SA', at=-1)
    for _ in range(2):
        talk.c()
    talk.c('RA')


@scene
def middle(wire):
    """A connection that was there before the capture; the server speaks first."""
    talk = wire.talk()
    talk.next = [100, 200]
    talk.s('PA', b'answer')
    talk.c('PA', b'question')
    talk.s()
    talk.close()


@scene
def bursts(wire):
    """Data in several bursts, one with data both ways, the last after one side has closed."""
    talk = wire.talk()
    talk.open()
    talk.c('PA', b'one ')
    talk.s()
    wire.turn()
    talk.c('PA', b'two ')
    talk.c('PA', b'three ')
    talk.s('PA', b'ONE ')
    wire.turn()
    talk.c('FA')
    talk.s()
    wire.turn()
    talk.s('PA', b'TWO ')
    talk.c()
    wire.turn()
    talk.s('FA')
    talk.c()


@scene
def beyond(wire):
    """The server's window is 1000 bytes: a segment beyond it, then one that is half seen and half beyond."""
    talk = wire.talk(shift=(None, None))
    talk.c('S', window=1000)
    talk.s('SA', window=1000)
    talk.c('A', window=1000)
    talk.c('PA', b'first')
    talk.c('PA', b'beyond', at=3000)
    talk.c('PA', b'x' * 1200, at=0)
    talk.s('A', ack=5, window=1000)
    talk.c('RA', at=5)


@scene
def both_close(wire):
    """Both close at the same time."""
    talk = wire.talk()
    talk.open()
    talk.c('FA', ack=0)
    talk.s('FA', ack=0)
    talk.c()
    talk.s()


@scene
def reset(wire):
    """The server resets in the middle of a stream."""
    talk = wire.talk()
    talk.open()
    talk.both(b'question', b'answer')
    talk.s('RA')


@scene
def again(wire):
    """Payload comes again with other bytes, and some new; then a FIN comes twice."""
    talk = wire.talk()
    talk.open()
    talk.c('PA', b'ABCDEFGH')
    talk.s('A')
    talk.c('PA', b'abcdefghIJ', at=0)
    talk.s('A')
    talk.c('FA')
    talk.c('FA', at=10)
    talk.s('FA')
    talk.c()


@scene
def idle(wire):
    """Nothing more is said, for longer than a flow may be idle."""
    talk = wire.talk()
    talk.open()
    talk.both(b'question', b'answer')
    wire.turn()
    wire.wait(400)


@scene
def stays(wire):
    """Open when the capture ends."""
    talk = wire.talk()
    talk.open()
    talk.both(b'question', b'answer')


@scene
def orphans(wire):
    """A reset of no flow, UDP, and what is not even IP."""
    talk = wire.talk()
    talk.c('RA', at=0)
    src, dst = talk.ends
    udp = struct.pack('!HHHH', src[1], dst[1], 12, 0) + b'data'
    wire.put(ethernet(True, ip4(src[0], dst[0], UDP, udp)))
    wire.put(ARP)


@scene
def bad(wire):
    """Bad checksums, of TCP and of IP."""
    talk = wire.talk()
    talk.open()
    talk.c('PA', b'question', bad=True)
    talk.put(0, talk.packet(0, talk.segment(0, 'PA', b'question', at=0), bad=True))
    talk.c('PA', b'question', at=0)
    talk.s()
    talk.c('RA')


@scene
def two_flows(wire):
    """Two connections, from ports 30000 and 30001, at the same time."""
    talks = [wire.talk(number_of_port=30000 + i) for i in range(2)]
    for talk in talks:
        talk.open()
    for talk in talks:
        talk.both(b'question', b'answer')
    for talk in talks:
        talk.close()


@scene
def hole(wire):
    """Bytes 100 to 200 come last."""
    talk = wire.talk()
    octets = bytes(range(250)) + bytes(50)
    talk.open()
    talk.c('PA', octets[:100])
    talk.c('PA', octets[200:], at=200)
    talk.s('A', ack=100)
    wire.turn()
    talk.c('PA', octets[100:200], at=100)
    talk.s()
    talk.close()


@scene
def lost(wire):
    """Bytes 100 to 200 are acknowledged, and were never seen."""
    talk = wire.talk()
    talk.open()
    talk.c('PA', b'a' * 100)
    talk.lose(0, 100)
    talk.c('PA', b'c' * 100)
    wire.turn()
    talk.s()
    talk.close()


@scene
def overlaps(wire):
    """10 to 20 ahead of the rest; then 0 to 30 with other bytes; then 25 to 35 with others again."""
    talk = wire.talk()
    talk.open()
    talk.c('PA', b'A' * 10, at=10)
    talk.s('A', ack=0)
    talk.c('PA', b'b' * 30, at=0)
    talk.c('PA', b'C' * 10, at=25)
    talk.s()
    talk.close()


def numbered(size):
    """Each byte tells where it is."""
    return bytes((at ^ at >> 8) & 255 for at in range(size))


@scene
def long(wire):
    """10000 bytes each way."""
    talk = wire.talk()
    octets = numbered(10000)
    talk.open()
    for at in range(0, len(octets), 1000):
        talk.c('PA', octets[at:at + 1000])
        talk.s('PA', octets[at:at + 1000])
    talk.close()


@scene
def flood(wire):
    """200000 bytes; then the first ones again."""
    talk = wire.talk()
    octets = numbered(200000)
    talk.open()
    for at in range(0, len(octets), 1000):
        talk.c('PA', octets[at:at + 1000])
        if at % 4000 == 3000:
            talk.s()
    wire.turn()
    talk.c('PA', octets[:1000], at=0)
    talk.s()
    talk.close()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wire = Stage()
    with open(os.path.join(sys.argv[1], 'scenes'), 'w', encoding='ascii') as names:
        for play in SCENES:
            wire.port += 1
            play(wire)
            wire.turn()
            names.write('%s %d\n' % (play.__name__, wire.port))
    capture.write(os.path.join(sys.argv[1], 'rows.pcap'), wire.frames)


if __name__ == '__main__':
    main()
