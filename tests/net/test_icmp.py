"""Pings of the guest: the gateway itself, and others by ping sockets."""
import re
import socket

import pytest

from lab import (DENIED4, DENIED6, FAMILIES, GUEST4, GUEST6, GW4, GW6, HOST,
                 HOST4, HOST6, NOROUTE4, NOROUTE6, family_id, until)


def ping(lab, addr, size=56, count=3, wait=2):
    """How many came back, and what ping said.

    After the last one ping waits for as long as its interval, no longer.
    """
    out = lab.guest.run("ping", f"-c{count}", "-i0.15", f"-W{wait}", "-n",
                        f"-s{size}", addr, check=False)
    return int(re.search(r"(\d+) received", out)[1]), out


@pytest.mark.parametrize("addr", [GW4, GW6, HOST4, HOST6])
@pytest.mark.parametrize("size", [0, 56, 1400, 1473, 8000, 60000])
def test_ping(net, addr, size):
    got, out = ping(net, addr, size)
    assert got == 3, out
    assert "DUP" not in out and "wrong" not in out


def test_time_to_live_is_that_of_the_path(net):
    """What the host heard, not a constant; the gateway's own is 64."""
    net.host.sysctl("net.ipv4.ip_default_ttl", 33)
    try:
        assert "ttl=33" in ping(net, HOST4)[1]
        assert "ttl=64" in ping(net, GW4)[1]
    finally:
        net.host.sysctl("net.ipv4.ip_default_ttl", 64)


@pytest.mark.parametrize("addr", [DENIED4, DENIED6])
def test_denied_stays_silent(net, addr):
    got, out = ping(net, addr, count=1, wait=1)
    assert got == 0
    assert "nreachable" not in out and "errors" not in out, out


def test_gateway_is_denied_without_host(lab):
    lab.start(net="public")
    assert ping(lab, GW4, count=1, wait=1)[0] == 0
    assert ping(lab, HOST4)[0] == 3


@pytest.mark.parametrize("addr", [NOROUTE4, NOROUTE6])
def test_unreachable_is_told(net, addr):
    got, out = ping(net, addr, count=1, wait=1)
    assert got == 0 and ("nreachable" in out or "No route" in out), out


def test_two_at_once_do_not_mix(net):
    """Each ping of the guest has its own identifier."""
    procs = [net.guest.popen("ping", "-c5", "-i0.2", "-W2", "-n", addr,
                             stdout=-1, text=True)
             for addr in (HOST4, HOST4, HOST6, GW4)]
    for p in procs:
        out = p.communicate(timeout=10)[0]
        assert "5 received" in out and "DUP" not in out, out


def test_host_without_ping_sockets_says_so_once(lab):
    lab.start(ping=None)        # nobody: as Linux comes
    for addr in (HOST4, HOST6):
        got, out = ping(lab, addr, wait=1)
        assert got == 0
    assert len(lab.gw.log.lines("guests can ping the gateway only")) == 1
    assert ping(lab, GW4)[0] == ping(lab, GW6)[0] == 3


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_closed_port_of_the_guest_is_told(net, family):
    """"Port unreachable" of the guest ends the flow: the host says the same."""
    host = net.own(net.host.udp(HOST[family]))
    guest = net.guest.udp(GUEST4 if family == socket.AF_INET else GUEST6)
    with guest:
        guest.sendto(b"hello", host.getsockname()[:2])
        host.connect(host.recvfrom(100)[1])
        host.send(b"back")
        assert guest.recv(100) == b"back"

    def refused():
        try:
            host.send(b"anybody?")
        except ConnectionRefusedError:
            return True
        return False
    until(refused, "the host's port is still open", step=0.05)
