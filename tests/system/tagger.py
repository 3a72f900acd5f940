#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tagger.py PLAIN TAGGED VID: carries frames between two interfaces, with an 802.1Q tag on the second: what a switch does.

For kernels without VLAN devices.  Frames without that tag do not come out of PLAIN.  Says "ready" once it listens.
"""
import select
import socket
import struct
import sys

ETH_P_ALL, SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_AUXDATA, PACKET_MR_PROMISC = 3, 263, 1, 8, 1
VLAN_VALID = 0x10   # TP_STATUS_VLAN_VALID: the kernel has taken the tag off
TPID = 0x8100


def listen(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((name, 0))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack('IHH8s', socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b''))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    return s


def receive(s):
    """(frame, VID or None), or None for what this host has sent."""
    frame, control, _, address = s.recvmsg(65536, 256)
    if address[2] == socket.PACKET_OUTGOING:
        return None
    for level, kind, data in control:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = struct.unpack('IIIHHHH', data[:20])
            if status & VLAN_VALID:
                return frame, tci & 0xfff
    return frame, None


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    plain, tagged, vid = listen(sys.argv[1]), listen(sys.argv[2]), int(sys.argv[3])
    print('ready', flush=True)
    while True:
        for s in select.select([plain, tagged], [], [])[0]:
            got = receive(s)
            if got is None:
                continue
            frame, tag = got
            try:
                if s is plain:
                    tagged.send(frame[:12] + struct.pack('!HH', TPID, vid) + frame[12:])
                elif tag == vid:
                    plain.send(frame)
            except OSError:
                pass    # longer than the MTU, or the interface is down: lost


if __name__ == '__main__':
    main()
