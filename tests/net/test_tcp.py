"""TCP between a guest and servers on the host."""
import hashlib
import os
import random
import socket
import struct
import threading
import time

import pytest

from lab import (DENIED4, DENIED6, Echo, FAMILIES, GW, HOLE4, HOLE6, HOST,
                 LOOP, NOROUTE4, NOROUTE6, Server, family_id)

MIB = 1 << 20
BLOCK = random.Random(1).randbytes(MIB)
PLAIN = ("--no-peek-off",)
both = pytest.mark.parametrize("family", FAMILIES, ids=family_id)
variants = pytest.mark.parametrize(
    "net, size", [((), 256 * MIB), (PLAIN, 48 * MIB)], indirect=["net"],
    ids=["peek-off", "no-peek-off"])


def chunks(size):
    """size bytes in blocks that differ from each other."""
    for i in range(0, size, MIB):
        head = struct.pack(">Q", i)
        yield (head + BLOCK[8:])[:size - i]


def send_all(sock, size):
    h = hashlib.sha256()
    for part in chunks(size):
        h.update(part)
        sock.sendall(part)
    return h.digest()


def receive_all(sock):
    h, n, buf = hashlib.sha256(), 0, bytearray(MIB)
    while True:
        got = sock.recv_into(buf)
        if not got:
            return h.digest(), n
        h.update(memoryview(buf)[:got])
        n += got


class Later:
    """The result of a function that runs in a thread."""

    def __init__(self, fn, *args):
        self.value = self.error = None
        self.thread = threading.Thread(target=self._run, args=(fn, *args),
                                       daemon=True)
        self.thread.start()

    def _run(self, fn, *args):
        try:
            self.value = fn(*args)
        except BaseException as e:
            self.error = e

    def get(self, timeout=60):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "still running"
        if self.error:
            raise self.error
        return self.value


def pair(lab, family):
    """A connection: the guest's end, the host's end."""
    listener = lab.own(lab.host.listen(HOST[family]))
    guest = lab.own(lab.guest.connect(HOST[family], listener.getsockname()[1]))
    host = lab.own(listener.accept()[0])
    host.settimeout(10)
    return guest, host


@both
@variants
def test_bulk_guest_to_host(net, family, size):
    guest, host = pair(net, family)
    got = Later(receive_all, host)
    want = send_all(guest, size)
    guest.shutdown(socket.SHUT_WR)
    assert got.get() == (want, size)


@both
@variants
def test_bulk_host_to_guest(net, family, size):
    guest, host = pair(net, family)
    got = Later(receive_all, guest)
    want = send_all(host, size)
    host.shutdown(socket.SHUT_WR)
    assert got.get() == (want, size)
