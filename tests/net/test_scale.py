"""Ten thousand flows, floods, black holes: what grows, and who pays.

Everything is bounded in time.  The C program load.c keeps the flows and makes the
floods.  SCALE_FLOWS says how many flows test_soak_flows holds: 65536 if it is not
given and the descriptors allow so many.
"""
import json
import os
import pathlib
import resource
import select
import shutil
import socket
import struct
import subprocess
import time

import pytest

from lab import GUEST4, GW4, GW_MAC, HOLE4, HOST4, OTHER4, cpu_s, until

HERE = pathlib.Path(__file__).parent
PORT, PORTS = 7000, 16
NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
SPARE = 2048            # of the descriptors, for what is not a flow
FLOOD_RATE = 20000      # frames a second


@pytest.fixture(scope="session")
def load(tmp_path_factory):
    exe = tmp_path_factory.mktemp("load") / "load"
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall",
                    "-Wextra", "-Werror", "-o", exe, HERE / "load.c"],
                   check=True)
    os.chmod(exe.parent, 0o755)
    return exe


class Hold:
    """Flows of the guest, and what becomes of them."""

    def __init__(self, lab, load, proto, n):
        self.server = lab.host.popen(load, "serve", proto, HOST4, PORT, PORTS,
                                     stdout=subprocess.PIPE, text=True)
        assert self.server.stdout.readline() == "ready\n"
        self.proc = lab.guest.popen(
            load, "hold", proto, HOST4, PORT, PORTS, n, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.opened = self.result()

    def result(self, timeout=90):
        assert select.select([self.proc.stdout], [], [], timeout)[0]
        line = self.proc.stdout.readline()
        assert line, "load has ended"
        return json.loads(line)

    def do(self, what):
        self.proc.stdin.write(what)
        self.proc.stdin.flush()
        return self.result()


def config(lab, **conf):
    path = lab.tmp / "gw.json"
    path.write_text(json.dumps(conf))
    return "--config", path


def many_flows(lab, load, proto, n, each_kib):
    """Open, let them idle, echo once on each; the cost of each, and of one more."""
    few = Hold(lab, load, proto, 10)
    before = min((few.do("n") for _ in range(3)), key=lambda x: x["s"])
    few.proc.kill()
    few.server.kill()
    few.server.wait()
    time.sleep(0.5)
    rss = lab.gw.rss_kib()
    h = Hold(lab, load, proto, n)
    assert h.opened["fails"] == 0, h.opened
    idle = lab.gw.rss_kib() - rss
    echoed = h.do("e")
    assert echoed["fails"] == 0, echoed
    after = lab.gw.rss_kib() - rss
    # nothing is done for a flow that does nothing: two ticks of the clock a second
    cpu = cpu_s(lab.gw.pid)
    time.sleep(2)
    cpu = cpu_s(lab.gw.pid) - cpu
    new = min((h.do("n") for _ in range(3)), key=lambda x: x["s"])
    print(f"{proto} {n}: opened in {h.opened['s']:.2f} s, echoed in "
          f"{echoed['s']:.2f} s, {idle / n * 1024:.0f} bytes each idle, "
          f"{after / n * 1024:.0f} after an echo; {cpu:.2f} s of CPU in 2 s; "
          f"100 more one by one {new['s'] * 1e3:.0f} ms, before "
          f"{before['s'] * 1e3:.0f} ms")
    assert idle < n * each_kib and after < n * each_kib
    assert cpu <= 0.1
    assert new["fails"] == before["fails"] == 0
    # a scan of all flows would be a factor of hundreds
    assert new["s"] < 5 * before["s"] + 0.2
    lab.sane()
    return h


def drops(lab):
    return {k: v for k, v in lab.gw.counts().items() if v}


@pytest.mark.skipif(NOFILE < 10000 * 5 // 4 + SPARE,
                    reason="too few descriptors")
def test_ten_thousand_tcp_flows(lab, load):
    lab.start("--max-connections", 10400)
    many_flows(lab, load, "tcp", 10000, 1)
    got = drops(lab)
    assert not [k for k in got if k.startswith(("drop_tcp_dial", "drop_tcp_full",
                                                "drop_tcp_no_flow"))], got


@pytest.mark.skipif(NOFILE < 10000 + SPARE, reason="too few descriptors")
def test_ten_thousand_udp_flows(lab, load):
    lab.start(*config(lab, udp={"max_flows": 10400}), "--max-connections", 64)
    many_flows(lab, load, "udp", 10000, 1)
    got = drops(lab)
    assert not [k for k in got if k.startswith("drop_udp")], got


@pytest.mark.skipif("SCALE_SOAK" not in os.environ, reason="for make soak")
def test_soak_flows(lab, load):
    """As many as the descriptors allow, up to 65536."""
    n = int(os.environ.get("SCALE_FLOWS", min(65536, (NOFILE - SPARE) * 9 // 10)))
    lab.start(*config(lab, udp={"max_flows": 64}), "--max-connections",
          min(n + 200, 65536))
    many_flows(lab, load, "tcp", n - 200, 1)


# --- floods -------------------------------------------------------------------

FLOODS = {      # kind: destination, and what counts what was held back
    "syn": ("198.18.0.1", "drop_tcp_dial_rate"),
    "scan": (OTHER4, "drop_tcp_dial_rate"),
    "udp": ("198.18.0.1", None),
    "udpflows": ("198.18.0.1", "drop_udp_flow_rate"),
    "ping": (HOLE4, "drop_ping_rate"),
    "frag": (GW4, "drop_frag_evicted"),
    "dns": (GW4, "drop_dns_rate"),
}


def iperf(lab, during):
    """Gbit/s before and while during() runs, [up, down], in one run of iperf3."""
    exe = os.path.realpath(shutil.which("iperf3"))
    server = lab.host.popen(exe, "-s", "-1", stdout=subprocess.DEVNULL)
    until(lambda: lab.host.run("ss", "-Hltn", "sport = 5201"), "iperf3")
    client = lab.guest.popen(exe, "-c", HOST4, "-t6", "-i0.25", "-J",
                             "--bidir", stdout=subprocess.PIPE, text=True)
    time.sleep(3)
    during()
    out = json.loads(client.communicate(timeout=30)[0])
    server.wait(5)
    # the first second is warming up, the edges of the flood are neither
    rates = [[i[way]["bits_per_second"] / 1e9 for i in out["intervals"]]
             for way in ("sum", "sum_bidir_reverse")]
    return [(sum(r[4:11]) / 7, sum(r[14:21]) / 7) for r in rates]


@pytest.mark.skipif(not shutil.which("iperf3"), reason="no iperf3")
@pytest.mark.parametrize("kind", FLOODS)
def test_flood(lab, load, kind):
    """Other flows keep half of their throughput, memory is bounded."""
    dst, held = FLOODS[kind]
    lab.start("--dns-nameserver", HOLE4, net="all")
    lab.host.run("ip", "route", "add", "default", "dev", "hole")
    rss, tries, sent = lab.gw.rss_kib(), [], 0

    def flood():
        nonlocal sent
        p = lab.guest.popen(load, "flood", kind, "eth0", GW_MAC, GUEST4, dst,
                            2.5, FLOOD_RATE, stdout=subprocess.PIPE, text=True)
        sent += json.loads(p.communicate(timeout=20)[0])["sent"]

    while not tries or any(during < before / 2
                           for before, during in tries[-1]):
        assert len(tries) < 4, tries    # a busy machine is no flood
        tries.append(iperf(lab, flood))
    print(kind, [[f"{b:.2f} -> {d:.2f}" for b, d in t] for t in tries])
    assert sent > FLOOD_RATE
    assert lab.gw.rss_kib() - rss < 12 << 10
    lab.sane()
    got = drops(lab)
    print(got)
    if held:
        assert got.get(held, 0) > sent / 4, got


@pytest.mark.parametrize("kind", ["syn", "udpflows", "ping", "dns"])
def test_price_of_a_flood(lab, load, kind):
    """Without load: what the gateway pays for each frame of a flood."""
    dst, held = FLOODS[kind]
    lab.start("--dns-nameserver", HOLE4, net="all")
    lab.host.run("ip", "route", "add", "default", "dev", "hole")
    cpu = cpu_s(lab.gw.pid)
    p = lab.guest.popen(load, "flood", kind, "eth0", GW_MAC, GUEST4, dst, 2,
                        50000, stdout=subprocess.PIPE, text=True)
    p.communicate(timeout=20)
    cpu = cpu_s(lab.gw.pid) - cpu
    got = drops(lab)
    assert got[held] > 20000, got
    us = 1e6 * cpu / got[held]
    print(f"{kind}: {us:.2f} us a frame, {got[held]} frames held back")
    assert us < 10          # a flow costs 20 to 40


def test_spoofed_flood_is_dropped(lab, load):
    """Another source than the guest's own gets nowhere."""
    lab.start()
    p = lab.guest.popen(load, "flood", "syn", "eth0", GW_MAC, "100.96.0.3",
                        OTHER4, 0.5, FLOOD_RATE, stdout=subprocess.PIPE,
                        text=True)
    sent = json.loads(p.communicate(timeout=20)[0])["sent"]
    lab.sane()
    got = drops(lab)
    assert got["drop_ip_source"] > sent / 2, got


# --- full tables --------------------------------------------------------------

def test_all_tables_are_full_at_once(lab):
    """Each entry has a timer, and so have queries, pings and the link."""
    lab.start("--max-connections", 64, *config(
        lab, udp={"max_flows": 64}, dns={"query_timeout_ms": 60000}))
    pid = lab.gw.pid
    asker, *others = [lab.own(lab.guest.udp("0.0.0.0")) for _ in range(65)]
    for s in others:
        s.sendto(b"x", (HOST4, 9))
    for _ in range(64):
        lab.own(lab.guest.connect(GW4, 53))
    question = b"\1a\4test\0\0\1\0\1"
    for i in range(256):
        asker.sendto(struct.pack(">6H", i, 0x100, 1, 0, 0, 0) + question,
                     (HOLE4, 53))
    raw = lab.own(lab.guest.socket(socket.AF_INET, socket.SOCK_RAW,
                                   socket.IPPROTO_ICMP))
    for i in range(64):
        raw.sendto(struct.pack(">BBHHH", 8, 0, 0xf7ff - i, i, 0), (HOLE4, 0))
    lab.sane()
    assert lab.gw.pid == pid
    got = drops(lab)
    assert "drop_dns_conn_full" not in got, got
    assert not lab.gw.log.lines("dns_query_evicted: ")


def test_black_holes_fill_no_table(lab, load):
    """Dials to hundreds of silent destinations, pings to them: others go on."""
    lab.start("--max-connections", 256, net="all")
    lab.host.run("ip", "route", "add", "198.18.0.0/15", "dev", "hole")
    server = lab.own(lab.host.listen(HOST4))
    dst, _ = FLOODS["syn"]
    for kind, rate in (("syn", 1000), ("ping", 150)):
        p = lab.guest.popen(load, "flood", kind, "eth0", GW_MAC, GUEST4,
                            dst if kind == "syn" else HOLE4, 2, rate,
                            stdout=subprocess.DEVNULL)
        for _ in range(10):
            t = time.monotonic()
            lab.own(lab.guest.connect(HOST4, server.getsockname()[1]))
            assert time.monotonic() - t < 0.9       # no SYN was sent twice
            time.sleep(0.1)
        out = lab.guest.run("ping", "-n", "-c5", "-i0.2", "-W1", OTHER4)
        assert " 0% packet loss" in out, out
        p.wait(10)
    lab.sane()
    got = lab.gw.counts()
    log = lab.gw.log.text
    assert "drop_tcp_full" not in got, got
    assert lab.gw.log.lines(r"tcp_dial_evicted: \d+"), log[-2000:]
    assert lab.gw.log.lines(r"ping_evicted: \d+"), log[-2000:]
