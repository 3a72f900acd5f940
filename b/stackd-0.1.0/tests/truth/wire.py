#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""wire.py LEFT RIGHT [--loss P] [--reorder P] [--duplicate P] [--seed N]: a bad wire between two interfaces.

Forwards every frame that arrives at one interface to the other, as the seeded generator says; each direction has its own.
A frame that is reordered waits until three later ones have gone, or 20 ms.  RSTs are never lost, since nobody repeats them.  Prints
`ready`; runs until SIGTERM, then prints how many frames it lost, reordered and duplicated.
"""
import argparse
import random
import select
import signal
import socket
import sys
import time

HOLD_S = 0.02
HOLD_FRAMES = 3


def is_reset(frame):
    """TCP with RST, plain IPv4 or IPv6."""
    if frame[12:14] == b'\x08\x00' and frame[23:24] == b'\x06':
        at = 14 + (frame[14] & 15) * 4
    elif frame[12:14] == b'\x86\xdd' and frame[20:21] == b'\x06':
        at = 54
    else:
        return False
    return len(frame) > at + 13 and bool(frame[at + 13] & 4)


class Lane:
    """One direction."""

    def __init__(self, rx, tx, args, seed):
        self.rx, self.tx, self.args = rx, tx, args
        self.rng = random.Random(seed)
        self.held = []      # [frames still to go before it, deadline, frame]
        self.counts = {'forwarded': 0, 'lost': 0, 'reordered': 0, 'duplicated': 0}

    def receive(self):
        frame, (_, _, kind, *_) = self.rx.recvfrom(65536)
        if kind == socket.PACKET_OUTGOING:
            return
        lost, late, twice = (self.rng.random() for _ in range(3))
        if lost < self.args.loss and not is_reset(frame):
            self.counts['lost'] += 1
        elif late < self.args.reorder:
            self.counts['reordered'] += 1
            self.held.append([HOLD_FRAMES, time.monotonic() + HOLD_S, frame])
        else:
            self.forward(frame)
            if twice < self.args.duplicate:
                self.counts['duplicated'] += 1
                self.forward(frame)
            for entry in self.held:
                entry[0] -= 1

    def release(self):
        now = time.monotonic()
        due = [entry for entry in self.held if entry[0] <= 0 or entry[1] <= now]
        self.held = [entry for entry in self.held if entry not in due]
        for entry in due:
            self.forward(entry[2])

    def forward(self, frame):
        self.counts['forwarded'] += 1
        self.tx.send(frame)


def interface(name):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    sock.bind((name, 0))
    return sock


def main():
    parser = argparse.ArgumentParser(description='A bad wire between two interfaces.')
    parser.add_argument('left')
    parser.add_argument('right')
    for name in ('--loss', '--reorder', '--duplicate'):
        parser.add_argument(name, type=float, default=0)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    left, right = interface(args.left), interface(args.right)
    lanes = {left: Lane(left, right, args, args.seed), right: Lane(right, left, args, args.seed + 1)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print('ready', flush=True)
    try:
        while True:
            waiting = any(lane.held for lane in lanes.values())
            for sock in select.select(list(lanes), [], [], HOLD_S / 4 if waiting else None)[0]:
                lanes[sock].receive()
            for lane in lanes.values():
                lane.release()
    finally:
        print({name: lane.counts for name, lane in zip(('right', 'left'), lanes.values())})


if __name__ == '__main__':
    main()
