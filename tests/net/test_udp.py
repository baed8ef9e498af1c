"""UDP between a guest and endpoints on the host."""
import socket
import threading
import time

import pytest

from lab import (DENIED4, DENIED6, FAMILIES, GW, HOST, LOOP, NOROUTE4,
                 NOROUTE6, OTHER4, OTHER6, family_id)

both = pytest.mark.parametrize("family", FAMILIES, ids=family_id)
OTHER = {socket.AF_INET: OTHER4, socket.AF_INET6: OTHER6}
LONGEST = {socket.AF_INET: 65507, socket.AF_INET6: 65527}
ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def echo(lab, sock):
    """Send back whatever comes, until the socket is closed."""
    def run():
        while True:
            try:
                data, who = sock.recvfrom(65536)
                sock.sendto(data, who)
            except TimeoutError:
                continue
            except OSError:
                return
    sock.settimeout(0.2)
    threading.Thread(target=run, daemon=True).start()
    lab.own(sock)
    return sock.getsockname()[1]


def silent(sock, wait=0.3):
    """Nothing comes for a while."""
    sock.settimeout(wait)
    with pytest.raises(TimeoutError):
        raise AssertionError(f"came: {sock.recvfrom(65536)}")
    sock.settimeout(3)
    return True


@both
@pytest.mark.parametrize("where", ["gateway", "host"])
@pytest.mark.parametrize("net", [(), ("--no-offload",)], indirect=True,
                         ids=["offload", "plain"])
def test_echo_of_every_length(net, family, where):
    """Up to the longest there is; beyond the MTU in fragments, both ways."""
    port = echo(net, net.host.udp(
        (LOOP if where == "gateway" else HOST)[family]))
    to = ((GW if where == "gateway" else HOST)[family], port)
    s = net.own(net.guest.udp(ANY[family]))
    for n in (0, 1, 2, 100, 511, 1451, 1452, 1453, 1471, 1472, 1473, 1500,
              2944, 2945, 9000, 32767, 65000, LONGEST[family] - 1,
              LONGEST[family]):
        data = bytes(i * 7 + n & 255 for i in range(n))
        s.sendto(data, to)
        got, who = s.recvfrom(65536)
        assert got == data, n
        assert who[:2] == to


@both
@pytest.mark.parametrize("where", ["gateway", "host"])
def test_closed_port_is_refused(net, family, where):
    s = net.own(net.guest.udp(ANY[family]))
    s.connect(((GW if where == "gateway" else HOST)[family], 9))
    s.send(b"hello")
    start = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        s.recv(100)
    assert time.monotonic() - start < 0.5


def test_unreachable_is_told(net):
    for addr in (NOROUTE4, NOROUTE6):
        s = net.own(net.guest.udp("::" if ":" in addr else "0.0.0.0"))
        s.setsockopt(*((socket.IPPROTO_IPV6, 25, 1) if ":" in addr else
                       (socket.IPPROTO_IP, 11, 1)))       # RECVERR
        s.connect((addr, 9))
        s.send(b"hello")
        with pytest.raises(OSError) as e:
            s.recv(100)
        assert not isinstance(e.value, TimeoutError), addr


@both
def test_denied_goes_nowhere(net, family):
    addr = {socket.AF_INET: DENIED4, socket.AF_INET6: DENIED6}[family]
    server = net.own(net.host.udp(addr))
    s = net.own(net.guest.udp(ANY[family]))
    s.sendto(b"hello", (addr, server.getsockname()[1]))
    assert silent(server)


@both
def test_one_port_for_all_destinations(net, family):
    """Endpoint-independent mapping (RFC 4787), and one for each guest port."""
    first = net.own(net.host.udp(HOST[family]))
    second = net.own(net.host.udp(OTHER[family]))
    s = net.own(net.guest.udp(ANY[family]))
    seen = []
    for server in (first, second, first):
        s.sendto(b"hello", server.getsockname()[:2])
        seen.append(server.recvfrom(100)[1][1])
    assert len(set(seen)) == 1
    t = net.own(net.guest.udp(ANY[family]))
    t.sendto(b"hello", first.getsockname()[:2])
    assert first.recvfrom(100)[1][1] != seen[0]


@both
def test_only_whom_the_guest_asked_gets_in(lab, family):
    """Another port, another address: dropped and counted."""
    lab.start()
    asked = lab.own(lab.host.udp(HOST[family]))
    same_host = lab.own(lab.host.udp(HOST[family]))
    stranger = lab.own(lab.host.udp(OTHER[family]))
    s = lab.own(lab.guest.udp(ANY[family]))
    s.sendto(b"hello", asked.getsockname()[:2])
    who = asked.recvfrom(100)[1]
    for other in (same_host, stranger):
        # the host socket is bound to no address: reach it by this one
        other.sendto(b"intruder", (HOST[family], who[1]))
        other.sendto(b"intruder", who[:2])
    assert silent(s)
    asked.sendto(b"welcome", who)
    assert s.recvfrom(100)[0] == b"welcome"
    # once asked, it may come in
    s.sendto(b"hello", stranger.getsockname()[:2])
    stranger.recvfrom(100)
    stranger.sendto(b"welcome", (OTHER[family], who[1]))
    assert s.recvfrom(100)[0] == b"welcome"
    lab.sane()
    assert lab.gw.counts()["drop_udp_filtered"] == 4


def test_many_ports_at_once(net):
    port = echo(net, net.host.udp(HOST[socket.AF_INET]))
    socks = [net.own(net.guest.udp("0.0.0.0")) for _ in range(100)]
    for i, s in enumerate(socks):
        s.sendto(b"%d" % i, (HOST[socket.AF_INET], port))
    for i, s in enumerate(socks):
        assert s.recv(100) == b"%d" % i


def test_full_table_gives_up_the_oldest(lab):
    """64 flows are the least that it has room for."""
    lab.start("--max-connections", 1)
    server = lab.own(lab.host.udp(HOST[socket.AF_INET]))
    to = server.getsockname()
    socks = [lab.own(lab.guest.udp("0.0.0.0")) for _ in range(100)]
    seen = []
    for s in socks:
        s.sendto(b"x", to)
        seen.append(server.recvfrom(10)[1])
    server.sendto(b"new", seen[-1])
    assert socks[-1].recv(10) == b"new"
    server.sendto(b"old", seen[0])
    assert silent(socks[0])
    lab.sane()


@both
def test_burst_to_the_guest(net, family):
    """A few hundred datagrams in a row arrive in order, whole."""
    server = net.own(net.host.udp(HOST[family]))
    s = net.own(net.guest.udp(ANY[family]))
    s.sendto(b"go", server.getsockname()[:2])
    who = server.recvfrom(10)[1]
    for first in range(0, 300, 50):     # no more than a socket's buffer holds
        for i in range(first, first + 50):
            server.sendto(b"%06d" % i + bytes(1000), who)
        got = [int(s.recv(2000)[:6]) for _ in range(50)]
        assert got == list(range(first, first + 50))
