#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What tests/system/rewrite.sh and extremes.sh send through inline monitors.

duplex listen|connect ADDRESS PORT SEND EXPECT EDITS
    sends one file, receives meanwhile, and compares: what arrives must be the other file after EDITS, those of several monitors with
    a slash between them, key=value,...: insert=N, cut=N, over=N, until=N as tests/monitor/rewrite does it; all=1: nothing is left; marks=N: at least N
    are somewhere between, of which the files have none.
say listen ADDRESS PORT COUNT
    says for each connection what came, and how it ended.
say connect ADDRESS PORT TEXT...
    sends the texts, each when the one before has arrived, and says how it ended.
datagrams listen ADDRESS PORT COUNT
    receives numbered datagrams until the last: none may come after one with a higher number, none of those to be dropped.
datagrams connect ADDRESS PORT COUNT
    sends them; every tenth says that it is to be dropped.
order INTERFACE PORT
    looks at the TCP segments to or from that port that come in there, until it is terminated: their sender has numbered them (IPv4's
    identification), and none may overtake another.
"""
import hashlib
import signal
import socket
import struct
import sys
import threading


def edited(data, all=0, marks=0, **edits):
    """The stream as it should arrive, less its marks."""
    return b'' if all else data if marks else at_places(data, **edits)


def at_places(data, insert=0, cut=0, over=0, until=1 << 32):
    """Computed from whole bytes, not from segments."""
    out = bytearray()
    last = 0
    marks = set()
    for every in (insert, cut, over):
        if every:
            marks.update(range(0, min(until, len(data)), every))
    data = bytearray(data)
    if over:
        for at in range(0, min(until, len(data)), over):
            data[at] = ord('#')
    for at in sorted(marks):
        if at == 0:
            continue
        if at > last:
            out += data[last:at]
            last = at
        if insert and at % insert == 0:
            out += b'<i>'
        if cut and at % cut == 0:
            last = at + 5
    return bytes(out + data[last:])


def expected(data, edits, role):
    chain = [{k: int(v) for k, v in (e.split('=') for e in one.split(','))} for one in edits.split('/')]
    for one in chain if role == 'listen' else reversed(chain):
        data = edited(data, **one)
    return data


def send(conn, data):
    conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)


def ready():
    print('ready', flush=True)


def without_marks(got, edits, role):
    """Not all segments need have one: what has passed before what it belongs behind stays as it is."""
    if 'marks=' not in edits:
        return got, True
    least, found = int(edits.split('marks=')[1].split(',')[0]), got.count(b'#')
    print(f'{role}: {found} marks', flush=True)
    return got.replace(b'#', b''), found >= least


def duplex(role, address, port, to_send, expect, edits):
    want = expected(open(expect, 'rb').read(), edits, role)
    if role == 'listen':
        server = socket.create_server((address, int(port)), family=socket.AF_INET6 if ':' in address else socket.AF_INET)
        ready()
        conn = server.accept()[0]
    else:
        conn = socket.create_connection((address, int(port)))
    conn.settimeout(60)
    sender = threading.Thread(target=send, args=(conn, open(to_send, 'rb').read()), daemon=True)
    sender.start()
    got = bytearray()
    try:
        while chunk := conn.recv(1 << 20):
            got += chunk
    finally:
        got, marked = without_marks(got, edits, role)
        same = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        print(f'{role}: {len(got)} bytes of {len(want)}, equal up to {same}', hashlib.sha256(got).hexdigest(), flush=True)
        if got != want:
            print(f'{role}: there {bytes(got[same - 8:same + 24])!r}, not {want[same - 8:same + 24]!r}', flush=True)
    sender.join()
    return marked and got == want


def to_the_end(conn):
    got = b''
    try:
        while chunk := conn.recv(65536):
            got += chunk
            conn.sendall(b'.')
        return got, 'closed'
    except ConnectionResetError:
        return got, 'reset'


def say(role, address, port, *args):
    if role == 'listen':
        server = socket.create_server((address, int(port)))
        ready()
        for _ in range(int(args[0])):
            conn = server.accept()[0]
            conn.settimeout(20)
            got, end = to_the_end(conn)
            print(f'listen: {got.decode()} {end}', flush=True)
        return True
    conn = socket.create_connection((address, int(port)), timeout=20)
    try:
        for text in args:
            conn.sendall(text.encode())
            if not conn.recv(16):
                raise ConnectionResetError
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(65536):
            pass
        print('connect: closed')
    except ConnectionResetError:
        print('connect: reset')
    return True


def datagrams(role, address, port, count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    last = int(count) - 1
    if role == 'connect':
        for i in range(last + 1):
            s.sendto(struct.pack('!4sI', b'DROP' if i % 10 == 5 and i < last else b'PASS', i) + bytes(i % 1000), (address, int(port)))
        return True
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((address, int(port)))
    s.settimeout(20)
    ready()
    highest, got, wrong = -1, 0, 0
    while highest < last:
        data = s.recv(2000)
        word, i = struct.unpack('!4sI', data[:8])
        wrong += word != b'PASS' or i <= highest or data[8:] != bytes(i % 1000)
        highest = i
        got += 1
    print(f'{got} datagrams of {last + 1}, {wrong} wrong', flush=True)
    return wrong == 0 and got > last // 2


def order(interface, port):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
    s.bind((interface, 0x0800))
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    s.settimeout(0.2)
    ready()
    last, seen, wrong = {}, 0, 0
    while not end.is_set():
        try:
            frame, where = s.recvfrom(2048)
        except TimeoutError:
            continue
        if where[2] == socket.PACKET_OUTGOING or len(frame) < 54 or frame[23] != 6 or frame[47] & 2: # a SYN-ACK has no number
            continue
        number, ports = struct.unpack('!H', frame[18:20])[0], struct.unpack('!HH', frame[34:38])
        if int(port) not in ports:
            continue
        seen += 1
        wrong += ports in last and (number - last[ports]) % 65536 >= 32768
        last[ports] = number
    print(f'{seen} segments, {wrong} overtaken', flush=True)
    return wrong == 0 and seen > 0


if __name__ == '__main__':
    sys.exit(0 if {'duplex': duplex, 'say': say, 'datagrams': datagrams, 'order': order}[sys.argv[1]](*sys.argv[2:]) else 1)
