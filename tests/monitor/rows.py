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
from craft import CLIENT_MAC, SERVER_MAC, TCP, UDP, Wire, ethernet, ip4, tcp

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


@scene
def in_turn(wire):
    """A connection, and when it is forgotten another one."""
    for number in (30000, 30001):
        talk = wire.talk(number_of_port=number)
        talk.open()
        talk.c('RA')
        wire.turn()
        wire.wait(3)
        wire.put(ARP)
        wire.turn()


@scene
def same_ends(wire):
    """A connection, and at once another one between the same ends."""
    talk = wire.talk()
    for isn in ((1000, 5000000), (90000, 70000)):
        talk.restart(isn)
        talk.open()
        talk.both(b'question', b'answer')
        talk.close()


@scene
def straggler(wire):
    """The last words come once more, first soon, then late."""
    talk = wire.talk()
    talk.open()
    talk.close()
    wire.turn()
    wire.wait(0.5)
    talk.s('FA', at=0)
    wire.turn()
    wire.wait(3)
    wire.put(ARP)
    wire.turn()
    talk.c('RA', at=1)


@scene
def many(wire):
    """Twenty short connections."""
    talks = [wire.talk(number_of_port=30000 + i) for i in range(20)]
    for talk in talks:
        talk.open()
    for talk in talks:
        talk.close()


@scene
def crowd(wire):
    """Eighty connections that stay open."""
    for i in range(80):
        wire.talk(number_of_port=30000 + i).open()


@scene
def tagged(wire):
    """Two VLAN tags."""
    talk = wire.talk(tags=((0x88a8, 100), (0x8100, 7)))
    talk.open()
    talk.both(b'question', b'answer')
    talk.close()


@scene
def version6(wire):
    """IPv6."""
    talk = wire.talk(version=6, number_of_port=30000)
    talk.open()
    talk.both(b'question', b'answer')
    talk.close()


@scene
def pieces(wire):
    """A segment of 3000 bytes in three IP fragments, the last one first."""
    talk = wire.talk()
    talk.open()
    segment = talk.segment(0, 'PA', numbered(3000))
    for at in (2960, 0, 1480):
        talk.put(0, ip4(talk.ends[0][0], talk.ends[1][0], TCP, segment[at:at + 1480], ident=7, offset=at, more=at < 2960))
    talk.s()
    talk.close()


@scene
def cut(wire):
    """Of a segment of 100 bytes the capture has 60."""
    talk = wire.talk()
    talk.open()
    packet = talk.packet(0, talk.segment(0, 'PA', numbered(100)))
    talk.put(0, packet[:100], wire_len=14 + len(packet))
    talk.s()
    talk.close()


# --- For inline monitors, each of which has its own ---

@scene
def translated(wire):
    """What the client sends to 10.0.1.2 is answered by 10.0.1.99, port 99."""
    talk = wire.talk()
    client, server = talk.ends
    for step in ('open', 'both', 'close'):
        frames = len(wire.frames)
        getattr(talk, step)(*((b'question', b'answer') if step == 'both' else ()))
        for i in range(frames, len(wire.frames)):
            when, frame = wire.frames[i]
            if frame[26:30] == server[0]:
                text = frame[34:14 + struct.unpack('!H', frame[16:18])[0]]
                seq, ack = struct.unpack('!II', text[4:12])
                doff = text[12] >> 4
                segment = tcp((bytes((10, 0, 1, 99)), 99), client, seq, ack, text[13], 65535, text[doff * 4:], text[20:doff * 4])
                wire.frames[i] = (when, ethernet(False, ip4(bytes((10, 0, 1, 99)), client[0], TCP, segment)))


def again_as(play, count):
    for i in range(1, count + 1):
        SCENES.append(copy_of(play, '%s%d' % (play.__name__, i)))


def copy_of(play, name):
    def copied(wire):
        play(wire)
    copied.__name__ = name
    return copied


again_as(exchange, 20)
again_as(hole, 1)
again_as(again, 1)
again_as(beyond, 1)
again_as(opening, 1)


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
