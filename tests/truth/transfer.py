#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""transfer.py server ADDRESS... | client SOURCE ADDRESS [SOURCE ADDRESS]...: known octets over the kernel's TCP.

The client plays the list of PLANS over each pair of addresses and prints, per connection, what must have gone over the wire,
in model.py's format without what only the wire knows:
  {"client":"IP:PORT","server":"IP:PORT","number":..,"end":"...","c2s":{"bytes":..,"sha256":".."},"s2c":{...}}
A direction is null where the kernel decides how much of it goes out (resets).  Both sides compute the octets from the plan's
number, so no reassembly is asked.  The server says `ready` and runs until SIGTERM.
"""
import errno
import hashlib
import json
import random
import signal
import socket
import struct
import sys
import threading
import time

PORT, CLOSED_PORT, SERVER_CLOSES_PORT = 5001, 5002, 5003

# (name, octets up, octets down, what is special)
PLANS = [
    ('empty', 0, 0, ''), ('one', 1, 1, ''), ('small', 300, 5000, ''), ('up', 400000, 10, ''), ('down', 10, 700000, ''),
    ('both', 150000, 150000, ''), ('half', 20000, 200000, 'half'), ('server first', 3000, 30000, 'server'),
    ('drip', 200, 200, 'drip'), ('small window', 120000, 100, 'slow'), ('keepalive', 100, 100, 'keepalive'),
    ('urgent', 2000, 10, 'urgent'), ('fast open', 700, 3000, 'fastopen'), ('fast open again', 700, 3000, 'fastopen'),
    ('refused', 0, 0, 'refused'), ('abort', 30000, 0, 'abort'), ('unread', 10, 60000, 'unread'),
    ('reuse 1', 5000, 6000, 'reuse'), ('reuse 2', 7000, 8000, 'reuse'), ('reuse 3', 100, 90000, 'reuse'),
]
PLANS += [('many %d' % i, i * 37 % 3000, i * 411 % 20000, 'parallel') for i in range(40)]


def octets(number, direction, size):
    return random.Random('%d %s' % (number, direction)).randbytes(size)


def known_octets(number):
    """What the client and the server send in a connection that ends well."""
    _, up, down, _ = PLANS[number % 1000]
    return struct.pack('!I', number) + octets(number, 'up', up), octets(number, 'down', down)


def receive(sock, size):
    got = bytearray()
    while len(got) < size:
        piece = sock.recv(min(65536, size - len(got)))
        if not piece:
            break
        got += piece
    return bytes(got)


def expect_end(sock):
    if sock.recv(1) != b'':
        raise AssertionError('more than was sent')


# --- the server: the first four octets of a connection say which plan it is ---

def serve(sock):
    try:
        head = receive(sock, 4)
    except ConnectionResetError: # the client that aborts may do so before the wire has let anything through
        head = b''
    if len(head) == 4:
        number = struct.unpack('!I', head)[0]
        _, up, down, special = PLANS[number % 1000]
        try:
            answer(sock, number, up, down, special)
        except ConnectionError:
            if special not in ('abort', 'unread'):
                raise
    sock.close()


def answer(sock, number, up, down, special):
    if special == 'slow':
        for _ in range(4):
            time.sleep(0.15)
            receive_checked(sock, number, up // 4, 'slow')
        receive(sock, up - up // 4 * 4)
    elif special == 'half':
        assert receive(sock, up) == octets(number, 'up', up)
        expect_end(sock)
    elif special != 'abort':
        got = receive(sock, up)
        assert special in ('urgent', 'drip') or got == octets(number, 'up', up), PLANS[number % 1000]
    else:
        while sock.recv(65536):
            pass
    sent = octets(number, 'down', down)
    if special == 'drip':
        for i in range(0, down, 10):
            sock.sendall(sent[i:i + 10])
            time.sleep(0.002)
    else:
        sock.sendall(sent)
    if special in ('server', 'reuse'):
        sock.shutdown(socket.SHUT_WR)
    while special not in ('half',) and sock.recv(65536):
        pass


def receive_checked(sock, number, size, special):
    got = receive(sock, size)
    assert len(got) == size, (number, special)


def listen(address):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, 23, 16)     # TCP_FASTOPEN
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    sock.bind((address, PORT))
    sock.listen(256)
    small = socket.socket(family, socket.SOCK_STREAM)
    small.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.bind((address, SERVER_CLOSES_PORT))
    small.listen(16)
    return sock, small


def accept_all(sock):
    while True:
        threading.Thread(target=serve, args=(sock.accept()[0],), daemon=True).start()


def server(addresses):
    for address in addresses:
        for sock in listen(address):
            threading.Thread(target=accept_all, args=(sock,), daemon=True).start()
    print('ready', flush=True)
    signal.sigwait({signal.SIGTERM})


# --- the client ---

class Client:
    def __init__(self, source, target, base):
        self.source, self.target, self.base = source, target, base
        self.family = socket.AF_INET6 if ':' in target else socket.AF_INET
        self.reused = None

    def socket(self, special):
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        sock.settimeout(60)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.source, self.reused if special == 'reuse' and self.reused else 0))
        if special == 'reuse':
            self.reused = sock.getsockname()[1]
        return sock

    def play(self, index):
        name, special, number = PLANS[index][0], PLANS[index][3], self.base + index
        sock = self.socket(special)
        port = {'refused': CLOSED_PORT, 'slow': SERVER_CLOSES_PORT}.get(special, PORT)
        up_all, wanted = known_octets(number)
        head, sent = up_all[:4], up_all[4:]
        local = sock.getsockname()
        try:
            if special == 'fastopen':
                sock.settimeout(None)
                done = sock.sendto(head + sent, socket.MSG_FASTOPEN, (self.target, port))
                sock.settimeout(60)
                sock.sendall((head + sent)[done:])
            else:
                self.connect(sock, port)
                self.send(sock, head, sent, special)
            got = self.receive(sock, wanted, special)
        except ConnectionRefusedError:
            assert special == 'refused', name
            return self.known(number, local, port, 'RST', b'', b'')
        assert special == 'unread' or got == wanted, name
        if special == 'abort':
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        if special in ('server', 'reuse'):
            expect_end(sock)
        if special == 'half':
            expect_end(sock)
        sock.close()
        if special in ('abort', 'unread'):
            return self.known(number, local, port, 'RST', None, None)
        return self.known(number, local, port, 'FIN', head + sent, wanted)

    def connect(self, sock, port):
        """A port that is used again may still wait for its last acknowledgment."""
        for _ in range(300):
            try:
                return sock.connect((self.target, port))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                time.sleep(0.1)
        raise TimeoutError('the port is not free')

    def send(self, sock, head, sent, special):
        sock.sendall(head)
        if special == 'drip':
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(0, len(sent), 3):
                sock.sendall(sent[i:i + 3])
        elif special == 'urgent':
            sock.sendall(sent[:1000])
            sock.send(sent[1000:1001], socket.MSG_OOB)
            sock.sendall(sent[1001:])
        else:
            sock.sendall(sent)
        if special == 'half':
            sock.shutdown(socket.SHUT_WR)
        if special == 'keepalive':
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)

    @staticmethod
    def receive(sock, wanted, special):
        if special == 'unread':
            return receive(sock, 1000)
        got = receive(sock, len(wanted))
        if special == 'keepalive':
            time.sleep(2.5)     # for two keep-alives
        return got

    def known(self, number, local, port, end, up, down):
        form = '[%s]:%d' if self.family == socket.AF_INET6 else '%s:%d'
        return {'client': form % (self.source, local[1]), 'server': form % (self.target, port), 'number': number, 'end': end,
                'c2s': summary(up), 's2c': summary(down)}


def summary(data):
    return None if data is None else {'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()}


def client(pairs):
    lines, lock = [], threading.Lock()

    def play(player, indexes):
        for index in indexes:
            line = player.play(index)
            with lock:
                lines.append(line)
    threads = []
    for base, (source, target) in enumerate(pairs):
        player = Client(source, target, base * 1000)
        reuse = [i for i, plan in enumerate(PLANS) if plan[3] == 'reuse']
        parallel = [i for i, plan in enumerate(PLANS) if plan[3] == 'parallel']
        threads.append(threading.Thread(target=play, args=(player, reuse)))
        threads += [threading.Thread(target=play, args=(player, parallel[i::8])) for i in range(8)]
        threads += [threading.Thread(target=play, args=(player, [i])) for i in range(len(PLANS)) if i not in reuse + parallel
                    and PLANS[i][3] != 'fastopen']
        threads.append(threading.Thread(target=play, args=(player, [i for i, p in enumerate(PLANS) if p[3] == 'fastopen'])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for line in lines:
        print(json.dumps(line, separators=(',', ':')))
    return 0 if len(lines) == len(PLANS) * len(pairs) else 1


def main():
    if len(sys.argv) > 2 and sys.argv[1] == 'server':
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        server(sys.argv[2:])
        return 0
    if len(sys.argv) > 3 and sys.argv[1] == 'client':
        return client(list(zip(sys.argv[2::2], sys.argv[3::2])))
    sys.exit(__doc__)


if __name__ == '__main__':
    sys.exit(main())
