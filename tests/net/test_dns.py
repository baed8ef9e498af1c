"""DNS: a real resolver on the host, a real client in the guest."""
import os
import shutil
import socket
import struct
import threading
import time

import pytest

from lab import GW4, GW6, HOLE4, HOST4, Server, until

PORT = 5353
UPSTREAM = ("--dns-nameserver", f"127.0.0.1:{PORT}")
ZONE = """
server:
    interface: 127.0.0.1@{port}
    interface: ::1@{port}
    username: ""
    chroot: ""
    directory: "{dir}"
    pidfile: ""
    use-syslog: no
    verbosity: 1
    do-daemonize: no
    num-threads: 1
    max-udp-size: 65535
    edns-buffer-size: 65535
    msg-buffer-size: 65552
    module-config: "iterator"
    do-not-query-localhost: yes
    access-control: 127.0.0.0/8 allow
    access-control: ::1 allow
    local-zone: "." refuse
    local-zone: "lab.test." static
    local-data: "a.lab.test. 60 A 198.51.100.77"
    local-data: "a.lab.test. 60 AAAA 2001:db8::77"
    local-data: 'a.lab.test. 60 TXT "some text"'
    local-data: "multi.lab.test. 60 A 198.51.100.1"
    local-data: "multi.lab.test. 60 A 198.51.100.2"
{more}
remote-control:
    control-enable: no
"""


def records(name, total, each):
    return "\n".join(f"    local-data: '{name}.lab.test. 60 TXT "
                     f"\"{i:05d}{'x' * each}\"'" for i in range(total))


def unbound(lab, where="127.0.0.1"):
    """unbound with a local zone on the host."""
    if not shutil.which("unbound"):
        pytest.skip("unbound is not installed")
    conf = lab.tmp / "unbound.conf"
    conf.write_text(ZONE.format(port=PORT, dir=lab.tmp, more=(
        records("large", 20, 200) + "\n" + records("huge", 270, 200))))
    log = open(lab.tmp / "unbound.log", "w")
    p = lab.host.popen("unbound", "-d", "-c", conf, stdout=log, stderr=log)
    log.close()

    def ready():
        assert p.poll() is None, (lab.tmp / "unbound.log").read_text()
        try:
            lab.host.connect(where, PORT, timeout=1).close()
            return True
        except ConnectionRefusedError:
            return False
    until(ready, "unbound does not listen", 10)
    return p


def dig(lab, *args, at=GW4, tries=1, wait=5, ok=True):
    if not shutil.which("dig"):
        pytest.skip("dig is not installed")
    out = lab.guest.run("dig", f"@{at}", f"+tries={tries}", f"+time={wait}",
                        "+nocookie", "-r", *args, check=False)
    assert not ok or "status: " in out or "+short" in args, out
    return out


@pytest.fixture(scope="module")
def dns_lab():
    """One lab for all queries that change nothing."""
    import conftest
    import lab as labs
    conftest._need()
    lab = labs.Lab()
    try:
        unbound(lab)
        lab.start(*UPSTREAM)
        yield lab
    finally:
        lab.close()


@pytest.fixture
def dns(request, dns_lab):
    dns_lab.failed = False
    request.node.msb_lab = dns_lab
    yield dns_lab
    dns_lab.sane()


@pytest.mark.parametrize("at", [GW4, GW6])
@pytest.mark.parametrize("how", ["+notcp", "+tcp"])
@pytest.mark.parametrize("kind, answer", [
    ("A", "198.51.100.77"), ("AAAA", "2001:db8::77"),
    ("TXT", '"some text"')])
def test_answers(dns, at, how, kind, answer):
    assert dig(dns, how, "+short", "a.lab.test", kind, at=at).strip() == answer


@pytest.mark.parametrize("how", ["+notcp", "+tcp"])
def test_errors_of_the_upstream_pass_through(dns, how):
    assert "NXDOMAIN" in dig(dns, how, "none.lab.test")
    assert "REFUSED" in dig(dns, how, "example.org")
    out = dig(dns, how, "a.lab.test", "MX")
    assert "NOERROR" in out and "ANSWER: 0" in out


@pytest.mark.parametrize("how", ["+notcp", "+tcp"])
@pytest.mark.parametrize("kind, answer", [
    ("A", GW4), ("AAAA", GW6), ("TXT", "")])
def test_name_of_the_host(dns, how, kind, answer):
    """Known to the gateway alone, in any spelling."""
    for name in ("host.microsandbox.internal", "HOST.Microsandbox.Internal."):
        out = dig(dns, how, "+short", name, kind).strip()
        assert out == answer


def test_long_answer_is_cut_by_udp_and_whole_by_tcp(dns):
    out = dig(dns, "+bufsize=1232", "+ignore", "large.lab.test", "TXT")
    assert " tc" in out.split("flags:")[1].split(";")[0]
    assert "ANSWER: 0" in out
    out = dig(dns, "+bufsize=1232", "large.lab.test", "TXT")
    assert "Truncated, retrying in TCP" in out and "ANSWER: 20" in out
    out = dig(dns, "+bufsize=8192", "+ignore", "large.lab.test", "TXT")
    assert "ANSWER: 20" in out           # fragments: 4 KiB in one datagram


@pytest.mark.parametrize("at", [GW4, GW6])
def test_answer_of_60_kb_by_tcp(dns, at):
    out = dig(dns, "+tcp", "huge.lab.test", "TXT", at=at)
    assert "ANSWER: 270" in out
    assert int(out.split("MSG SIZE  rcvd: ")[1].split()[0]) > 57000


def query(name, ident, kind=1):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 0) + labels + \
        struct.pack(">BHH", 0, kind, 1)


def read_answer(s):
    """One answer of a TCP connection: its id, and its code."""
    def take(n):
        buf = b""
        while len(buf) < n:
            more = s.recv(n - len(buf))
            assert more, "the connection ended"
            buf += more
        return buf
    msg = take(struct.unpack(">H", take(2))[0])
    return struct.unpack(">HH", msg[:4])[0], msg[3] & 15


def test_pipelined_queries_on_one_connection(dns):
    """More than are worked on at once, some answered by the gateway itself."""
    with dns.guest.connect(GW4, 53) as s:
        ask = b""
        for i in range(40):
            name = ("a.lab.test", "host.microsandbox.internal",
                    "none.lab.test")[i % 3]
            q = query(name, i)
            ask += struct.pack(">H", len(q)) + q
        s.sendall(ask)
        got = dict(read_answer(s) for _ in range(40))
        assert got == {i: 3 if i % 3 == 2 else 0 for i in range(40)}
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""


def test_query_in_single_bytes(dns):
    with dns.guest.connect(GW6, 53) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        q = query("a.lab.test", 7)
        for b in struct.pack(">H", len(q)) + q:
            s.send(bytes([b]))
        assert read_answer(s) == (7, 0)


def test_guest_that_closes_after_asking_is_answered(dns):
    with dns.guest.connect(GW4, 53) as s:
        q = query("a.lab.test", 9)
        s.sendall(struct.pack(">H", len(q)) + q)
        s.shutdown(socket.SHUT_WR)
        assert read_answer(s) == (9, 0)
        assert s.recv(1) == b""


@pytest.mark.parametrize("size", [4097, 60000])
def test_query_too_long_is_not_read(dns, size):
    """Only its head is, so that it costs nothing."""
    s = dns.own(dns.guest.udp("0.0.0.0"))
    q = query("a.lab.test", 77)
    s.sendto(q + bytes(size - len(q)), (GW4, 53))
    assert struct.unpack(">6H", s.recv(4096)) == (77, 0x8181, 0, 0, 0, 0)
    s.sendto(b"\0\1\x80" + bytes(size), (GW4, 53))   # an answer, not a query
    with pytest.raises(TimeoutError):
        s.settimeout(0.3)
        s.recv(4096)


def test_connection_with_an_impossible_query_ends(dns):
    with dns.guest.connect(GW4, 53) as s:
        s.sendall(b"\xff\xff" + bytes(6000))
        assert s.recv(1) == b""


def huge_answers(conn):
    """A resolver whose answers are as long as they can be."""
    q = conn.recv(4096)[2:]
    conn.sendall(b"\xff\xff" + q[:2] + b"\x81\x80" + q[4:] +
                 bytes(65535 - len(q)))


def test_connections_that_do_not_read_and_go(lab):
    """What waited for room in them does not wait for ever."""
    server = lab.own(Server(lab.host.listen("127.0.0.1", PORT), huge_answers))
    lab.start(*UPSTREAM)
    q = query("a.lab.test", 1)
    q = struct.pack(">H", len(q)) + q
    for _ in range(20):
        s = lab.guest.socket(socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect((GW4, 53))
        s.sendall(q * 16)
        time.sleep(0.1)         # all are asked; the first answer has room
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     struct.pack("ii", 1, 0))
        s.close()
    with lab.guest.connect(GW4, 53) as s:
        s.sendall(q * 16)
        assert [read_answer(s)[0] for _ in range(16)] == [1] * 16
    server.check()


def test_garbage_to_port_53(dns):
    s = dns.own(dns.guest.udp("0.0.0.0"))
    s6 = dns.own(dns.guest.udp("::"))
    good = query("a.lab.test", 1)
    for i in range(2000):
        data = os.urandom(i % 700) if i % 2 else \
            good[:i % len(good)] + os.urandom(i % 30)
        s.sendto(data, (GW4, 53))
        s6.sendto(data, (GW6, 53))
    assert "198.51.100.77" in dig(dns, "+short", "a.lab.test", tries=3)


def test_many_queries_at_once(dns):
    socks = []
    for i in range(100):
        s = dns.own(dns.guest.udp("0.0.0.0"))
        s.sendto(query("a.lab.test", i), (GW4, 53))
        socks.append(s)
    for i, s in enumerate(socks):
        assert struct.unpack(">H", s.recv(4096)[:2])[0] == i


@pytest.mark.parametrize("how", ["udp", "tcp"])
def test_full_table_gives_up_the_oldest(lab, how):
    """256 queries that nobody answers do not keep others from an answer."""
    unbound(lab)
    (lab.tmp / "conf.json").write_text('{"dns": {"query_timeout_ms": 60000}}')
    lab.start("--config", lab.tmp / "conf.json", *UPSTREAM)
    asked = 300
    if how == "udp":
        s = lab.own(lab.guest.udp("0.0.0.0"))
        for i in range(asked):
            s.sendto(query("a.lab.test", i), (HOLE4, 53))
            time.sleep(0.0005)          # they are held to a rate as well
    else:
        socks = [lab.own(lab.guest.connect(HOLE4, 53)) for _ in range(20)]
        for i in range(asked):
            q = query("a.lab.test", i)
            socks[i // 15].sendall(struct.pack(">H", len(q)) + q)
            time.sleep(0.0005)
    start = time.monotonic()
    assert "198.51.100.77" in dig(lab, "+short", "a.lab.test")
    assert "198.51.100.77" in dig(lab, "+short", "+tcp", "a.lab.test")
    assert time.monotonic() - start < 1
    evicted = asked + 1 - 256   # the first of dig is answered, and gone
    for i in range(evicted):
        if how == "udp":
            said = struct.unpack(">HH", s.recv(4096)[:4])
            assert said == (i, 0x8182)
        else:
            assert read_answer(socks[i // 15]) == (i, 2)
    assert "drop_dns_rate" not in lab.gw.counts()
    assert lab.gw.log.lines(r"dns_query_evicted: (\d+)") == [str(evicted)]


def test_more_answers_than_fit_on_one_connection(dns):
    """The gateway's own: the window opens again when they have been read."""
    s = dns.own(dns.guest.socket(socket.AF_INET, timeout=3))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    s.connect((GW4, 53))
    q = query("host.microsandbox.internal", 1)
    total = 20000               # of 46 bytes; the answers have 62

    sender = threading.Thread(target=s.sendall, daemon=True,
                              args=((struct.pack(">H", len(q)) + q) * total,))
    sender.start()
    time.sleep(0.5)             # now neither end has room
    assert sender.is_alive()
    for _ in range(total):
        assert read_answer(s) == (1, 0)
    sender.join(1)
    assert not sender.is_alive()


def test_too_many_a_second_on_a_connection(lab):
    """Nobody asks a second time over TCP: each query is answered."""
    lab.start()
    q = b"".join(struct.pack(">H", 28) + query("a.lab.test", i)
                 for i in range(3000))
    with lab.guest.connect(GW4, 53, timeout=3) as s:
        sender = threading.Thread(target=s.sendall, args=(q,), daemon=True)
        sender.start()
        assert [read_answer(s) for _ in range(3000)] == [
            (i, 2) for i in range(3000)]
        sender.join()


def test_second_server_when_the_first_refuses(lab):
    unbound(lab)
    lab.start("--dns-nameserver", "127.0.0.1:5399", *UPSTREAM)
    start = time.monotonic()
    for how in ("+notcp", "+tcp"):
        assert "198.51.100.77" in dig(lab, how, "+short", "a.lab.test")
    assert time.monotonic() - start < 1


def test_second_server_when_the_first_is_silent(lab):
    unbound(lab)
    lab.own(lab.host.udp(HOST4, 5399))                  # reads nothing
    lab.own(Server(lab.host.listen(HOST4, 5399), lambda c: c.recv(9) and
                   time.sleep(5)))
    (lab.tmp / "conf.json").write_text('{"dns": {"query_timeout_ms": 300}}')
    lab.start("--config", lab.tmp / "conf.json",
              "--dns-nameserver", f"{HOST4}:5399", *UPSTREAM)
    for how in ("+notcp", "+tcp"):
        start = time.monotonic()
        assert "198.51.100.77" in dig(lab, how, "+short", "a.lab.test")
        assert 0.25 < time.monotonic() - start < 2


def test_second_server_is_ipv6(lab):
    unbound(lab, "::1")
    lab.start("--dns-nameserver", "[::1]:5399",
              "--dns-nameserver", f"[::1]:{PORT}")
    assert "198.51.100.77" in dig(lab, "+short", "a.lab.test")


@pytest.mark.parametrize("how", ["+notcp", "+tcp"])
def test_no_server_is_servfail(lab, how):
    lab.start()
    assert "no nameserver" in lab.gw.log.text
    start = time.monotonic()
    assert "SERVFAIL" in dig(lab, how, "a.lab.test")
    assert time.monotonic() - start < 1
    assert GW4 in dig(lab, "+short", "host.microsandbox.internal")


@pytest.mark.parametrize("how", ["+notcp", "+tcp"])
def test_net_none_is_nxdomain(lab, how):
    unbound(lab)
    lab.start(*UPSTREAM, net="none")
    for name in ("a.lab.test", "host.microsandbox.internal"):
        assert "NXDOMAIN" in dig(lab, how, name)
