"""Beyond the host: two routers, and a link that is narrower than the others.

guest - gateway, host - r1 - r2 -(MTU 1280)- server

The gateway is a router to its guest: time to live, "don't fragment" and the
traffic class go along, and what the routers say comes back.
"""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

import lab as labs
from lab import FAMILIES, GW, HOST, Ns, family_id, until

both = pytest.mark.parametrize("family", FAMILIES, ids=family_id)
V4, V6 = FAMILIES
NETS4 = [f"203.0.113.{64 + 4 * i}" for i in range(3)]       # /30 each
R1 = {V4: "203.0.113.66", V6: "2001:db8:a::2"}
R2 = {V4: "203.0.113.70", V6: "2001:db8:b::2"}
SERVER = {V4: "203.0.113.74", V6: "2001:db8:c::2"}
NARROW = 1280
HEADERS = {V4: 28, V6: 48}


def tool(name):
    """Its path; a link through /etc/alternatives leads nowhere in there."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if not path:
        pytest.skip(f"{name} is not installed")
    return os.path.realpath(path)


class Paths:
    """Two routers and a server behind the host's namespace."""

    def __init__(self, lab):
        self.r1, self.r2, self.server = lab.own(Ns()), lab.own(Ns()), \
            lab.own(Ns())
        chain = [lab.host, self.r1, self.r2, self.server]
        for i, (a, b) in enumerate(zip(chain, chain[1:])):
            net = NETS4[i].rsplit(".", 1)
            last = int(net[1])
            mtu = NARROW if i == 2 else 1500
            a.run("ip", "link", "add", f"down{i}", "type", "veth", "peer",
                  "name", f"up{i}", "netns", b.hold.pid)
            for ns, dev, k in ((a, f"down{i}", 1), (b, f"up{i}", 2)):
                ns.run("sh", "-ec",
                       f"ip addr add {net[0]}.{last + k}/30 dev {dev};"
                       f"ip addr add 2001:db8:{'abc'[i]}::{k}/64 dev {dev} "
                       f"nodad; ip link set {dev} mtu {mtu} up")
        for ns in chain[1:]:
            for key, value in (("net.ipv4.ip_forward", 1),
                               ("net.ipv6.conf.all.forwarding", 1),
                               ("net.ipv4.icmp_ratelimit", 0),
                               ("net.ipv6.icmp.ratelimit", 0)):
                ns.sysctl(key, value)
        self._route(lab.host, R1, (1, 2))
        self._route(self.r1, R2, (2,))
        self._route(self.r2, {V4: "203.0.113.69", V6: "2001:db8:b::1"}, (0,))
        self.server.run("sh", "-ec",
                        "ip route add default via 203.0.113.73;"
                        "ip -6 route add default via 2001:db8:c::1")
        for addr in SERVER.values():    # the way there and back, once
            lab.host.run("ping", "-c1", "-W3", addr)

    @staticmethod
    def _route(ns, via, nets):
        for i in nets:
            ns.run("ip", "route", "add", f"{NETS4[i]}/30", "via", via[V4])
            ns.run("ip", "-6", "route", "add", f"2001:db8:{'abc'[i]}::/64",
                   "via", via[V6])


@pytest.fixture(scope="module")
def _paths():
    if not os.access(labs.GATEWAY, os.X_OK) or not os.access(labs.INIT,
                                                              os.X_OK):
        pytest.skip("the programs have not been built")
    own = labs.Lab()
    own.paths = Paths(own)
    own.start()
    own.kept = len(own.closers)
    yield own
    own.close()


@pytest.fixture
def net(request, _paths):
    """Guest, gateway and paths, shared; nobody knows a path's MTU."""
    _paths.failed = False
    request.node.msb_lab = _paths
    for ns in (_paths.guest, _paths.host):
        ns.run("sh", "-ec", "ip route flush cache; ip -6 route flush cache")
    yield _paths
    while len(_paths.closers) > _paths.kept:
        _paths.closers.pop()()
    _paths.sane()


def hops(out):
    """{hop: addresses} of traceroute."""
    addr = r"\d+\.\d+\.\d+\.\d+|[0-9a-f]+:[0-9a-f:]+"
    return {int(n): re.findall(addr, rest)
            for n, rest in re.findall(r"^ *(\d+)  (.*)$", out, re.M)}


@both
@pytest.mark.parametrize("how", [(), ("-I",), ("-q1", "-N1")],
                         ids=["udp", "icmp", "one-by-one"])
def test_traceroute(net, family, how):
    """Each router by its own address, the gateway first."""
    out = net.guest.run(tool("traceroute"), "-n", "-w2", "-m8",
                        "-6" if family == V6 else "-4", *how, SERVER[family])
    got = {n: set(a) for n, a in hops(out).items()}
    assert got == {1: {GW[family]}, 2: {R1[family]}, 3: {R2[family]},
                   4: {SERVER[family]}}, out
    assert "*" not in out and "!" not in out, out


@both
def test_tracepath(net, family):
    """The MTU of the narrow link, and who said so."""
    out = net.guest.run(tool("tracepath"), "-n", "-m8",
                        "-6" if family == V6 else "-4", SERVER[family])
    assert re.search(rf"Resume: pmtu {NARROW}\b", out), out
    assert re.search(rf"{re.escape(R2[family])} .*pmtu {NARROW}\b", out), out
    assert re.search(rf"^ *1: +{re.escape(GW[family])} ", out, re.M), out
    assert re.search(rf"^ *2: +{re.escape(R1[family])} ", out, re.M), out
    assert re.search(rf"{re.escape(SERVER[family])} .*reached", out), out


@both
@pytest.mark.parametrize("size", [56, 1400, 65000])
def test_ping(net, family, size):
    """Fragments on both links, of both widths."""
    out = net.guest.run("ping", "-n", "-c3", "-i0.2", "-W2", f"-s{size}",
                        SERVER[family], check=False)
    lost = 3 - int(re.search(r"(\d+) received", out)[1])
    # the first one that does not fit may go to learn the path's MTU
    assert lost <= (1 if size > 56 else 0), out


@both
def test_ping_too_big_is_told(net, family):
    """-M do: the guest's own kernel learns the MTU from the router."""
    out = net.guest.run("ping", "-n", "-c4", "-i0.2", "-W1", "-Mdo",
                        "-s1400", SERVER[family], check=False)
    assert re.search(rf"(mtu *= *{NARROW}|mtu: *{NARROW})", out), out
    assert " 0 received" in out


@both
def test_ping_beyond_its_time_to_live(net, family):
    for ttl, who in ((1, GW), (2, R1), (3, R2)):
        out = net.guest.run("ping", "-n", "-c1", "-W2", f"-t{ttl}",
                            SERVER[family], check=False)
        assert re.search(rf"From {re.escape(who[family])} .*"
                         r"(Time to live|Time|Hop limit) exceeded", out), out
    assert "1 received" in net.guest.run("ping", "-n", "-c1", "-W2", "-t4",
                                         SERVER[family], check=False)


@both
def test_path_mtu_of_udp(net, family):
    """As a QUIC client probes: refused once, told how much, then taken."""
    server = net.own(net.paths.server.udp(SERVER[family]))
    s = net.own(net.guest.socket(family, socket.SOCK_DGRAM))
    level = socket.IPPROTO_IP if family == V4 else socket.IPPROTO_IPV6
    s.setsockopt(level, 10 if family == V4 else 23, 2)    # MTU_DISCOVER: DO
    s.connect((SERVER[family], server.getsockname()[1]))
    fits = NARROW - HEADERS[family]
    s.send(bytes(fits + 1))
    with pytest.raises(OSError) as e:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            s.send(bytes(fits + 1))
            time.sleep(0.02)
    assert e.value.errno == 90                            # EMSGSIZE
    assert s.getsockopt(level, 14 if family == V4 else 24) == NARROW
    with contextlib.suppress(OSError):      # what is still to be told
        s.send(bytes(fits))
    s.send(bytes(fits))
    assert len(server.recv(2000)) == fits


@both
def test_datagrams_that_may_be_cut(net, family):
    """Without "don't fragment" they arrive, whatever the path."""
    server = net.own(net.paths.server.udp(SERVER[family]))
    server.settimeout(0.3)
    s = net.own(net.guest.socket(family, socket.SOCK_DGRAM))
    level = socket.IPPROTO_IP if family == V4 else socket.IPPROTO_IPV6
    s.setsockopt(level, 10 if family == V4 else 23, 0)    # DONT
    s.connect((SERVER[family], server.getsockname()[1]))
    for n in (1400, 3000, 30000):
        def arrives(n=n):
            s.send(bytes(n))
            with contextlib.suppress(TimeoutError):
                while len(server.recv(65536)) != n:
                    pass
                return True
            return False

        # IPv6 routers do not cut: the first may go to learn the path's MTU
        assert arrives() or (family == V6 and arrives())


@both
def test_traffic_class_goes_along(net, family):
    """With its two bits of ECN, both ways, and it may change at any time."""
    level, opt, recv = ((socket.IPPROTO_IP, socket.IP_TOS, 13)
                        if family == V4 else
                        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS,
                         socket.IPV6_RECVTCLASS))
    server = net.own(net.paths.server.udp(SERVER[family]))
    s = net.own(net.guest.socket(family, socket.SOCK_DGRAM))
    for sock in (server, s):
        sock.setsockopt(level, recv, 1)
    s.connect((SERVER[family], server.getsockname()[1]))

    def told(sock):
        data, anc, _, who = sock.recvmsg(100, 100)
        return data, [c[2][0] for c in anc if c[0] == level], who

    for tos in (0, 0xb8, 1, 2, 3, 0):
        s.setsockopt(level, opt, tos)
        s.send(b"up")
        data, got, who = told(server)
        assert (data, got) == (b"up", [tos])
        server.setsockopt(level, opt, tos)
        server.sendto(b"down", who[:2])
        assert told(s)[:2] == (b"down", [tos])


def overflows(net):
    """Datagrams lost where a process was too slow: {where: how many}."""
    out = {}
    for name, ns in (("guest", net.guest), ("gateway's sockets", net.host),
                     ("server", net.paths.server)):
        text = ns.run("cat", "/proc/net/snmp", "/proc/net/snmp6")
        names, values = re.findall(r"^Udp: (.*)$", text, re.M)
        v4 = dict(zip(names.split(), map(int, values.split())))
        v6 = re.search(r"^Udp6RcvbufErrors\s+(\d+)$", text, re.M)
        out[name] = v4["RcvbufErrors"] + int(v6[1])
    text = net.guest.run("cat", "/proc/net/dev")
    out["guest's eth0"] = int(re.search(r"eth0:(.*)", text)[1].split()[11])
    return out


@both
@pytest.mark.parametrize("reverse", [False, True], ids=["up", "down"])
def test_iperf3(net, family, reverse):
    """Nothing is lost but in a buffer while somebody had no processor.

    If that is iperf3 itself, in its own socket, it is none of our business.
    """
    exe = tool("iperf3")
    far = net.paths.server
    for _ in range(5):      # a busy machine lets all of it wait, now and then
        before = overflows(net)
        server = far.popen(exe, "-s", "-1", stdout=subprocess.DEVNULL)
        until(lambda: far.run("ss", "-Hltn", "sport = 5201"), "iperf3")
        out = net.guest.run(exe, "-u", "-b50M", "-l1200", "-t1", "-J",
                            "-c", SERVER[family], *(["-R"] * reverse))
        server.wait(5)
        total = json.loads(out)["end"]["sum"]
        lost = {k: n - before[k] for k, n in overflows(net).items()}
        print(total["lost_packets"], "lost:", lost)
        assert total["lost_packets"] <= sum(lost.values()), lost
        ours = lost["gateway's sockets"] + lost["guest's eth0"]
        if ours < 0.01 * total["packets"] and total["packets"] > 4000:
            return
    assert False, (total, lost)


@both
def test_quic(net, family):
    """A client and a server of HTTP/3 that nobody here wrote."""
    client, server = tool("gtlsclient"), tool("gtlsserver")
    key, cert = net.tmp / "key.pem", net.tmp / "cert.pem"
    www = net.tmp / f"www{family}"
    down = net.tmp / f"down{family}"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", cert, "-subj", "/CN=test.example", "-days", "2"],
                   check=True, stderr=subprocess.DEVNULL)
    www.mkdir()
    down.mkdir()
    data = os.urandom(3_000_000)
    (www / "big").write_bytes(data)
    far = net.paths.server
    far.popen(server, "-q", "-d", www, SERVER[family], "4433", key, cert,
              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: far.run("ss", "-Hlun", "sport = 4433"), "server")
    host = f"[{SERVER[family]}]" if family == V6 else SERVER[family]
    net.guest.run(client, "-q", "--exit-on-all-streams-close",
                  f"--download={down}", SERVER[family], "4433",
                  f"https://{host}:4433/big", timeout=30)
    assert (down / "big").read_bytes() == data


def test_trains_of_datagrams(net):
    """The guest's trains (UDP_SEGMENT) and the host's (UDP_GRO), uncut data."""
    for family in FAMILIES:
        far = net.own(net.host.udp(HOST[family]))
        s = net.own(net.guest.socket(family, socket.SOCK_DGRAM))
        s.connect((HOST[family], far.getsockname()[1]))
        data = bytes(i * 13 & 255 for i in range(40 * 1000 + 77))
        want = [data[i:i + 1000] for i in range(0, len(data), 1000)]
        for size in (1000, 0):
            s.setsockopt(17, 103, size)                   # UDP_SEGMENT
            for d in [data] if size else want:
                s.send(d)
            assert [far.recv(65536) for _ in want] == want
        s.setsockopt(17, 103, 0)
        s.send(b"x")
        who = far.recvfrom(10)[1]
        far.setsockopt(17, 103, 1000)
        far.sendto(data, who[:2])
        assert [s.recv(65536) for _ in want] == want


def test_two_thousand_flows(lab):
    """Each with a port of its own, and every one answered at any time."""
    lab.start("--max-connections", 8192)
    far = lab.own(lab.host.udp(HOST[V4]))
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    socks = [lab.own(lab.guest.socket(V4, socket.SOCK_DGRAM))
             for _ in range(2000)]
    seen = {}
    for first in range(0, 2000, 100):
        for i in range(first, first + 100):
            socks[i].sendto(b"%d" % i, far.getsockname())
        for _ in range(100):
            data, who = far.recvfrom(100)
            seen[int(data)] = who
    assert len(set(seen.values())) == 2000
    for first in range(0, 2000, 100):
        for i in range(first, first + 100):
            far.sendto(b"%d" % i, seen[i])
        for i in range(first, first + 100):
            assert socks[i].recv(100) == b"%d" % i
    counts = lab.gw.counts()
    assert not [k for k in counts if k.startswith("drop_udp")], counts
