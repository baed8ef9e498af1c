"""The link between agent and gateway: deaths, garbage, strangers, silence."""
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6ND_NA
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

import lab as labs
from lab import (GUEST4, GUEST6, GW4, GW_MAC, HOST, HOST4, MAC, Echo,
                 FAMILIES, until)

HELLO_LEN = 52


def hello(token=bytes(16), features=0x1f, version=1, length=HELLO_LEN,
          magic=b"MSBL", more=b""):
    return struct.pack(">4sHHIH", magic, version, length, features, 1500) + \
        bytes.fromhex(MAC.replace(":", "")) + bytes(16) + token + more


def dial(lab, timeout=5):
    s = lab.own(socket.socket(socket.AF_UNIX))
    s.settimeout(timeout)
    s.connect(lab.sock)
    return s


def hung_up(s, timeout=5):
    """The other side closes, and before that says at most who it is."""
    s.settimeout(timeout)
    got = b""
    try:
        while more := s.recv(4096):
            got += more
    except ConnectionResetError:
        pass
    while got:
        n = struct.unpack(">I", got[:4])[0]
        frame, got = got[4:4 + n], got[4 + n:]
        if frame[:12] == bytes(12):     # a native record
            frame = frame[12:]
        said = Ether(frame)
        assert ARP in said or ICMPv6ND_NA in said, said
    return True


def take(s, n):
    buf = b""
    while len(buf) < n:
        more = s.recv(n - len(buf))
        assert more, "hung up"
        buf += more
    return buf


def flow_works(lab):
    for family in FAMILIES:
        echo = Echo(lab.host.listen(HOST[family]))
        with lab.guest.connect(HOST[family], echo.port) as s:
            s.sendall(b"hello")
            assert take(s, 5) == b"hello"
        echo.close()


def addresses(lab):
    out = lab.guest.run("ip", "-br", "addr", "show", "eth0")
    return GUEST4 in out and GUEST6 in out and "default" in lab.guest.run(
        "ip", "route")


# ---- who dies ---------------------------------------------------------------


def test_agent_dies_and_comes_back_with_the_token(lab):
    agent = lab.start()
    token = agent.hear("TOKEN")
    flow_works(lab)
    agent.kill(signal.SIGKILL)
    assert addresses(lab)
    lab.gw.log.wait("link down")
    assert addresses(lab)
    again = lab.agent(token=token)
    flow_works(lab)
    assert addresses(lab)
    assert token not in again.log.text + lab.gw.log.text
    lab.sane()


def test_agent_without_its_token_stays_out(lab):
    agent = lab.start()
    agent.hear("TOKEN")
    agent.kill(signal.SIGKILL)
    stranger = labs.Agent(lab)
    stranger.hear("READY")
    with pytest.raises(AssertionError):
        stranger.hear("T_CONNECTED", 1.5)
    lab.gw.log.wait("refused a hello")
    assert lab.gw.counts()["drop_link_token"] >= 1


def test_packet_process_dies_and_is_started_again(lab):
    agent = lab.start()
    agent.hear("TOKEN")
    flow_works(lab)
    old = lab.gw.pid
    os.kill(old, signal.SIGKILL)
    lab.gw.log.wait("ended by signal 9")
    lab.gw.wait_serving(2)
    assert lab.gw.pid not in (old, None)
    agent.log.wait("connected, offloads", 2)
    assert addresses(lab)
    flow_works(lab)
    # with the same token: a stranger stays out
    s = dial(lab)
    s.sendall(hello())
    assert hung_up(s)
    flow_works(lab)


def test_packet_process_dies_again_and_again(lab):
    agent = lab.start()
    for i in range(2, 5):
        os.kill(lab.gw.pid, signal.SIGKILL)
        lab.gw.wait_serving(i)
        agent.log.wait("connected, offloads", i, timeout=8)
    flow_works(lab)


def test_open_flows_are_reset_when_the_packet_process_dies(lab):
    lab.start()
    echo = lab.own(Echo(lab.host.listen(HOST4)))
    s = lab.own(lab.guest.connect(HOST4, echo.port))
    os.kill(lab.gw.pid, signal.SIGKILL)
    lab.gw.wait_serving(2)
    lab.ag.log.wait("connected, offloads", 2)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        for _ in range(50):
            s.send(b"x")
            time.sleep(0.1)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("keeps_token", [True, False],
                         ids=["token-file", "no-token-file"])
def test_monitor_dies_and_is_started_again(lab, keeps_token):
    """With --token-file the agent's token is good for the next gateway."""
    args = ["--token-file", lab.tmp / "token"] if keeps_token else []
    agent = lab.start(*args)
    agent.hear("TOKEN")
    packet = lab.gw.pid
    lab.gw.proc.kill()
    lab.gw.proc.wait()
    until(lambda: not alive(packet), "the packet process lives on", 2)
    agent.log.wait("the gateway is gone")
    if keeps_token:
        assert os.stat(lab.tmp / "token").st_mode & 0o777 == 0o600
    lab.gateway(*args)
    agent.log.wait("connected, offloads", 2)
    assert addresses(lab)
    flow_works(lab)
    s = dial(lab)
    s.sendall(hello())
    assert hung_up(s)
    lab.sane()


def test_hello_waits_until_the_monitor_keeps_the_token(lab):
    """Else a monitor that dies then would lock the guest out for ever."""
    kept = lab.tmp / "token"
    lab.gateway("--token-file", kept)
    monitor = lab.gw.proc.pid
    os.kill(monitor, signal.SIGSTOP)
    try:
        first, second = dial(lab), dial(lab)
        first.sendall(hello())
        time.sleep(0.3)
        second.sendall(hello())         # waits as well: it must not block us
        for s in first, second:
            s.settimeout(0.3)
            with pytest.raises(socket.timeout):
                s.recv(1)
        assert not kept.exists()
    finally:
        os.kill(monitor, signal.SIGCONT)
    answer = take(first, HELLO_LEN)
    assert kept.read_text().strip() == answer[36:52].hex()
    assert hung_up(second)
    assert lab.gw.counts()["drop_link_token"] == 1


def test_token_that_nobody_heard_is_for_the_next(lab):
    lab.gateway()
    monitor = lab.gw.proc.pid
    os.kill(monitor, signal.SIGSTOP)
    try:
        s = dial(lab)
        s.sendall(hello())
        time.sleep(0.3)
        s.close()
    finally:
        os.kill(monitor, signal.SIGCONT)
    time.sleep(0.2)
    agent = lab.agent()
    agent.hear("TOKEN")
    flow_works(lab)


def test_gateway_that_starts_late(lab):
    """The agent waits; the addresses are there from the beginning."""
    agent = labs.Agent(lab)
    agent.hear("READY")
    assert addresses(lab)
    agent.log.wait("no gateway yet")
    lab.gateway()
    agent.hear("T_CONNECTED", 3)
    flow_works(lab)


def test_first_connection_is_not_late(lab):
    """Ready means ready: no packet to the guest is lost at first, 20 times.

    Linux takes packets to a new IPv6 address only after a while; whoever is
    told of it too early loses the neighbour's answer, and then a second.
    """
    token = lab.start().hear("TOKEN")
    ports = {f: lab.own(Echo(lab.host.listen(HOST[f]))).port
             for f in FAMILIES}
    for i in range(20):
        family = FAMILIES[::-1][i % 2]
        start = time.monotonic()
        lab.guest.connect(HOST[family], ports[family]).close()
        assert time.monotonic() - start < 0.5, (i, family)
        lab.ag.kill()
        lab.guest.run("ip", "link", "del", "eth0")
        lab.agent(token=token)


def test_two_gateways_on_one_socket(lab):
    """The second one refuses to start, and the first one serves on."""
    lab.start()
    second = subprocess.run(
        lab.host.cmd(labs.GATEWAY, "run", "--unix", lab.sock, "--ipv4", "on"),
        stderr=subprocess.PIPE, text=True, timeout=5)
    assert second.returncode == 2 and "in use" in second.stderr
    flow_works(lab)


# ---- strangers --------------------------------------------------------------


@pytest.mark.parametrize("token", [bytes(16), bytes(range(16)), b"\xff" * 16],
                         ids=["none", "wrong", "ones"])
def test_second_hello_is_refused(lab, token):
    lab.start()
    s = dial(lab)
    s.sendall(hello(token))
    assert hung_up(s)
    flow_works(lab)
    assert "link down" not in lab.gw.log.text
    assert lab.gw.counts()["drop_link_token"] == 1


def test_hello_with_the_token_replaces_the_link(lab):
    agent = lab.start()
    s = dial(lab)
    s.sendall(hello(bytes.fromhex(agent.hear("TOKEN"))))
    answer = take(s, HELLO_LEN)
    assert answer[:8] == b"MSBL" + struct.pack(">HH", 1, HELLO_LEN)
    lab.gw.log.wait("link replaced")
    agent.log.wait("the gateway is gone")
    # the agent takes it back, and so on: neither can be locked out
    agent.log.wait("connected, offloads", 2)
    assert hung_up(s)
    flow_works(lab)


def test_bare_peer_is_refused_once_there_is_a_token(lab):
    lab.start()
    peer = lab.bare()
    peer.send(bytes(ping(1)))
    with pytest.raises(ConnectionResetError):
        peer.recv()
    flow_works(lab)
    assert lab.gw.counts()["drop_link_bare"] == 1


def test_500_silent_connections(lab):
    """They are put out, oldest first, and hurt neither link nor memory."""
    agent = lab.start()
    token = agent.hear("TOKEN")
    before = lab.gw.rss_kib()
    socks = []
    for _ in range(500):
        s = lab.own(socket.socket(socket.AF_UNIX))
        s.connect(lab.sock)     # blocks while the backlog is full
        socks.append(s)
    flow_works(lab)
    assert lab.gw.rss_kib() - before < 4096
    # and the agent still gets in
    agent.kill(signal.SIGKILL)
    lab.agent(token=token)
    flow_works(lab)
    lab.sane()


def test_no_descriptor_for_a_peer(lab):
    """Whoever waits costs nothing, and is served when there is one again."""
    lab.start()
    pid = lab.gw.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    s = dial(lab)
    s.sendall(hello(b"\xff" * 16))

    def ticks():
        with open(f"/proc/{pid}/stat") as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    start = ticks()
    time.sleep(1)
    assert ticks() - start < 20
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert hung_up(s)           # refused, after it was heard
    flow_works(lab)


def test_log_of_strangers_is_bounded(lab):
    lab.start()
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(lab.sock)
    flow_works(lab)
    assert 5 < len(lab.gw.log.lines("peer connected")) < 30


def test_log_of_a_guest_that_comes_back_is_bounded(lab):
    """Each time with the token, so that it is let in, and with another MTU."""
    lab.gateway()
    with dial(lab) as s:
        s.sendall(hello())
        token = take(s, HELLO_LEN)[36:52]
    bad = hello(token).replace(struct.pack(">H", 1500), struct.pack(">H", 999))
    for _ in range(300):
        with dial(lab) as s:
            s.sendall(bad)
            take(s, HELLO_LEN)
    assert lab.gw.counts() is not None
    said = lab.gw.log.lines(r"msb-gateway: (?:info|warn): (.*)")
    assert lab.gw.log.lines(r"link_up: 301")
    assert 20 < len(said) < 150, said[-20:]


def test_hello_in_single_bytes(lab):
    """As long as it takes less than 5 s it is as good as another."""
    lab.gateway()
    s = dial(lab)
    for b in hello():
        s.send(bytes([b]))
        time.sleep(0.01)
    assert take(s, HELLO_LEN)[:4] == b"MSBL"


def test_hello_that_never_ends(lab):
    """[slow: 5 s] Put out; others are served meanwhile."""
    lab.start()
    begin = time.monotonic()
    socks = [dial(lab) for _ in range(3)]
    for s, start in zip(socks, (b"M", b"MSBL", hello()[:51])):
        s.sendall(start)
    flow_works(lab)
    for s in socks:
        assert hung_up(s, 8)
    assert 4 < time.monotonic() - begin < 7
    lab.sane()


def test_silent_peer_is_dropped_after_15_s(lab):
    """[slow: 15 s] And its keepalives come every 5 s until then."""
    lab.gateway()
    s = dial(lab)
    s.sendall(hello())
    take(s, HELLO_LEN)
    begin = time.monotonic()
    s.settimeout(8)
    zeros = 0
    while time.monotonic() - begin < 20:
        got = s.recv(4096)
        if not got:
            break
        zeros += got.count(b"\0\0\0\0")
    assert 14 < time.monotonic() - begin < 17
    assert zeros >= 2
    lab.gw.log.wait("nothing heard for too long")


# ---- garbage ----------------------------------------------------------------


def junk(n, seed=1):
    return random.Random(seed).randbytes(n)


BAD_START = {
    "random": junk(1000),
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "length 2^31": struct.pack(">I", 1 << 31),
    "length 65600": struct.pack(">I", 65600),
    "bare of 1 byte": struct.pack(">I", 1) + b"x",
    "bare of 13 bytes": struct.pack(">I", 13) + bytes(13),
    "hello version 0": hello(version=0),
    "hello of length 0": hello(length=0),
    "hello of length 51": hello(length=51),
    "hello of length 513": hello(length=513),
    "hello of length 65535": hello(length=65535),
    "torn TLV": hello(length=HELLO_LEN + 4, more=b"\0\1\0\xff"),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_START)
@pytest.mark.parametrize("fresh", [True, False], ids=["first", "beside-link"])
def test_garbage_instead_of_a_hello(lab, name, fresh):
    if fresh:
        lab.gateway()
    else:
        lab.start()
    s = dial(lab)
    s.sendall(BAD_START[name])
    assert hung_up(s)
    if fresh:
        lab.agent()
    flow_works(lab)
    lab.sane()


def test_hello_of_the_future_is_accepted(lab):
    """Unknown feature bits, TLVs and a higher version are no reason to fail."""
    lab.gateway()
    s = dial(lab)
    s.sendall(hello(features=0xffffffff, version=7, length=HELLO_LEN + 9,
                    more=b"\x12\x34\0\5hello"))
    answer = take(s, HELLO_LEN)
    assert struct.unpack(">HHI", answer[4:12]) == (1, HELLO_LEN, 0x1f)


def record(n, body=None):
    return struct.pack(">I", n) + (bytes(n) if body is None else body)


BAD_RECORDS = {
    "random": junk(4000, 2),
    **{f"length {n}": record(n) for n in (1, 2, 11, 12, 13, 25)},
    "length 65578": record(65578, b""),
    "length 2^32-1": record((1 << 32) - 1, b"x"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_garbage_after_the_hello(lab, name):
    """The link goes down, with a reason; the gateway does not."""
    lab.gateway()
    s = dial(lab)
    s.sendall(hello())
    token = take(s, HELLO_LEN)[36:52]
    s.sendall(BAD_RECORDS[name])
    assert hung_up(s)
    lab.gw.log.wait("link down: a record of impossible length")
    lab.agent(token=token.hex())
    flow_works(lab)
    lab.sane()


@pytest.mark.parametrize("n", [26, 100, 1000, 60000])
def test_record_cut_off_by_the_end(lab, n):
    lab.gateway()
    s = dial(lab)
    s.sendall(hello())
    token = take(s, HELLO_LEN)[36:52]
    s.sendall(record(n)[:n // 2])
    s.close()
    lab.gw.log.wait("link down")
    lab.agent(token=token.hex())
    flow_works(lab)


def test_random_frames_in_good_records(lab):
    """5000 frames with random metadata and contents."""
    lab.gateway()
    s = dial(lab, 10)
    s.sendall(hello())
    token = take(s, HELLO_LEN)[36:52]
    rng = random.Random(3)
    gw, me = (bytes.fromhex(x.replace(":", "")) for x in (GW_MAC, MAC))
    reader = threading.Thread(target=drain, args=(s,), daemon=True)
    reader.start()
    for i in range(5000):
        vnet = bytes(12) if i % 3 else rng.randbytes(12)
        frame = rng.randbytes(rng.randrange(0, 200))
        if i % 2:
            kind = rng.choice((b"\x08\x00", b"\x86\xdd", b"\x08\x06"))
            frame = gw + me + kind + frame
        if len(frame) < 14:
            frame += bytes(14)
        s.sendall(record(12 + len(frame), vnet + frame))
    time.sleep(0.2)
    assert "link down" not in lab.gw.log.text
    s.shutdown(socket.SHUT_RDWR)
    reader.join(5)
    lab.gw.log.wait("link down")
    lab.agent(token=token.hex())
    flow_works(lab)
    lab.sane()


def drain(s):
    try:
        while s.recv(1 << 20):
            pass
    except OSError:
        pass


BAD_ANSWERS = {
    "random": junk(500, 4),
    "zeros": bytes(500),
    "wrong magic": hello(magic=b"MSBX"),
    "version 0": hello(version=0),
    "length 0": hello(length=0),
    "length 65535": hello(length=65535) + bytes(1000),
    "end at once": b"",
    "half": hello()[:20],
    "answer, then length 13": hello(bytes(range(16))) + record(13),
    "answer, then 4 GiB": hello(bytes(range(16))) + b"\xff" * 5000,
    "answer, then random": hello(bytes(range(16))) + junk(5000, 5),
    "answer, then half a record": hello(bytes(range(16))) + record(99)[:50],
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_agent_gets_garbage_for_an_answer(lab, name):
    """It hangs up, keeps its addresses, and tries again until it fits."""
    listener = lab.own(socket.socket(socket.AF_UNIX))
    listener.bind(lab.sock)
    listener.listen(8)
    listener.settimeout(5)
    agent = lab.ag = labs.Agent(lab)
    for _ in range(2):
        conn = listener.accept()[0]
        conn.settimeout(8)
        assert take(conn, HELLO_LEN)[:4] == b"MSBL"
        conn.sendall(BAD_ANSWERS[name])
        conn.shutdown(socket.SHUT_WR)
        drain(conn)
        conn.close()
    assert agent.proc.poll() is None and addresses(lab)
    listener.close()
    os.unlink(lab.sock)
    if "answer" in name:        # it believed that token
        (lab.tmp / "token").write_text(bytes(range(16)).hex() + "\n")
        os.chmod(lab.tmp / "token", 0o600)
        lab.gateway("--token-file", lab.tmp / "token")
    else:
        lab.gateway()
    agent.log.wait("connected, offloads",
                   3 if "answer" in name else 1, timeout=10)
    flow_works(lab)


# ---- bare peers -------------------------------------------------------------


def ping(seq, size=56, src=GUEST4, dst=GW4):
    return Ether(src=MAC, dst=GW_MAC) / IP(src=src, dst=dst) / \
        ICMP(type=8, id=7, seq=seq) / Raw(bytes(size))


def test_bare_peer_works(lab):
    """As QEMU's -netdev stream: ARP, a ping, a TCP connection."""
    lab.gateway()
    echo = lab.own(Echo(lab.host.listen(HOST4)))
    p = lab.bare()
    p.send(Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc=MAC, psrc=GUEST4, pdst=GW4))
    got = p.recv(lambda f: ARP in f and f[ARP].op == 2)
    assert got and got[ARP].hwsrc == GW_MAC and got[ARP].psrc == GW4
    p.send(ping(1), ping(2))
    for seq in (1, 2):
        got = p.recv(lambda f: ICMP in f)
        assert got and (got[ICMP].type, got[ICMP].seq) == (0, seq)

    def seg(flags, seq, ack=0, data=b""):
        return Ether(src=MAC, dst=GW_MAC) / IP(
            src=GUEST4, dst=HOST4) / TCP(
                sport=4000, dport=echo.port, flags=flags, seq=seq, ack=ack,
                window=60000) / Raw(data)

    p.send(seg("S", 100))
    syn_ack = p.recv(lambda f: TCP in f)
    assert syn_ack and str(syn_ack[TCP].flags) == "SA"
    assert syn_ack[TCP].ack == 101
    theirs = syn_ack[TCP].seq + 1
    p.send(seg("A", 101, theirs), seg("PA", 101, theirs, b"hello"))
    data = p.recv(lambda f: TCP in f and Raw in f)
    assert data and bytes(data[Raw].load)[:5] == b"hello"
    p.send(seg("FA", 106, theirs + 5))
    assert p.recv(lambda f: TCP in f and "F" in str(f[TCP].flags))
    p.send(seg("A", 107, theirs + 6))


def test_bare_peer_leaves_and_another_comes(lab):
    lab.gateway()
    for _ in range(3):
        p = lab.bare()
        p.send(ping(1))
        assert p.recv(lambda f: ICMP in f)
        p.close()
        time.sleep(0.1)


def test_one_bare_peer_at_a_time(lab):
    lab.gateway()
    first, second = lab.bare(), lab.bare()
    first.send(ping(1))
    assert first.recv(lambda f: ICMP in f)
    second.send(ping(2))
    with pytest.raises(ConnectionResetError):
        second.recv()
    first.send(ping(3))
    assert first.recv(lambda f: ICMP in f)[ICMP].seq == 3
