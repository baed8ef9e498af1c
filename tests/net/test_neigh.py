"""Neighbours: who is where on the link, and whether it still hears."""
import json
import socket
import threading
import time

import pytest
from scapy.layers.inet6 import (ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr,
                                ICMPv6NDOptSrcLLAddr, IPv6)
from scapy.layers.l2 import ARP, Ether

from lab import (FAMILIES, GUEST4, GUEST6, GW, GW4, GW6, GW_MAC, HOST, MAC,
                 Echo, family_id, until)

ALL = "ff:ff:ff:ff:ff:ff"


def neigh(lab, addr):
    """The guest kernel's entry."""
    got = json.loads(lab.guest.run("ip", "-j", "neigh", "show", addr) or "[]")
    return got[0] if got else {}


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_the_guests_kernel_finds_and_keeps_the_gateway(net, family):
    """Its own unreachability detection is answered: REACHABLE again."""
    net.guest.run("ip", "neigh", "flush", "dev", "eth0")
    net.guest.run("ping", "-c1", "-W3", GW[family])
    assert neigh(net, GW[family])["lladdr"] == GW_MAC
    net.guest.run("ip", "neigh", "change", GW[family], "dev", "eth0",
                  "lladdr", GW_MAC, "nud", "probe")
    until(lambda: neigh(net, GW[family])["state"] == ["REACHABLE"],
          "no answer to a unicast request")


def test_the_gateway_announces_itself(lab):
    """A guest that lived through another gateway learns the MAC at once."""
    lab.gateway()
    peer = lab.bare()
    peer.send(Ether(src=MAC, dst=GW_MAC) / ARP(psrc=GUEST4, pdst=GW4,
                                               hwsrc=MAC))
    got = [peer.recv(lambda f: True) for _ in range(3)]
    arp = [f for f in got if f and ARP in f and f.dst == ALL]
    assert arp and arp[0][ARP].psrc == arp[0][ARP].pdst == GW4, got
    assert arp[0][ARP].hwsrc == GW_MAC
    na = [f for f in got if f and ICMPv6ND_NA in f]
    assert na and na[0][ICMPv6ND_NA].tgt == GW6 and na[0][ICMPv6ND_NA].O == 1
    assert na[0][ICMPv6NDOptDstLLAddr].lladdr == GW_MAC


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_duplicate_address_is_found(net, family):
    """Whoever wants the gateway's address hears that it is taken."""
    if family == socket.AF_INET6:
        # msb-init switches it off: its address is nobody else's
        net.guest.sysctl("net.ipv6.conf.eth0.dad_transmits", 1)
        net.guest.sysctl("net.ipv6.conf.eth0.accept_dad", 1)
        net.guest.run("ip", "addr", "add", f"{GW6}/128", "dev", "eth0")
        try:
            until(lambda: "dadfailed" in net.guest.run(
                "ip", "-6", "addr", "show", "dev", "eth0"), "no DAD failure")
        finally:
            net.guest.run("ip", "addr", "del", f"{GW6}/128", "dev", "eth0")
            net.guest.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        return
    # RFC 5227: a probe has no sender; the kernel itself does not probe
    eth = bytes(Ether(src=MAC, dst=ALL) / ARP(hwsrc=MAC, psrc="0.0.0.0",
                                               pdst=GW4))
    with net.guest.net():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                          socket.htons(0x0806))
        s.bind(("eth0", 0))
    with s:
        s.settimeout(3)
        s.send(eth)
        while True:
            got = Ether(s.recv(2000))
            if got[ARP].op == 2:
                break
    assert got[ARP].psrc == GW4 and got[ARP].hwsrc == GW_MAC


def test_the_guest_changes_its_mac(net):
    """Connections live on: the next frame says where the guest is."""
    new = "02:6d:73:00:00:7a"
    echo = net.own(Echo(net.host.listen(HOST[socket.AF_INET])))
    s = net.own(net.guest.connect(HOST[socket.AF_INET], echo.port))
    try:
        for mac in (new, MAC):
            s.sendall(b"before")
            assert s.recv(100) == b"before"
            net.guest.run("ip", "link", "set", "eth0", "address", mac)
            s.sendall(b"after")
            assert s.recv(100) == b"after"
            net.guest.run("ping", "-c1", "-W3", GW6)
    finally:
        net.guest.run("ip", "link", "set", "eth0", "address", MAC)


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_the_gateway_asks_whether_the_guest_is_there(lab, family):
    """A host that talks to a silent guest: asked after 5 s, answered."""
    lab.start()
    host = lab.own(lab.host.udp(HOST[family]))
    guest = lab.own(lab.guest.udp(
        GUEST4 if family == socket.AF_INET else GUEST6))
    guest.sendto(b"hello", host.getsockname()[:2])
    peer = host.recvfrom(100)[1]
    until(lambda: not host.sendto(b"x", peer) or
          lab.gw.log.lines("neighbour entry: probe -> reachable"),
          "nobody was asked, or did not answer", timeout=12, step=0.3)
    assert not lab.gw.log.lines("-> incomplete")
    assert guest.recv(100) == b"x"


def test_a_guest_that_went_deaf_and_comes_back(lab):
    """What is sent meanwhile waits or is lost; what is sent later arrives."""
    lab.start()
    host = lab.own(lab.host.udp(HOST[socket.AF_INET]))
    guest = lab.own(lab.guest.udp(GUEST4))
    guest.sendto(b"hello", host.getsockname())
    peer = host.recvfrom(100)[1]
    lab.guest.run("ip", "link", "set", "eth0", "arp", "off")
    stop = threading.Event()

    def talk():
        while not stop.wait(0.2):
            host.sendto(b"x", peer)
    threading.Thread(target=talk, daemon=True).start()
    try:
        lab.gw.log.wait("neighbour entry: probe -> incomplete", timeout=15)
        lab.gw.log.wait("neighbour entry: incomplete -> failed", timeout=10)
        lab.guest.run("ip", "link", "set", "eth0", "arp", "on")
        lab.gw.log.wait("neighbour entry: incomplete -> (stale|reach)", timeout=10)
    finally:
        stop.set()
    time.sleep(0.3)
    guest.settimeout(0.3)
    try:
        while True:
            guest.recv(100)
    except TimeoutError:
        pass
    host.sendto(b"late", peer)
    guest.settimeout(3)
    while guest.recv(100) != b"late":
        pass


def test_who_claims_the_gateways_address(lab):
    """It is told otherwise once in 10 s, not each time."""
    lab.gateway()
    peer = lab.bare()
    eth = Ether(src=MAC, dst=GW_MAC)
    peer.send(eth / ARP(psrc=GUEST4, pdst=GW4, hwsrc=MAC))
    assert peer.recv(lambda f: ARP in f and f[ARP].op == 2)
    peer.drain()
    peer.send(*[eth / ARP(op=1 + i % 2, psrc=GW4, pdst=GW4, hwsrc=MAC)
                for i in range(10)])
    peer.send(*[eth / IPv6(src=GUEST6, dst="ff02::1", hlim=255) /
                ICMPv6ND_NA(tgt=GW6, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC)
                for _ in range(10)])
    peer.send(eth / IPv6(src=GUEST6, dst=GW6, hlim=255) /
              ICMPv6ND_NS(tgt=GW6) / ICMPv6NDOptSrcLLAddr(lladdr=MAC))
    got = []
    while True:
        f = peer.recv(timeout=3)
        if not f or (ICMPv6ND_NA in f and f[ICMPv6ND_NA].S):
            break
        got.append(f)
    assert f, "no answer to the solicitation"
    assert len([x for x in got if ARP in x and x[ARP].psrc == GW4 and
                x.dst == ALL]) == 1, got
    assert len([x for x in got if ICMPv6ND_NA in x]) == 1, got
    assert len(lab.gw.log.lines("claims the gateway's IPv[46]")) == 2
    counts = lab.gw.counts()
    assert counts["drop_arp_conflict"] == counts["drop_ndp_conflict"] == 10


def ask_for_routers(lab):
    """A solicitation by the guest; its kernel sees what comes back."""
    lab.guest.sysctl("net.ipv6.conf.eth0.accept_ra", 2)
    s = lab.guest.socket(socket.AF_INET6, socket.SOCK_RAW,
                         socket.IPPROTO_ICMPV6)
    with s, lab.guest.net():
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF,
                     socket.if_nametoindex("eth0"))
        s.sendto(b"\x85" + bytes(7), ("ff02::2", 0))


def test_router_advertisements(lab):
    """The guest's kernel takes route and MTU from them, and lets go of both."""
    lab.start("--ra", "--mtu", "1400")
    ask_for_routers(lab)
    route = until(lambda: lab.guest.run("ip", "-6", "route", "show",
                                        "default", "proto", "ra"),
                  "no route from an advertisement")
    assert "via fe80::6d:73ff:fe00:1" in route and "mtu 1400" in route
    # it is a router indeed: with no other route
    lab.guest.run("ip", "-6", "route", "del", "default", "via", GW6)
    lab.guest.run("ping", "-c1", "-W3", HOST[socket.AF_INET6])
    assert len(lab.guest.run("ip", "-6", "addr", "show", "dev", "eth0",
                             "scope", "global").split("inet6")) == 2
    lab.gw.stop()
    until(lambda: not lab.guest.run("ip", "-6", "route", "show", "default",
                                    "proto", "ra"), "the route stayed")


def test_no_router_advertisements_unless_asked_for(lab):
    lab.start()
    ask_for_routers(lab)
    time.sleep(0.5)
    assert not lab.guest.run("ip", "-6", "route", "show", "default", "proto",
                             "ra")
    assert lab.gw.counts()["drop_ndp_rs"] == 1
