"""Traffic over a link that loses, reorders, doubles and corrupts frames.

MSB_SEED=N repeats a run; the seed is printed with every failure.
"""
import os
import random
import socket
import time

import pytest

from lab import FAMILIES, HOST, family_id
from test_tcp import MIB, Later, receive_all, send_all

SEED = int(os.environ.get("MSB_SEED", random.SystemRandom().getrandbits(32)))
FAULTS = {
    "lossy": "loss=2%,reorder=5%,dup=1%",
    "corrupt": "loss=1%,corrupt=0.5%",
    "late": "delay=5ms,reorder=20%,reorder-delay=3ms",
    "far": "delay=50ms",
}


@pytest.fixture
def faulty(lab, request):
    print(f"MSB_SEED={SEED}")
    kind, *args = request.param
    lab.start("--fault", f"seed={SEED},{FAULTS[kind]}", *args)
    return lab


kinds = pytest.mark.parametrize(
    "faulty", [("lossy",), ("lossy", "--no-peek-off"),
               ("lossy", "--no-offload"), ("corrupt",), ("late",)],
    indirect=True, ids=lambda x: "".join(x))


def pair(lab, family):
    listener = lab.own(lab.host.listen(HOST[family]))
    guest = lab.own(lab.guest.connect(*listener.getsockname()[:2],
                                      timeout=30))
    host = lab.own(listener.accept()[0])
    host.settimeout(30)
    return guest, host


@kinds
@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_16_mib_each_way(faulty, family):
    guest, host = pair(faulty, family)
    for a, b in ((guest, host), (host, guest)):
        got = Later(receive_all, b)
        want = send_all(a, 16 * MIB)
        a.shutdown(socket.SHUT_WR)
        assert got.get(90) == (want, 16 * MIB)


@pytest.mark.parametrize("faulty", [("far",)], indirect=True)
@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_window_grows_with_the_round_trip(faulty, family):
    """A new socket's send buffer alone would let 64 KiB through in each"""
    rtt_s, size = 0.1, 4 * MIB
    listener = faulty.own(faulty.host.socket(family))
    # Segments as on Ethernet: of those of loopback it begins with 2.5 MiB
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
    listener.bind((HOST[family], 0))
    listener.listen()
    guest = faulty.own(faulty.guest.connect(*listener.getsockname()[:2]))
    host = faulty.own(listener.accept()[0])
    got = Later(receive_all, host)
    begin = time.monotonic()
    want = send_all(guest, size)
    guest.shutdown(socket.SHUT_WR)
    assert got.get() == (want, size)
    assert time.monotonic() - begin < size / 65536 * rtt_s / 2


@pytest.mark.parametrize("faulty", [("lossy",)], indirect=True)
def test_100_connections(faulty):
    """Every handshake, and every end, comes through in the end."""
    def one(i):
        family = FAMILIES[i % 2]
        with faulty.guest.connect(HOST[family], ports[family],
                                  timeout=30) as s:
            s.sendall(b"%05d" % i)
            s.shutdown(socket.SHUT_WR)
            data = b""
            while True:
                more = s.recv(100)
                if not more:
                    return data
                data += more

    from lab import Echo
    ports = {f: faulty.own(Echo(faulty.host.listen(HOST[f]))).port
             for f in FAMILIES}
    tasks = [Later(one, i) for i in range(100)]
    assert [t.get(60) for t in tasks] == [b"%05d" % i for i in range(100)]
