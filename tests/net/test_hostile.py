"""A guest that sends what no kernel would.

Frames are made here and go straight to the gateway, over a bare link.  After
each attack a ping and a TCP connection still work, and memory is bounded.
"""
import random
import socket
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest,
                                ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr,
                                IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from lab import (DENIED4, GUEST4, GUEST6, GW4, GW6, GW_MAC, HOLE4, HOST4,
                 HOST6, MAC, OTHER4, Echo, FAMILIES, cpu_s)

ETH = Ether(src=MAC, dst=GW_MAC)
IP4, IP6 = IP(src=GUEST4, dst=GW4), IPv6(src=GUEST6, dst=GW6)


def frames4(inner):
    return ETH / IP4 / inner


def frames6(inner):
    return ETH / IP6 / inner


class Guest:
    """A bare peer and the proof that the gateway is well."""

    def __init__(self, lab):
        self.lab, self.peer, self.seq = lab, lab.bare(), 0
        self.echo = lab.own(Echo(lab.host.listen(HOST4)))
        self.echo6 = lab.own(Echo(lab.host.listen(HOST6)))
        self.fine()
        self.rss = lab.gw.rss_kib()

    def send(self, *frames):
        """In parts, with the answers read: neither side may block."""
        for i in range(0, len(frames), 50):
            self.peer.send(*frames[i:i + 50])
            self.peer.drain()

    def fine(self):
        self.seq += 1
        self.peer.send(frames4(ICMP(id=9, seq=self.seq) / Raw(b"x" * 40)))
        assert self.peer.recv(lambda f: ICMP in f and f[ICMP].type == 0 and
                              f[ICMP].seq == self.seq), "no pong"
        self.peer.send(frames6(ICMPv6EchoRequest(id=9, seq=self.seq)))
        assert self.peer.recv(lambda f: ICMPv6EchoReply in f and
                              f[ICMPv6EchoReply].seq == self.seq), "no pong6"
        for ip, port in ((IP(src=GUEST4, dst=HOST4), self.echo.port),
                         (IPv6(src=GUEST6, dst=HOST6), self.echo6.port)):
            self.tcp(ip, port)
        assert self.lab.gw.proc.poll() is None
        assert "packet process ended" not in self.lab.gw.log.text

    def tcp(self, ip, port):
        """Handshake, then RST."""
        sport = 20000 + self.seq
        self.peer.send(ETH / ip / TCP(sport=sport, dport=port, flags="S",
                                      seq=1000))
        got = self.peer.recv(lambda f: TCP in f and f[TCP].dport == sport)
        assert got and str(got[TCP].flags) == "SA" and got[TCP].ack == 1001
        self.peer.send(ETH / ip / TCP(sport=sport, dport=port, flags="R",
                                      seq=1001))

    def bounded(self, kib=8192):
        grown = self.lab.gw.rss_kib() - self.rss
        assert grown < kib, f"grown by {grown} KiB"


@pytest.fixture
def hostile(lab):
    lab.gateway()
    return Guest(lab)


def ext(*headers):
    """IPv6 extension headers before an echo request."""
    p = IP6
    for h in headers:
        p = p / h
    return ETH / p / ICMPv6EchoRequest(id=1, seq=1)


def opts(cls, *options):
    return cls(options=list(options))


SPOOFED = {
    "other address": [ETH / IP(src=s, dst=GW4) / ICMP() for s in (
        "1.2.3.4", GW4, "127.0.0.1", "0.0.0.0", "255.255.255.255",
        "224.0.0.1", "100.96.0.3", "100.96.0.6", HOST4)],
    "other address, IPv6": [ETH / IPv6(src=s, dst=GW6) / ICMPv6EchoRequest()
                            for s in ("2001:db8::9", GW6, "::1", "::",
                                      "ff02::1", "fe80::1", "fd42::9",
                                      "::ffff:1.2.3.4")],
    "land": [ETH / IP(src=GW4, dst=GW4) / TCP(sport=80, dport=80, flags="S"),
             ETH / IP(src=HOST4, dst=HOST4) / TCP(sport=80, dport=80,
                                                  flags="S"),
             frames4(TCP(sport=80, dport=80, flags="S")),
             ETH / IP(src=GUEST4, dst=GUEST4) / TCP(sport=80, dport=80,
                                                    flags="S")],
    "to everybody": [ETH / IP(src=GUEST4, dst=d) / UDP(sport=1, dport=9) /
                     Raw(b"x") for d in ("255.255.255.255", "100.96.0.3",
                                         "224.0.0.1", "0.0.0.0",
                                         "127.0.0.1", "240.0.0.1")],
    "to everybody, IPv6": [ETH / IPv6(src=GUEST6, dst=d) / UDP(
        sport=1, dport=9) / Raw(b"x") for d in (
            "ff02::1", "ff0e::1", "::", "::1", "::ffff:127.0.0.1",
            "fe80::1")],
}


@pytest.mark.parametrize("name", SPOOFED)
def test_wrong_addresses_get_no_answer(hostile, name):
    hostile.peer.drain()
    hostile.peer.send(*SPOOFED[name])
    # an error is allowed to the guest itself, a reply to nobody
    while True:
        got = hostile.peer.recv(timeout=0.3)
        if not got:
            break
        assert not (ICMP in got and got[ICMP].type == 0), got
        assert ICMPv6EchoReply not in got, got
        assert not (TCP in got and "S" in str(got[TCP].flags)), got
    hostile.fine()


def test_spoofed_datagrams_reach_nobody(hostile):
    server = hostile.lab.own(hostile.lab.host.udp(HOST4))
    to = {"dst": HOST4}, {"sport": 5, "dport": server.getsockname()[1]}
    hostile.send(*[ETH / IP(src=s, **to[0]) / UDP(**to[1]) / Raw(b"bad")
                   for s in ("1.2.3.4", GW4, HOST4, "127.0.0.1")])
    bad = UDP(**to[1], chksum=0x1234)
    hostile.send(ETH / IP(src=GUEST4, **to[0]) / bad / Raw(b"bad"),
                 ETH / IP(src=GUEST4, chksum=0x1234, **to[0]) /
                 UDP(**to[1]) / Raw(b"bad"),
                 ETH / IP(src=GUEST4, **to[0]) / UDP(**to[1], len=7) /
                 Raw(b"bad"),
                 ETH / IP(src=GUEST4, **to[0]) / UDP(**to[1], len=9999) /
                 Raw(b"bad"),
                 ETH / IP(src=GUEST4, **to[0]) / UDP(**to[1]) / Raw(b"good"))
    assert server.recv(100) == b"good"
    server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        server.recv(100)
    hostile.fine()


MALFORMED = {
    "bad IPv4 sum": [ETH / IP(src=GUEST4, dst=GW4, chksum=1) / ICMP()],
    "bad ICMP sum": [frames4(ICMP(chksum=1))],
    "bad ICMPv6 sum": [frames6(ICMPv6EchoRequest(cksum=1))],
    "header lengths": [ETH / IP(src=GUEST4, dst=GW4, ihl=n) / ICMP()
                       for n in range(16)],
    "versions": [ETH / IP(src=GUEST4, dst=GW4, version=n) / ICMP()
                 for n in range(16)],
    "versions, IPv6": [ETH / IPv6(src=GUEST6, dst=GW6, version=n) /
                       ICMPv6EchoRequest() for n in range(16)],
    "total lengths": [ETH / IP(src=GUEST4, dst=GW4, len=n) / ICMP() /
                      Raw(bytes(50)) for n in (0, 1, 19, 20, 21, 27, 28, 79,
                                               1500, 65535)],
    "payload lengths": [ETH / IPv6(src=GUEST6, dst=GW6, plen=n) /
                        ICMPv6EchoRequest() / Raw(bytes(50))
                        for n in (0, 1, 7, 8, 57, 59, 1500, 65535)],
    "protocols": [ETH / IP(src=GUEST4, dst=HOST4, proto=n) / Raw(bytes(40))
                  for n in range(256)],
    "protocols, IPv6": [ETH / IPv6(src=GUEST6, dst=HOST6, nh=n) /
                        Raw(bytes(40)) for n in range(256)],
    "frame types": [Ether(src=MAC, dst=GW_MAC, type=t) / Raw(bytes(60))
                    for t in (0, 1, 46, 1500, 0x0806, 0x8035, 0x8100, 0x86dd,
                              0x8863, 0x8864, 0x88cc, 0x9000, 0xffff)],
    "VLAN": [ETH / Dot1Q(vlan=5) / IP4 / ICMP(),
             ETH / Dot1Q() / Dot1Q() / IP4 / ICMP()],
    "ICMP types": [frames4(ICMP(type=t) / Raw(bytes(40))) for t in range(256)],
    "ICMPv6 types": [frames6(Raw(struct.pack(">BBHI", t, 0, 0, 0) +
                                 bytes(40))) for t in range(256)],
    "errors about nothing": [frames4(ICMP(type=3, code=c) / IP(
        src=HOST4, dst=GUEST4) / TCP(sport=1, dport=2)) for c in range(16)],
    "to another MAC": [Ether(src=MAC, dst=d) / IP4 / ICMP() for d in (
        "02:00:00:00:00:01", "01:00:5e:00:00:01", "00:00:00:00:00:00")],
    "from another MAC": [Ether(src=s, dst=GW_MAC) / IP4 / ICMP() for s in (
        GW_MAC, "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00")],
    "ARP": [Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / a for a in (
        ARP(op=0, psrc=GUEST4, pdst=GW4), ARP(op=3, psrc=GUEST4, pdst=GW4),
        ARP(op=2, psrc=GW4, pdst=GW4, hwsrc="02:00:00:00:00:09"),
        ARP(op=1, psrc=GW4, pdst=GW4, hwsrc="02:00:00:00:00:09"),
        ARP(op=1, psrc="1.2.3.4", pdst=GW4), ARP(hwlen=5), ARP(plen=16),
        ARP(hwtype=6), ARP(ptype=0x86dd))],
    "neighbour discovery": [
        ETH / IPv6(src=GUEST6, dst=GW6, hlim=h) / m for h in (64, 255)
        for m in (ICMPv6ND_NS(tgt=GUEST6), ICMPv6ND_NS(tgt="ff02::1"),
                  ICMPv6ND_NA(tgt=GW6, S=1, O=1) / ICMPv6NDOptDstLLAddr(
                      lladdr="02:00:00:00:00:09"),
                  ICMPv6ND_NS(tgt=GW6) / ICMPv6NDOptSrcLLAddr(len=0),
                  ICMPv6ND_NS(tgt=GW6) / ICMPv6NDOptSrcLLAddr(len=255),
                  ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=MAC),
                  ICMPv6ND_RA())],
    "TCP options": [ETH / IP(src=GUEST4, dst=HOST4) / TCP(
        sport=7, dport=80, flags="S", dataofs=n) / Raw(o * 10)
        for n in range(16) for o in (b"\0", b"\1", b"\2\4", b"\3\0", b"\5\1",
                                     b"\xff\xff", b"\x08\x0a")],
    "TCP flags": [ETH / IP(src=GUEST4, dst=HOST4) / TCP(
        sport=8, dport=80, flags=f, seq=f) for f in range(256)],
    "TCP to port 0": [ETH / IP(src=GUEST4, dst=HOST4) / TCP(
        sport=s, dport=d, flags="S") for s, d in ((0, 80), (80, 0), (0, 0))],
    "source routes": [ETH / IP(src=GUEST4, dst=GW4, options=o) / ICMP()
                      for o in (b"\x83\x07\x04\1\2\3\4\0",
                                b"\x89\x07\x04\1\2\3\4\0", b"\x07\x03\x04\0",
                                b"\xff\0\0\0", b"\x44\x01\0\0")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(hostile, name):
    hostile.send(*MALFORMED[name])
    hostile.fine()
    hostile.bounded()


def test_prefixes_of_good_frames(hostile):
    """Every frame is cut at every place, as far as the link allows it."""
    good = [bytes(f) for f in (
        frames4(ICMP() / Raw(b"x" * 20)), frames6(ICMPv6EchoRequest()),
        ETH / IP(src=GUEST4, dst=HOST4) / TCP(
            sport=7, dport=9, flags="S", options=[("MSS", 1460)]),
        ETH / IP(src=GUEST4, dst=HOST4) / UDP(sport=7, dport=53) / Raw(
            bytes(30)),
        ext(opts(IPv6ExtHdrHopByHop, PadN(optdata=b"x" * 4))),
        ETH / ARP(psrc=GUEST4, pdst=GW4))]
    hostile.send(*[f[:n] for f in good for n in range(14, len(f))])
    hostile.fine()


def test_bits_of_good_frames(hostile):
    rng = random.Random(7)
    good = [bytes(f) for f in (
        frames4(ICMP() / Raw(b"x" * 20)), frames6(ICMPv6EchoRequest()),
        ETH / IP(src=GUEST4, dst=HOST4) / TCP(
            sport=7, dport=hostile.echo.port, flags="S",
            options=[("MSS", 1460), ("SAckOK", b""), ("WScale", 7)]))]
    out = []
    for _ in range(3000):
        f = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 4)):
            bit = rng.randrange(14 * 8, len(f) * 8)
            f[bit // 8] ^= 1 << bit % 8
        out.append(bytes(f))
    hostile.send(*out)
    hostile.fine()
    hostile.bounded()


def frag4(ident, off, data, more=True, proto=1, **kw):
    return ETH / IP(src=GUEST4, dst=GW4, id=ident, frag=off,
                    flags="MF" if more else 0, proto=proto, **kw) / Raw(data)


def test_fragments_that_overlap_or_lie(hostile):
    ping = bytes(ICMP(id=3, seq=3) / Raw(b"a" * 72))
    hostile.send(
        frag4(1, 0, ping[:40]), frag4(1, 3, ping[24:], more=False),
        frag4(2, 0, ping[:40]), frag4(2, 0, b"z" * 40),
        frag4(3, 0, ping[:41]), frag4(3, 5, ping[40:], more=False),
        frag4(4, 8191, b"x" * 64, more=False),
        frag4(5, 8189, b"x" * 16, more=False), frag4(5, 0, ping[:40]),
        frag4(6, 5, ping[40:], more=False), frag4(6, 5, ping[40:72]),
        frag4(7, 0, b""), frag4(7, 1, b"", more=False),
        *[frag4(8, i, bytes(8)) for i in range(0, 600)])
    while True:     # none of them is a ping that deserves an answer
        got = hostile.peer.recv(timeout=0.2)
        if not got:
            break
        assert not (ICMP in got and got[ICMP].id == 3), got
    hostile.fine()
    hostile.bounded()


def test_fragments_that_never_end(hostile):
    """20000 first fragments, each of another datagram."""
    raw = bytearray(bytes(frag4(0, 0, bytes(1400))))
    out = []
    for i in range(20000):
        raw[18:20] = struct.pack(">H", i)
        raw[24:26] = b"\0\0"
        s = sum(struct.unpack(">10H", raw[14:34]))
        s = (s & 0xffff) + (s >> 16)
        raw[24:26] = struct.pack(">H", ~((s & 0xffff) + (s >> 16)) & 0xffff)
        out.append(bytes(raw))
    hostile.send(*out)
    hostile.bounded(16384)
    hostile.fine()
    # and honest fragments still get through
    ping = bytes(ICMP(id=4, seq=4) / Raw(b"a" * 2000))
    hostile.peer.send(frag4(40000, 0, ping[:1400]),
                      frag4(40000, 175, ping[1400:], more=False))
    assert hostile.peer.recv(lambda f: f.type == 0x800 and
                             bytes(f[IP].payload)[:1] == b"\0")


CHAINS = {
    "hop-by-hop first": [opts(IPv6ExtHdrHopByHop, PadN(optdata=b"x" * 4))],
    "hop-by-hop later": [IPv6ExtHdrDestOpt(), IPv6ExtHdrHopByHop()],
    "100 headers": [IPv6ExtHdrDestOpt()] * 100,
    "hop-by-hop twice": [IPv6ExtHdrHopByHop(), IPv6ExtHdrHopByHop()],
    "routing 0": [IPv6ExtHdrRouting(type=0, addresses=[HOST6])],
    "routing 0, none left": [IPv6ExtHdrRouting(type=0, segleft=0)],
    "atomic fragment": [IPv6ExtHdrFragment(offset=0, m=0, id=1)],
    "fragment twice": [IPv6ExtHdrFragment(), IPv6ExtHdrFragment()],
    "fragment of nothing": [IPv6ExtHdrFragment(offset=100, m=1)],
    "length beyond": [IPv6ExtHdrDestOpt(len=255)],
    "option lengths": [IPv6ExtHdrDestOpt(options=[PadN(optlen=200)])],
}


@pytest.mark.parametrize("name", CHAINS)
def test_extension_header_chains(hostile, name):
    frame = bytes(ext(*CHAINS[name]))
    hostile.send(frame, *[frame[:n] for n in range(14, min(len(frame), 150))])
    hostile.fine()


def syns(n, dst, ports):
    """n SYNs from different ports, made by patching one."""
    base = bytes(ETH / IP(src=GUEST4, dst=dst) / TCP(
        sport=0, dport=0, flags="S", seq=77, chksum=0))
    zero = bytes(ETH / IP(src=GUEST4, dst=dst) / TCP(
        sport=0, dport=0, flags="S", seq=77))
    start = struct.unpack(">H", zero[50:52])[0]
    out = []
    for i in range(n):
        sport, dport = 1024 + i % 60000, ports(i)
        s = (~start & 0xffff) + sport + dport
        s = (s & 0xffff) + (s >> 16)
        s = (s & 0xffff) + (s >> 16)
        out.append(base[:34] + struct.pack(">HH", sport, dport) + base[38:50]
                   + struct.pack(">H", ~s & 0xffff) + base[52:])
    return out


@pytest.mark.parametrize("dst", [DENIED4, HOLE4, OTHER4],
                         ids=["denied", "black-hole", "refused"])
def test_syn_flood(hostile, dst):
    """10000 SYNs; memory stays bounded, and others still connect."""
    hostile.send(*syns(10000, dst, lambda i: 1 + i % 50000))
    hostile.bounded(16384)
    hostile.fine()


def test_syn_flood_to_a_server(hostile):
    """Half-open flows fill the table; when they go, all is well again."""
    hostile.send(*syns(10000, HOST4, lambda i: hostile.echo.port))
    hostile.bounded(32768)
    hostile.send(*[bytes(x) for x in syns(1, HOST4, lambda i: 9)])
    # an established guest pings on, whatever the table says
    hostile.peer.send(frames4(ICMP(id=9, seq=999)))
    assert hostile.peer.recv(lambda f: ICMP in f and f[ICMP].seq == 999)
    out = [bytearray(x) for x in syns(10000, HOST4,
                                      lambda i: hostile.echo.port)]
    for x in out:                       # the same with RST: seq 78
        x[38:42] = struct.pack(">I", 78)
        x[47] = 4
        s = (~struct.unpack(">H", x[50:52])[0] & 0xffff) + 1 + 2
        s = (s & 0xffff) + (s >> 16)
        x[50:52] = struct.pack(">H", ~s & 0xffff)
    hostile.send(*map(bytes, out))
    time.sleep(0.3)
    hostile.fine()


def test_udp_to_everywhere(hostile):
    """20000 destinations from one port, then 3000 ports."""
    base = ETH / IP(src=GUEST4, dst=HOST4) / UDP(sport=1, dport=1, chksum=0)
    raw = bytearray(bytes(base / Raw(b"flood")))
    out = []
    for i in range(20000):
        raw[36:38] = struct.pack(">H", 1 + i)
        out.append(bytes(raw))
    for i in range(3000):
        raw[34:36] = struct.pack(">H", 1 + i)
        out.append(bytes(raw))
    hostile.send(*out)
    hostile.bounded(16384)
    hostile.fine()


def test_pings_to_everywhere(hostile):
    hostile.send(*[bytes(ETH / IP(src=GUEST4, dst=HOST4) / ICMP(
        id=i, seq=1)) for i in range(500)])
    hostile.fine()
    hostile.bounded()


def test_guest_that_does_not_read(hostile):
    """Its own loss: it gets a bounded amount, and the host is not blocked."""
    lab = hostile.lab
    server = lab.own(lab.host.listen(HOST4))
    ip = IP(src=GUEST4, dst=HOST4)
    port = server.getsockname()[1]
    hostile.peer.send(ETH / ip / TCP(sport=7, dport=port, flags="S", seq=1,
                                     window=65535))
    syn = hostile.peer.recv(lambda f: TCP in f and f[TCP].dport == 7)
    hostile.peer.send(ETH / ip / TCP(sport=7, dport=port, flags="A", seq=2,
                                     ack=syn[TCP].seq + 1, window=65535))
    conn = lab.own(server.accept()[0])
    conn.setblocking(False)
    sent = 0
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            sent += conn.send(bytes(1 << 16))
        except BlockingIOError:
            time.sleep(0.02)
    assert sent < 32 << 20
    pings = [bytes(frames4(ICMP(id=5) / Raw(bytes(1400))))] * 2000
    hostile.peer.timeout = 1
    try:                # 2000 pongs of 1400 bytes that nobody takes
        hostile.peer.send(*pings)
    except (TimeoutError, socket.timeout):
        pass            # the gateway may stop reading, it may not grow
    hostile.bounded(16384)
    assert lab.gw.proc.poll() is None
    hostile.peer.close()
    time.sleep(0.2)
    hostile.peer = lab.bare()
    hostile.fine()


def test_error_that_found_no_room(hostile):
    """Nobody reads what floods a socket: an ICMP error for it has no place in
    the error queue, and is not to keep the gateway awake."""
    lab = hostile.lab
    server = lab.own(lab.host.udp(HOST4))
    ip = IP(src=GUEST4, dst=HOST4)

    def send(port):
        hostile.peer.send(ETH / ip / UDP(sport=7, dport=port) / Raw(b"x"))

    send(server.getsockname()[1])
    flow = server.recvfrom(10)[1]
    for size in (1400, 1):              # the link, the socket, its last bytes
        for _ in range(5000):
            server.sendto(bytes(size), flow)
    time.sleep(0.3)
    send(9)                             # where nobody listens
    time.sleep(0.3)
    used = cpu_s(lab.gw.pid)
    time.sleep(1)
    assert cpu_s(lab.gw.pid) - used < 0.2
    hostile.peer.drain(0.3)     # thousands: too many to look at each
    hostile.fine()


@pytest.mark.parametrize("family", FAMILIES)
def test_segments_out_of_nowhere(hostile, family):
    """Random segments into an established flow do not break it."""
    rng = random.Random(family)
    ip, port = {socket.AF_INET: (IP(src=GUEST4, dst=HOST4),
                                 hostile.echo.port),
                socket.AF_INET6: (IPv6(src=GUEST6, dst=HOST6),
                                  hostile.echo6.port)}[family]

    def seg(flags, seq, ack=0, data=b"", **kw):
        return ETH / ip / TCP(sport=7, dport=port, flags=flags,
                              seq=seq & 0xffffffff, ack=ack & 0xffffffff,
                              **kw) / Raw(data)

    mine, isn = 5001, 5000
    hostile.peer.send(seg("S", isn))
    got = hostile.peer.recv(lambda f: TCP in f and f[TCP].dport == 7)
    theirs = got[TCP].seq + 1
    hostile.peer.send(seg("A", mine, theirs))
    out = []
    for _ in range(500):
        # outside the window, or an ACK of what was never sent
        out.append(seg(rng.choice(("A", "PA", "R", "S", "FA", "RA", "")),
                       mine + (1 << 30) + rng.getrandbits(29),
                       theirs + rng.getrandbits(31),
                       rng.randbytes(rng.randrange(0, 60)),
                       window=rng.getrandbits(16)))
    hostile.send(*out)
    hostile.peer.send(seg("PA", mine, theirs, b"still here"))
    got = hostile.peer.recv(lambda f: TCP in f and f[TCP].dport == 7 and
                            bytes(f[TCP].payload)[:10] == b"still here")
    assert got
    hostile.fine()
