#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""streams.py serve ADDRESS PORT... | send ADDRESS PORT COUNT BYTES SEED GO | say ADDRESS PORT TEXT

serve: takes what a client sends until it ends, and answers with its SHA-256.
send: COUNT connections at once send BYTES random bytes each, the first half of all, then `half` is printed and the rest sent when the
FIFO GO has been written to.  Every answer is checked.  Prints "SHA-256 LENGTH" of each.
say: one connection sends TEXT.
"""
import hashlib
import random
import selectors
import socket
import sys

TIMEOUT_S = 40


def serve(address, *ports):
    selector = selectors.DefaultSelector()
    for port in ports:
        listener = socket.create_server((address, int(port)), backlog=128)
        selector.register(listener, selectors.EVENT_READ, None)
    print('ready', flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                selector.register(key.fileobj.accept()[0], selectors.EVENT_READ, hashlib.sha256())
                continue
            data = key.fileobj.recv(65536)
            if data:
                key.data.update(data)
                continue
            key.fileobj.sendall(key.data.hexdigest().encode())
            selector.unregister(key.fileobj)
            key.fileobj.close()


def answer_to(sock, text):
    """Ends what is sent; the answer must be its sum."""
    sock.shutdown(socket.SHUT_WR)
    want, got = hashlib.sha256(text).hexdigest(), b''
    while data := sock.recv(4096):
        got += data
    if got.decode() != want:
        sys.exit('the answer is %r, should be %s' % (got, want))
    return want


def connect(address, port):
    return socket.create_connection((address, int(port)), timeout=TIMEOUT_S)


def send(address, port, count, length, seed, go):
    rng = random.Random(seed)
    texts = [rng.randbytes(int(length)) for _ in range(int(count))]
    socks = [connect(address, port) for _ in texts]
    for sock, text in zip(socks, texts):
        sock.sendall(text[:len(text) // 2])
    print('half', flush=True)
    with open(go, encoding='ascii') as fifo:
        fifo.read()
    for sock, text in zip(socks, texts):
        sock.sendall(text[len(text) // 2:])
    for sock, text in zip(socks, texts):
        print(answer_to(sock, text), len(text))


def say(address, port, text):
    sock = connect(address, port)
    sock.sendall(text.encode())
    answer_to(sock, text.encode())


if __name__ == '__main__':
    COMMANDS = {'serve': serve, 'send': send, 'say': say}
    if len(sys.argv) < 4 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
