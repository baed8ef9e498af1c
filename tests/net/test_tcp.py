"""TCP between a guest and servers on the host."""
import hashlib
import os
import random
import signal
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


@both
@pytest.mark.parametrize("net", [(), PLAIN, ("--no-offload",)], indirect=True,
                         ids=["peek-off", "no-peek-off", "no-offload"])
def test_urgent_from_host(net, family):
    """A read stops before urgent data: nothing is lost, doubled or stuck."""
    guest, host = pair(net, family)
    for i in range(4):
        part, urgent = BLOCK[i:i + 3000 * i + 1], bytes([0x30 + i])
        os.kill(net.gw.pid, signal.SIGSTOP)     # all of it is there at once
        try:
            host.sendall(part)
            host.send(urgent, socket.MSG_OOB)
            host.sendall(part)
            if i == 3:
                host.shutdown(socket.SHUT_WR)
        finally:
            os.kill(net.gw.pid, signal.SIGCONT)
        want = part + urgent + part
        assert take(guest, len(want)) == want
    assert guest.recv(1) == b""


def take(sock, n):
    buf = b""
    while len(buf) < n:
        more = sock.recv(n - len(buf))
        assert more, f"the stream ended after {len(buf)} of {n} bytes"
        buf += more
    return buf


@both
@pytest.mark.parametrize("more", ["nothing", "bytes", "bulk"])
@pytest.mark.parametrize("first", ["guest", "host", "together"])
def test_half_close(net, family, first, more):
    """Who closes first, and how much the other one still sends."""
    a, b = pair(net, family)
    if first == "host":
        a, b = b, a
    size = {"nothing": 0, "bytes": 1000, "bulk": 8 * MIB}[more]
    a.sendall(b"before")
    a.shutdown(socket.SHUT_WR)
    if first == "together":
        b.sendall(b"other!")
        b.shutdown(socket.SHUT_WR)
        assert take(a, 6) == b"other!" and a.recv(1) == b""
        size = 0
    assert take(b, 6) == b"before"
    assert b.recv(1) == b""             # the FIN has come through
    if first != "together":
        got = Later(receive_all, a)
        want = send_all(b, size)
        b.shutdown(socket.SHUT_WR)
        assert got.get() == (want, size)


@both
@pytest.mark.parametrize("side", ["guest", "host"])
def test_half_open_for_a_while(net, family, side):
    """After one FIN the other direction works byte by byte, with pauses."""
    a, b = pair(net, family)
    if side == "host":
        a, b = b, a
    a.shutdown(socket.SHUT_WR)
    assert b.recv(1) == b""
    for i in range(5):
        b.sendall(bytes([i]))
        assert take(a, 1) == bytes([i])
        time.sleep(0.1)
    b.close()
    assert a.recv(1) == b""


def attempt(lab, addr, port=9, timeout=5):
    """What connect() says, and how long that took."""
    start = time.monotonic()
    try:
        lab.guest.connect(addr, port, timeout).close()
        return None, time.monotonic() - start
    except OSError as e:
        return type(e) if isinstance(e, TimeoutError) else e.errno, \
            time.monotonic() - start


def test_refused_is_refused_at_once(net):
    from errno import ECONNREFUSED
    for addr in (*GW.values(), *HOST.values()):
        why, took = attempt(net, addr)
        assert why == ECONNREFUSED and took < 0.5, (addr, why, took)


def test_denied_is_refused_at_once(net):
    """Even though a server listens there."""
    from errno import ECONNREFUSED
    for addr in (DENIED4, DENIED6):
        server = net.own(Server(net.host.listen(addr), lambda conn: None))
        why, took = attempt(net, addr, server.port)
        assert why == ECONNREFUSED and took < 0.5, (addr, why, took)


def test_unreachable_is_told_at_once(net):
    from errno import EHOSTUNREACH, ENETUNREACH
    for addr in (NOROUTE4, NOROUTE6):
        why, took = attempt(net, addr)
        assert why in (EHOSTUNREACH, ENETUNREACH), (addr, why)
        assert took < 0.5, (addr, took)


def test_black_hole_stays_silent_and_others_go_on(net):
    waiting = []
    for i in range(100):        # more than dials in flight per destination
        s = net.own(net.guest.socket(FAMILIES[i % 2]))
        s.setblocking(False)
        s.connect_ex(((HOLE4, HOLE6)[i % 2], 1000 + i))
        waiting.append(s)
    echo = net.own(Echo(net.host.listen(HOST[socket.AF_INET])))
    for _ in range(20):
        start = time.monotonic()
        with net.guest.connect(HOST[socket.AF_INET], echo.port) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        assert time.monotonic() - start < 0.5
    assert attempt(net, HOLE4, timeout=1.5)[0] is TimeoutError
    for s in waiting:           # neither answered nor refused
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        with pytest.raises(OSError):
            s.getpeername()


@both
@pytest.mark.parametrize("side", ["guest", "host"])
@pytest.mark.parametrize("blocked", [False, True],
                         ids=["idle", "unread-data"])
def test_rst_stays_rst(net, family, side, blocked):
    a, b = pair(net, family)
    if side == "host":
        a, b = b, a
    if blocked:
        b.sendall(bytes(100000))
        time.sleep(0.05)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a.close()
    with pytest.raises(ConnectionResetError):
        while b.recv(65536):
            pass


@both
@pytest.mark.parametrize("slow", ["guest", "host"])
def test_slow_reader_loses_nothing(net, family, slow):
    """The window closes, the sender blocks, and goes on when it is read."""
    a, b = pair(net, family)
    if slow == "guest":
        a, b = b, a
    size = 48 * MIB
    sent = Later(send_all, a, size)
    time.sleep(0.7)
    assert sent.thread.is_alive(), "everything was taken, unread"
    h, n, buf = hashlib.sha256(), 0, bytearray(MIB)
    while n < 2 * MIB:          # crawl at first
        got = b.recv_into(buf, 20000)
        h.update(memoryview(buf)[:got])
        n += got
        time.sleep(0.002)
    while n < size:
        got = b.recv_into(buf)
        assert got
        h.update(memoryview(buf)[:got])
        n += got
    assert h.digest() == sent.get()


@both
@pytest.mark.parametrize("side", ["guest", "host"])
def test_closed_window_for_seconds(net, family, side):
    """Zero-window probes keep it alive, and the update is not lost."""
    a, b = pair(net, family)
    if side == "host":
        a, b = b, a
    # below twice the MSS of its loopback the host itself crawls
    b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
    sent = Later(send_all, a, 16 * MIB)
    time.sleep(2.5)
    got = Later(receive_all, b)
    want = sent.get()
    a.shutdown(socket.SHUT_WR)
    assert got.get() == (want, 16 * MIB)


@both
def test_1000_connections_at_once(net, family):
    echo = net.own(Echo(net.host.listen(HOST[family])))
    socks = [net.own(net.guest.connect(HOST[family], echo.port))
             for _ in range(1000)]
    for i, s in enumerate(socks):
        s.sendall(b"%06d" % i)
    for i, s in enumerate(socks):
        assert take(s, 6) == b"%06d" % i
    assert echo.accepted == 1000


@both
def test_1000_connections_in_a_row(net, family):
    echo = net.own(Echo(net.host.listen(HOST[family])))
    for i in range(1000):
        with net.guest.connect(HOST[family], echo.port) as s:
            s.sendall(b"%06d" % i)
            assert take(s, 6) == b"%06d" % i


@both
def test_server_speaks_first(net, family):
    def banner(conn):
        conn.sendall(b"220 hello\r\n")
        conn.shutdown(socket.SHUT_WR)
        assert conn.recv(100) == b"quit"

    server = net.own(Server(net.host.listen(HOST[family]), banner))
    with net.guest.connect(HOST[family], server.port) as s:
        assert receive_all(s)[1] == 11
        s.sendall(b"quit")
        s.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
    server.check()


@both
@pytest.mark.parametrize("listens", FAMILIES, ids=["on-ipv4", "on-ipv6"])
def test_gateway_address_is_the_hosts_loopback(net, family, listens):
    """By either family, whichever one the server listens on."""
    echo = net.own(Echo(net.host.listen(LOOP[listens])))
    with net.guest.connect(GW[family], echo.port) as s:
        s.sendall(b"hello")
        assert take(s, 5) == b"hello"


@both
def test_writes_of_random_size(net, family):
    rng = random.Random(family)
    guest, host = pair(net, family)
    data = BLOCK * 4
    got = Later(receive_all, host)
    i = 0
    while i < len(data):
        n = rng.choice((1, 7, 100, 1447, 1448, 1449, 65535, 300000))
        guest.sendall(data[i:i + n])
        i += n
    guest.shutdown(socket.SHUT_WR)
    assert got.get() == (hashlib.sha256(data).digest(), len(data))
    back = Later(receive_all, guest)
    i = 0
    while i < len(data):
        n = rng.choice((1, 7, 100, 1447, 1448, 1449, 65535, 300000))
        host.sendall(data[i:i + n])
        i += n
    host.shutdown(socket.SHUT_WR)
    assert back.get() == (hashlib.sha256(data).digest(), len(data))


@both
def test_both_directions_at_once(net, family):
    guest, host = pair(net, family)
    up, down = Later(receive_all, host), Later(receive_all, guest)
    other = Later(send_all, host, 32 * MIB)
    want = send_all(guest, 32 * MIB)
    guest.shutdown(socket.SHUT_WR)
    want_down = other.get()
    host.shutdown(socket.SHUT_WR)
    assert up.get() == (want, 32 * MIB)
    assert down.get() == (want_down, 32 * MIB)


@pytest.mark.parametrize("net", [("--no-offload",)], indirect=True)
def test_without_offloads(net):
    guest, host = pair(net, socket.AF_INET)
    got = Later(receive_all, host)
    want = send_all(guest, 16 * MIB)
    guest.shutdown(socket.SHUT_WR)
    assert got.get() == (want, 16 * MIB)
    got = Later(receive_all, guest)
    want = send_all(host, 16 * MIB)
    host.shutdown(socket.SHUT_WR)
    assert got.get() == (want, 16 * MIB)


@pytest.mark.parametrize("net", [("--no-offload",)], indirect=True)
def test_flows_do_not_mix_without_offloads(net):
    """What is read ahead for one is not given to another."""
    pairs = [pair(net, FAMILIES[i % 2]) for i in range(6)]
    data = [BLOCK[1000 * i + 1:] + b"%d" % i for i in range(len(pairs))]
    tasks = [Later(take, guest, 4 * len(want))
             for (guest, _), want in zip(pairs, data)]
    sent = [Later(host.sendall, 4 * want)
            for (_, host), want in zip(pairs, data)]
    for task, want in zip(tasks, data):
        assert task.get() == 4 * want
    for task in sent:
        task.get()


def test_flows_that_are_over_are_bounded_too(lab):
    """A server that takes nothing does not get a socket of the host for good."""
    lab.start("--max-connections", 32)
    listener = lab.host.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind((HOST[socket.AF_INET], 0))
    listener.listen(64)

    def sockets():
        with lab.host.net(), open("/proc/thread-self/net/sockstat") as f:
            line = f.read().split("\nTCP: ")[1].split()
        return int(line[1]) + int(line[3])      # in use, and orphans
    servers = []
    for _ in range(200):
        with lab.guest.connect(*listener.getsockname()) as s:
            server = lab.own(listener.accept()[0])
            server.shutdown(socket.SHUT_WR)
            s.sendall(bytes(30000))
            assert s.recv(1) == b""
        servers.append(server)
    assert sockets() < 200 + 32 + 20, "of the servers, and of the gateway"
    assert receive_all(servers[-1])[1] == 30000     # not one of the oldest
    assert lab.gw.stop() == 0
    assert int(lab.gw.log.lines(r"tcp_linger_evicted: (\d+)")[0]) > 100


def test_server_gets_the_rest_after_the_guest_has_closed(net):
    listener = net.own(net.host.socket(socket.AF_INET))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind((HOST[socket.AF_INET], 0))
    listener.listen(1)
    with net.guest.connect(*listener.getsockname()) as s:
        server = net.own(listener.accept()[0])
        server.shutdown(socket.SHUT_WR)
        s.sendall(BLOCK[:30000])
    time.sleep(1)
    assert receive_all(server) == (hashlib.sha256(BLOCK[:30000]).digest(),
                                   30000)


def test_table_full_refuses_and_recovers(lab):
    from errno import ECONNREFUSED
    lab.start("--max-connections", 16)
    echo = lab.own(Echo(lab.host.listen(HOST[socket.AF_INET])))
    socks = [lab.guest.connect(HOST[socket.AF_INET], echo.port)
             for _ in range(16)]
    why, took = attempt(lab, HOST[socket.AF_INET], echo.port)
    assert why == ECONNREFUSED and took < 0.5
    for s in socks:
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        s.close()
    time.sleep(0.2)
    assert attempt(lab, HOST[socket.AF_INET], echo.port)[0] is None
    lab.sane()
