"""msb-init agent in a network and mount namespace, against a peer in Python.

The agent changes addresses, /etc and /run, so it only ever runs inside
namespaces made here: /etc and /run are a tmpfs there.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

BUILD = os.environ.get("MSB_BUILD", "build")
AGENT = os.environ.get("MSB_INIT", os.path.join(BUILD, "guest", "msb-init"))
MAC = "02:6d:73:00:01:02"
GW_MAC = bytes.fromhex("026d73000101")
NET = {
    "MSB_NET": f"iface=eth0,mac={MAC},mtu=1400",
    "MSB_NET_IPV4": "addr=100.96.0.6/30,gw=100.96.0.5,dns=100.96.0.5",
    "MSB_NET_IPV6": "addr=fd42:6d73:62:1::2/64,gw=fd42:6d73:62:1::1,"
                    "dns=fd42:6d73:62:1::1",
    "MSB_HOST_ALIAS": "host.microsandbox.internal",
}
RESOLV = "nameserver 100.96.0.5\nnameserver fd42:6d73:62:1::1\n"
ALL = 0x1f


def until(cond, timeout=5.0):
    """Wait until cond() is true; its value."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = cond()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("time is up")


class Guest:
    """A namespace for one guest, held open by a sleeping process."""

    def __init__(self, tmp):
        self.tmp = tmp
        self.sock = str(tmp / "gw.sock")
        self.hold = subprocess.Popen(
            ["unshare", "-nmu", "sh", "-c",
             "mount -t tmpfs -o mode=755 none /etc && "
             "mount -t tmpfs -o mode=755 none /run && echo up && "
             "exec sleep 600"], stdout=subprocess.PIPE, text=True)
        assert self.hold.stdout.readline() == "up\n"
        for ns in ("net", "mnt", "uts"):
            assert (os.readlink(f"/proc/{self.hold.pid}/ns/{ns}") !=
                    os.readlink(f"/proc/self/ns/{ns}"))
        self.agents = []

    def cmd(self, *argv):
        return ["nsenter", f"-t{self.hold.pid}", "-n", "-m", "-u", *argv]

    def run(self, *argv, check=True, **kw):
        return subprocess.run(self.cmd(*argv), check=check, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **kw).stdout

    def sh(self, script):
        return self.run("sh", "-ec", script)

    def read(self, path):
        return self.run("cat", path)

    def write(self, path, text):
        self.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "sh",
                 path, input=text)

    def agent(self, *args, env=None, token=None, link=True, probe=None):
        env = dict(NET if env is None else env)
        env["PATH"] = os.environ["PATH"]
        if probe:
            env["MSB_NET_PROBE"] = probe
        if link and "MSB_LINK" not in env:
            env["MSB_LINK"] = f"unix:{self.sock}"
        agent = Agent(self, args, env, token)
        self.agents.append(agent)
        return agent

    def once(self, env=None, **kw):
        agent = self.agent("--once", env=env, **kw)
        agent.proc.wait(10)
        assert agent.proc.returncode == 0, agent.log
        return agent

    def close(self):
        for agent in self.agents:
            agent.kill()
        self.hold.kill()
        self.hold.wait()


class Agent:
    def __init__(self, guest, args, env, token):
        self.log_path = guest.tmp / f"log{len(guest.agents)}"
        self.ready, wr = os.pipe()
        fds = [wr]
        env["MSB_READY_FD"] = str(wr)
        if token:
            rd, tw = os.pipe()
            os.write(tw, token.encode() + b"\n")
            os.close(tw)
            env["MSB_TOKEN_FD"] = str(rd)
            fds.append(rd)
        with open(self.log_path, "w") as log:
            self.proc = subprocess.Popen(
                guest.cmd(AGENT, "agent", "--pid1", *args), env=env,
                pass_fds=fds, stdout=log, stderr=log)
        for fd in fds:
            os.close(fd)
        self.text = ""

    @property
    def log(self):
        return self.log_path.read_text()

    def hear(self, *keys, timeout=5.0):
        """Lines of the ready pipe as a dict, once one of the keys is there."""
        end = time.monotonic() + timeout
        while True:
            said = dict(line.split("=", 1)
                        for line in self.text.split("\n")[:-1])
            if not keys or any(k in said for k in keys):
                return said
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.ready], [], [], left)[0]:
                raise AssertionError(f"no {keys}: {said}\n{self.log}")
            more = os.read(self.ready, 4096).decode()
            assert more, f"the pipe has ended: {said}\n{self.log}"
            self.text += more

    def up(self):
        said = self.hear("READY", "FAILED")
        assert said.get("READY") == "1", said
        return said

    def kill(self, sig=signal.SIGKILL):
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
            self.proc.wait(5)
        if self.ready >= 0:
            os.close(self.ready)
        self.ready = -1


class Peer:
    """The gateway's end: hello, then records."""

    def __init__(self, path, token=bytes(range(16)), features=ALL):
        self.path, self.token, self.features = path, token, features
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)
        self.listener.settimeout(5)
        self.conn = None

    def accept(self):
        self.conn = self.listener.accept()[0]
        self.conn.settimeout(5)
        return self

    def take(self, n):
        buf = b""
        while len(buf) < n:
            more = self.conn.recv(n - len(buf))
            assert more, "the agent hung up"
            buf += more
        return buf

    def hello(self):
        """The guest's hello as a dict; answered."""
        raw = self.take(52)
        magic, version, length, features, mtu = struct.unpack(
            ">4sHHIH", raw[:14])
        assert (magic, version, length) == (b"MSBL", 1, 52)
        self.conn.sendall(struct.pack(">4sHHIH", b"MSBL", 1, 52,
                                      self.features, 1500) +
                          GW_MAC + bytes(16) + self.token)
        return {"features": features, "mtu": mtu, "mac": raw[14:20],
                "boot_id": raw[20:36], "token": raw[36:52]}

    def record(self):
        """The next frame with its 12 bytes of metadata."""
        while True:
            n = struct.unpack(">I", self.take(4))[0]
            if n:
                assert 26 <= n <= 12 + 65549
                raw = self.take(n)
                return raw[:12], raw[12:]

    def send(self, frame, vnet=bytes(12)):
        self.conn.sendall(struct.pack(">I", 12 + len(frame)) + vnet + frame)

    def close(self):
        if self.conn:
            self.conn.close()
        self.listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@pytest.fixture
def guest(tmp_path):
    if not os.access(AGENT, os.X_OK):
        pytest.skip(f"{AGENT} has not been built")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun cannot be opened")
    g = Guest(tmp_path)
    yield g
    g.close()


@pytest.fixture
def peer(guest):
    p = Peer(guest.sock)
    yield p
    p.close()


def arp_request():
    return (b"\xff" * 6 + GW_MAC + struct.pack(
        ">HHHBBH6s4s6s4s", 0x0806, 1, 0x0800, 6, 4, 1, GW_MAC,
        bytes([100, 96, 0, 5]), bytes(6), bytes([100, 96, 0, 6])))


def expect_arp_reply(peer):
    peer.send(arp_request())
    while True:
        frame = peer.record()[1]
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2":
            assert frame[22:28].hex(":") == MAC
            return


def state(guest):
    return guest.sh("ip -d addr show dev lo; ip -d addr show dev eth0 | "
                    "sed 's/<[^>]*>//; s/state [A-Z]*//'; "
                    "(ip route; ip -6 route) | "
                    "sed 's/ linkdown//; s/ *$//'")


def files(guest):
    return guest.sh("stat -c '%n %i %Y %Z %a %s' /etc/hosts /etc/resolv.conf; "
                    "cat /etc/hosts /etc/resolv.conf")


def test_configures_what_was_asked_for(guest, peer):
    agent = guest.agent()
    peer.accept()
    hello = peer.hello()
    said = agent.up()
    agent.hear("TOKEN")
    assert agent.hear()["TOKEN"] == bytes(range(16)).hex()
    assert hello["mac"].hex(":") == MAC and hello["mtu"] == 1400
    assert hello["features"] & 7 == 7 and any(hello["boot_id"])
    assert hello["token"] == bytes(16)
    assert said["IFACE"] == "eth0" and said["LINK"] == f"unix:{guest.sock}"
    assert said["IPV4"] == "100.96.0.6/30" and said["GW4"] == "100.96.0.5"
    assert said["IPV6"] == "fd42:6d73:62:1::2/64"
    assert int(said["T_START"]) <= int(said["T_LINK"]) <= int(said["T_ETH0"])

    link, = json.loads(guest.run("ip", "-j", "-d", "addr", "show", "eth0"))
    assert link["address"] == MAC and link["mtu"] == 1400
    assert "LOWER_UP" in link["flags"]
    got = {a["local"]: a for a in link["addr_info"]}
    assert got["100.96.0.6"]["prefixlen"] == 30
    assert got["100.96.0.6"]["broadcast"] == "100.96.0.7"
    assert got["fd42:6d73:62:1::2"]["nodad"]
    assert guest.run("ip", "route", "show", "default") == (
        "default via 100.96.0.5 dev eth0 proto static \n")
    assert "via fd42:6d73:62:1::1 dev eth0 proto static" in guest.run(
        "ip", "-6", "route", "show", "default")
    for key, value in (("accept_ra", 0), ("autoconf", 0), ("accept_dad", 0),
                       ("router_solicitations", 0)):
        assert int(guest.read(
            f"/proc/sys/net/ipv6/conf/eth0/{key}")) == value, key
    assert guest.read("/etc/resolv.conf") == RESOLV
    hosts = guest.read("/etc/hosts")
    assert "100.96.0.5\thost.microsandbox.internal\n" in hosts
    assert "fd42:6d73:62:1::1\thost.microsandbox.internal\n" in hosts
    expect_arp_reply(peer)
    assert "TOKEN" not in guest.read("/run/msb/status")
    assert bytes(range(16)).hex() not in guest.read("/run/msb/status")


@contextlib.contextmanager
def quiet(guest, *words):
    """No event about an address or a route with one of the words.

    What is link-local or multicast is the kernel's own business.
    """
    with open(guest.tmp / "events", "w+") as events:
        monitor = subprocess.Popen(
            guest.cmd("ip", "monitor", "address", "route"), stdout=events)
        time.sleep(0.3)
        yield
        time.sleep(0.3)
        monitor.kill()
        monitor.wait()
        events.seek(0)
        assert not [x for x in events if any(w in x for w in words)]


def test_second_run_changes_nothing(guest, peer):
    guest.agent().up()
    guest.agents[0].kill(signal.SIGTERM)
    assert guest.agents[0].proc.returncode == 0
    before, old = state(guest), files(guest)
    with quiet(guest, "100.96", "fd42"):
        guest.agent().up()
    assert state(guest) == before
    assert files(guest) == old


def test_kill_keeps_addresses_and_takes_the_token_back(guest, peer):
    first = guest.agent()
    peer.accept().hello()
    first.up()
    token = first.hear("TOKEN")["TOKEN"]
    before = state(guest)
    first.kill()
    assert state(guest) == before
    second = guest.agent(token=token)
    peer.accept()
    assert peer.hello()["token"].hex() == token
    second.up()
    assert state(guest) == before
    expect_arp_reply(peer)
    assert "TOKEN" not in second.hear("T_CONNECTED")


def test_reconnects_after_the_gateway_restarts(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    expect_arp_reply(peer)
    before = state(guest)
    for _ in range(3):
        peer.close()
        until(lambda: "LINK_STATE=down" in guest.read("/run/msb/status"))
        assert "LOWER_UP" in guest.run("ip", "link", "show", "eth0")
        assert state(guest) == before
        peer.__init__(guest.sock)
        peer.accept()
        assert peer.hello()["token"] == peer.token
        expect_arp_reply(peer)
    assert agent.log.count("gateway is gone") == 3
    assert agent.proc.poll() is None


def test_first_packets_wait_for_the_gateway(guest):
    agent = guest.agent()
    agent.up()
    assert agent.hear().get("T_CONNECTED") is None
    guest.sh("ip neigh add 100.96.0.5 lladdr 02:6d:73:00:01:01 dev eth0; "
             "ping -c1 -W0.1 100.96.0.5 || :")
    peer = Peer(guest.sock)
    peer.accept().hello()
    while peer.record()[1][12:14] != b"\x08\x00":
        pass
    agent.hear("T_CONNECTED")
    peer.close()


def test_stalled_gateway_is_backpressure_and_no_spin(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    agent.hear("TOKEN")
    guest.sh("ip neigh add 100.96.0.5 lladdr 02:6d:73:00:01:01 dev eth0")
    guest.run("python3", "-c", "import socket\n"
              "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "for i in range(3000):\n"
              "  s.sendto(i.to_bytes(4, 'big') * 300, ('100.96.0.5', 9))\n")
    pid = agent.proc.pid

    def cpu():
        with open(f"/proc/{pid}/stat") as f:
            return sum(map(int, f.read().rsplit(")")[1].split()[11:13]))
    before = cpu()
    time.sleep(1)
    assert cpu() - before < 20          # ticks of 10 ms
    seen = []
    while not seen or seen[-1] < 1000:
        frame = peer.record()[1]
        if frame[12:14] == b"\x08\x00" and frame[23] == 17:
            seen.append(int.from_bytes(frame[42:46], "big"))
            assert frame[42:] == frame[42:46] * 300
    assert seen == sorted(seen) and len(seen) > 500
    expect_arp_reply(peer)


@pytest.mark.parametrize("features", [1, 0])
def test_offloads_are_what_the_gateway_accepts(guest, features):
    peer = Peer(guest.sock, features=features)
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    agent.hear("TOKEN")
    guest.sh("ip neigh add 100.96.0.5 lladdr 02:6d:73:00:01:01 dev eth0")
    guest.run("ping", "-c1", "-W0.1", "-s1300", "100.96.0.5", check=False)
    vnet, frame = peer.record()
    while frame[12:14] != b"\x08\x00":
        vnet, frame = peer.record()
    assert len(frame) <= 1414 and vnet[1] == 0
    if not features:
        assert vnet[0] == 0
    want = "csum" if features else "none"
    assert f"OFFLOADS={want}\n" in guest.read("/run/msb/status")
    peer.close()


BULK = """
import hashlib, socket, sys
n, h, chunk = 30_000_000, hashlib.sha256(), bytes(range(256)) * 256
s = socket.socket()
if sys.argv[1] == "send":
    s.settimeout(20)
    s.connect(("100.96.0.7", 7))
    while n > 0:
        s.sendall(chunk[:n])
        h.update(chunk[:n])
        n -= len(chunk)
else:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("100.96.0.7", 7))
    s.listen()
    s = s.accept()[0]
    while data := s.recv(1 << 20):
        h.update(data)
print(h.hexdigest())
"""


def patch(a, b, seen):
    """Records from one peer to the other as they are; their lengths."""
    with contextlib.suppress(OSError, AssertionError):
        while True:
            head = a.take(4)
            body = a.take(struct.unpack(">I", head)[0])
            seen.append(len(body))
            b.conn.sendall(head + body)


@pytest.mark.parametrize("features", [ALL, 1, 0])
def test_bulk_between_two_guests(guest, tmp_path_factory, features):
    other = Guest(tmp_path_factory.mktemp("other"))
    ends, threads, seen = [], [], []
    try:
        for g, n in ((guest, 6), (other, 7)):
            ends.append(Peer(g.sock, features=features))
            agent = g.agent(env={
                "MSB_NET": f"iface=eth0,mac=02:6d:73:00:01:0{n}",
                "MSB_NET_IPV4": f"addr=100.96.0.{n}/24,gw=100.96.0.1"})
            ends[-1].accept().hello()
            agent.hear("TOKEN")
        for a, b in (ends, ends[::-1]):
            a.conn.settimeout(30)
            threads.append(threading.Thread(target=patch, args=(a, b, seen)))
            threads[-1].start()
        sink = subprocess.Popen(other.cmd("python3", "-c", BULK, "take"),
                                stdout=subprocess.PIPE, text=True)
        until(lambda: ":7 " in other.run("ss", "-ltn"))
        sent = guest.run("python3", "-c", BULK, "send", timeout=60)
        assert sink.communicate(timeout=30)[0] == sent
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                end.conn.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in threads:
            thread.join(5)
        other.close()
    assert max(seen) > 30000 if features == ALL else max(seen) <= 1526


@pytest.mark.parametrize("name,value,text", [
    ("MSB_NET", f"iface=eth0,mac={MAC},mtu=70000", "invalid MTU: 70000"),
    ("MSB_NET", "iface=eth0", "missing mac="),
    ("MSB_NET", f"iface=eth0,mac={MAC},x=1", "unknown"),
    ("MSB_NET_IPV4", "addr=1.2.3.4,gw=1.2.3.5", "CIDR"),
    ("MSB_NET_IPV6", "addr=fd00::2/129,gw=fd00::1", "129"),
    ("MSB_LINK", "carrier-pigeon", "carrier-pigeon"),
])
def test_bad_variable_is_reported(guest, name, value, text):
    agent = guest.agent(env={**NET, name: value})
    reason = agent.hear("FAILED", "READY")["FAILED"]
    assert reason.startswith(f"{name}: ") and text in reason
    assert "(at offset " in reason
    lines = [x for x in agent.log.splitlines() if f"{name}: " in x]
    assert len(lines) == 1 and text in lines[0]
    assert "127.0.0.1/8" in guest.run("ip", "addr", "show", "up")
    assert "eth0" not in guest.run("ip", "link")
    time.sleep(0.1)
    assert agent.proc.poll() is None
    out = subprocess.run(guest.cmd(AGENT, "status"), text=True,
                         stdout=subprocess.PIPE)
    assert out.returncode == 1 and text in out.stdout


def test_two_bad_variables_two_lines(guest):
    agent = guest.agent(env={**NET, "MSB_NET": "x", "MSB_NET_IPV4": "y"})
    agent.hear("FAILED")
    assert len(agent.log.splitlines()) == 2


def test_without_variables_lo_is_up(guest):
    said = guest.agent(env={}, link=False).up()
    assert "IFACE" not in said
    addrs = guest.run("ip", "addr", "show", "up")
    assert "127.0.0.1/8" in addrs and "::1/128" in addrs
    guest.run("test", "!", "-e", "/etc/resolv.conf")
    guest.run("ping", "-c1", "-W1", "127.0.0.1")


def test_small_mtu_with_ipv6_is_refused(guest):
    agent = guest.agent(env={
        **NET, "MSB_NET": f"iface=eth0,mac={MAC},mtu=1000"})
    assert "1280" in agent.hear("FAILED")["FAILED"]


def test_gateway_outside_the_prefix(guest):
    env = {"MSB_NET": NET["MSB_NET"],
           "MSB_NET_IPV4": "addr=10.0.0.2/32,gw=10.0.9.1",
           "MSB_NET_IPV6": "addr=fd00::2/128,gw=fd99::1"}
    guest.agent(env=env).up()
    before = state(guest)
    assert "default via 10.0.9.1 dev eth0" in before and "onlink" in before
    assert "default via fd99::1 dev eth0" in before
    guest.agents[0].kill()
    with quiet(guest, "10.0", "default"):
        guest.agent(env=env).up()
    assert state(guest) == before


def test_ipv6_switched_off(guest):
    guest.sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; "
             "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
    agent = guest.agent()
    said = agent.up()
    assert "IPV6" not in said and said["IPV4"] == "100.96.0.6/30"
    assert "MSB_NET_IPV6 is not used" in agent.log


# --- NIC -------------------------------------------------------------------

def veth(guest, name, mac=MAC):
    guest.sh(f"ip link add {name} address {mac} type veth peer name gw0; "
             "ip link set gw0 up")


@pytest.mark.parametrize("link", ["nic", None])
def test_nic_is_found_by_its_mac(guest, link):
    veth(guest, "ens7")
    env = {**NET, **({"MSB_LINK": link} if link else {})}
    agent = guest.agent(env=env, link=False)
    said = agent.up()
    assert said["LINK"] == "nic" and said["IFACE"] == "eth0"
    assert "100.96.0.6/30" in guest.run("ip", "addr", "show", "eth0")
    before = state(guest)
    agent.kill()
    guest.agent(env=env, link=False).up()
    assert state(guest) == before


def test_nic_is_found_by_its_name(guest):
    veth(guest, "eth0", "02:00:00:00:00:99")
    guest.sh("ip link set eth0 up")
    guest.agent(env={**NET, "MSB_LINK": "nic"}).up()
    assert MAC in guest.run("ip", "link", "show", "eth0")


def test_nic_may_come_late(guest):
    later = threading.Timer(0.2, veth, (guest, "eth0"))
    later.start()
    agent = guest.agent(env={**NET, "MSB_LINK": "nic"})
    assert agent.up()["LINK"] == "nic"
    later.join()


def test_nic_that_never_comes(guest):
    agent = guest.agent(env={**NET, "MSB_LINK": "nic"})
    assert "no NIC" in agent.hear("FAILED")["FAILED"]


def test_no_nic_means_vsock_at_once(guest):
    # this machine may have a NIC of its own on the bus
    guest.run("mount", "-t", "tmpfs", "none", "/sys/bus", check=False)
    agent = guest.agent(link=False)
    said = agent.up()
    assert said["LINK"] == "vsock:2:1024"
    assert int(said["T_LINK"]) - int(said["T_START"]) < 300e6
    time.sleep(0.2)
    assert agent.proc.poll() is None


# --- files -----------------------------------------------------------------

@pytest.mark.parametrize("before", [
    "echo old >/etc/resolv.conf",
    "ln -s ../run/nowhere/resolv.conf /etc/resolv.conf",
    "echo old >/run/other; ln -s /run/other /etc/resolv.conf",
    "echo old >/run/other; touch /etc/resolv.conf; "
    "mount --bind /run/other /etc/resolv.conf",
    "echo old >/etc/resolv.conf; touch /etc/hosts; mkdir -p /run/msb; "
    "mount -o remount,ro /etc",
])
def test_resolv_conf(guest, before):
    guest.sh(before)
    for _ in range(2):
        agent = guest.once()
        assert agent.proc.returncode == 0, agent.log
        assert guest.read("/etc/resolv.conf") == RESOLV
        assert guest.sh("stat -c %a /etc/resolv.conf") == "644\n"
    mounts = guest.read("/proc/mounts").count(" /etc/resolv.conf ")
    assert mounts <= 1
    if "/run/other" in before and "mount" not in before:
        assert guest.read("/run/other") == "old\n"
    env = dict(NET, MSB_NET_IPV6="addr=fd42:6d73:62:1::2/64,"
               "gw=fd42:6d73:62:1::1")
    guest.once(env=env)
    assert guest.read("/etc/resolv.conf") == "nameserver 100.96.0.5\n"
    assert guest.read("/proc/mounts").count(" /etc/resolv.conf ") == mounts


def test_resolv_conf_is_a_directory(guest):
    guest.sh("mkdir /etc/resolv.conf")
    agent = guest.agent()
    agent.up()
    assert "warn" in agent.log and "/etc/resolv.conf" in agent.log


def test_hosts_keeps_foreign_lines(guest):
    guest.write("/etc/hosts", "10.1.1.1 mine\n")
    env = {**NET, "MSB_HOSTNAME": "w1"}
    guest.once(env=env)
    first = guest.read("/etc/hosts")
    assert first.startswith("10.1.1.1 mine\n")
    assert "127.0.0.1\tlocalhost w1\n" in first
    assert guest.read("/etc/hostname") == "w1\n"
    assert guest.run("uname", "-n") == "w1\n"
    guest.sh("echo 10.1.1.2 later >>/etc/hosts")
    guest.once(env={**env, "MSB_HOSTNAME": "w2"})
    second = guest.read("/etc/hosts")
    assert second == first.replace(" w1\n", " w2\n") + "10.1.1.2 later\n"


def make_ca(tmp, name="ca", ca=True):
    key, crt = tmp / f"{name}.key", tmp / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt,
         "-days", "30", "-subj", f"/CN={name}", "-addext",
         "basicConstraints=critical,CA:" + ("TRUE" if ca else "FALSE")],
        check=True, stderr=subprocess.DEVNULL)
    return key, crt


def test_ca_is_installed_replaced_and_removed(guest):
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    image = "# image\n-----BEGIN X-----\xe9\n-----END X-----\n"
    guest.write(bundle, image)
    pems = [make_ca(guest.tmp, n)[1].read_text() for n in ("one", "two")]
    for pem in pems + pems[1:]:
        guest.write("/etc/msb/ca.pem", pem)
        said = guest.once().hear("READY")
        assert said["CA_BUNDLE"] == bundle
        assert said["CA_FILE"] == "/etc/msb/ca.pem"
        text = guest.read(bundle)
        assert text.startswith(image) and pem in text
        assert text.count("BEGIN CERTIFICATE") == 1
    guest.run("rm", "/etc/msb/ca.pem")
    assert "CA_BUNDLE" not in guest.once().hear("READY")
    assert guest.read(bundle) == image


def test_ca_without_a_bundle(guest):
    pem = make_ca(guest.tmp)[1].read_text()
    guest.write("/etc/msb/ca.pem", pem.replace("\n", "\r\n"))
    agent = guest.once()
    assert not agent.log
    assert pem in guest.read("/etc/ssl/certs/ca-certificates.crt")


def test_ca_with_a_key_is_refused(guest):
    key, crt = make_ca(guest.tmp)
    guest.write("/etc/msb/ca.pem", crt.read_text() + key.read_text())
    agent = guest.agent()
    assert "CA_BUNDLE" not in agent.up()
    assert "private key" in agent.log
    guest.run("test", "!", "-e", "/etc/ssl/certs/ca-certificates.crt")


# --- status, probe, life ---------------------------------------------------

def test_status(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    agent.hear("TOKEN")
    until(lambda: "LINK_STATE=up" in guest.read("/run/msb/status"))
    text = guest.run(AGENT, "status")
    assert "100.96.0.6/30" in text and "start to ready" in text
    got = json.loads(guest.run(AGENT, "status", "--json"))
    assert got["state"] == "ready" and got["link_state"] == "up"
    assert got["mtu"] == 1400 and "token" not in got


def test_status_without_an_agent(guest):
    out = subprocess.run(guest.cmd(AGENT, "status"), stderr=subprocess.PIPE)
    assert out.returncode == 3


@contextlib.contextmanager
def serving(guest, *argv, port):
    server = subprocess.Popen(guest.cmd(*argv), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        until(lambda: f":{port} " in guest.run("ss", "-ltn"))
        yield
    finally:
        server.kill()
        server.wait()


def probe(guest, *argv):
    out = subprocess.run(guest.cmd(AGENT, "probe", *argv), text=True,
                         stdout=subprocess.PIPE)
    return out.returncode, out.stdout


def test_probe_over_tls(guest):
    key, crt = make_ca(guest.tmp)
    other = make_ca(guest.tmp, "other")[1]
    leaf, req = guest.tmp / "leaf.pem", guest.tmp / "leaf.csr"
    ext = guest.tmp / "ext"
    ext.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    guest.tmp / "leaf.key", "-out", req, "-subj",
                    "/CN=localhost"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "x509", "-req", "-in", req, "-CA", crt,
                    "-CAkey", key, "-CAcreateserial", "-days", "9",
                    "-extfile", ext, "-out", leaf], check=True,
                   stderr=subprocess.DEVNULL)
    guest.write("/etc/msb/ca.pem", crt.read_text())
    url = "https://localhost:4433/"
    with serving(guest, "openssl", "s_server", "-accept", "4433", "-key",
                 str(guest.tmp / "leaf.key"), "-cert", str(leaf), "-www",
                 port=4433):
        agent = guest.agent(probe=url)
        agent.up()
        until(lambda: "PROBE=" in guest.read("/run/msb/status"))
        assert f"PROBE={url}: ok: status 200" in guest.read("/run/msb/status")
        code, out = probe(guest, url, "--json")
        got = json.loads(out)
        assert code == 0 and got["status"] == 200 and got["tls"] == "TLS 1.2"
        assert 0 < got["connect_us"] <= got["tls_us"] <= got["total_us"]
        assert got["ca_bundle"] == "/etc/ssl/certs/ca-certificates.crt"
        code, out = probe(guest, url, "--cacert", str(other))
        assert code == 5 and "remedy" in out and str(other) in out


def test_probe_of_nothing(guest):
    guest.agent(env={}, link=False).up()
    assert probe(guest, "http://127.0.0.1:9/")[0] == 4
    assert probe(guest, "http://name.invalid/")[0] == 3
    assert probe(guest)[0] == 2
    assert probe(guest, "gopher://127.0.0.1/")[0] == 2


def test_probe_of_http(guest):
    guest.agent(env={}, link=False).up()
    with serving(guest, "python3", "-m", "http.server", "8000", "-d",
                 str(guest.tmp), port=8000):
        code, out = probe(guest, "http://127.0.0.1:8000/")
        assert code == 0 and "200" in out
        code, out = probe(guest, "http://127.0.0.1:8000/none")
        assert code == 6 and "404" in out


def test_term_leaves_the_tap(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    before = state(guest)
    agent.proc.terminate()
    assert agent.proc.wait(2) == 0
    assert state(guest) == before


def test_deleted_tap_ends_the_agent(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    agent.hear("TOKEN")
    guest.run("ip", "link", "del", "eth0")
    assert agent.proc.wait(3) == 1


def test_ready_is_quick(guest, peer):
    said = guest.agent().up()
    took_ms = (int(said["T_ETH0"]) - int(said["T_START"])) / 1e6
    assert took_ms < 50                 # the budget is 3, on a quiet machine
