#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""make.py FOLDER [SCENE...]: captures made by hand, with the answers.

Writes FOLDER/SCENE.pcap and FOLDER/SCENE.jsonl, the flows that must be found in it, in model.py's format; without names, all
scenes and `mixed`, which is all of them at the same time between different addresses (without fragments_overlap, where receivers
differ, and interleaved with the order of each scene kept).  The same every time.
"""
import json
import os
import random
import sys

import capture
import scenes_life
import scenes_text
import scenes_wire
from craft import Wire

SCENES = scenes_text.SCENES + scenes_life.SCENES + scenes_wire.SCENES


def play(scene, net=1):
    wire = Wire(net)
    scene(wire)
    return wire


def mixed():
    """Frames of all scenes, drawn from a random one each time."""
    rng = random.Random(1)
    wires = [play(scene, net) for net, scene in enumerate(SCENES, 2) if scene is not scenes_wire.fragments_overlap]
    whole = Wire()
    queues = [iter(wire.frames) for wire in wires]
    while queues:
        queue = rng.choice(queues)
        for _ in range(rng.randrange(1, 20)):
            frame = next(queue, None)
            if frame is None:
                queues.remove(queue)
                break
            whole.put(*frame[1:])
    whole.expected = [flow for wire in wires for flow in wire.expected]
    return whole


def write(folder, name, wire):
    capture.write(os.path.join(folder, name + '.pcap'), wire.frames)
    with open(os.path.join(folder, name + '.jsonl'), 'w', encoding='ascii') as f:
        for flow in wire.expected:
            f.write(json.dumps(flow, separators=(',', ':')) + '\n')


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, names = sys.argv[1], sys.argv[2:]
    os.makedirs(folder, exist_ok=True)
    for scene in SCENES:
        if not names or scene.__name__ in names:
            write(folder, scene.__name__, play(scene))
    if not names or 'mixed' in names:
        write(folder, 'mixed', mixed())


if __name__ == '__main__':
    main()
