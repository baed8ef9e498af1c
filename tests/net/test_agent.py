"""msb-init agent: interface, link and variables."""

import contextlib
import json
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from agentlab import (
    AGENT, ALL, MAC, NET, RESOLV, Guest, Peer, expect_arp_reply, files, guest,
    peer, state, until)  # noqa: F401


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


def test_second_agent_leaves_the_first_alone(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    until(lambda: "LINK_STATE=up" in guest.read("/run/msb/status"))
    before = guest.read("/run/msb/status")
    second = guest.agent("--once")
    assert second.proc.wait(10) == 4
    assert "is another agent running?" in second.log
    assert guest.read("/run/msb/status") == before
    expect_arp_reply(peer)


def test_gateway_that_ends_every_link(guest, peer):
    """Tried less and less often, and not a line on the console each time"""
    agent = guest.agent()
    begin, n = time.monotonic(), 0
    while time.monotonic() - begin < 4:
        peer.accept().hello()
        peer.conn.close()
        n += 1
    # 10 ms, doubled up to a second, each less a quarter at most
    assert 5 <= n <= 14
    assert 1 <= agent.log.count("gateway is gone") <= 4
    assert agent.log.count(": connected") <= 4


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

    def send(first, last):
        guest.run("python3", "-c", "import socket\n"
                  "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                  f"for i in range({first}, {last} + 1):\n"
                  "  s.sendto(i.to_bytes(4, 'big') * 300, ('100.96.0.5', 9))\n")
    send(0, 2999)
    pid = agent.proc.pid

    def cpu():
        with open(f"/proc/{pid}/stat") as f:
            return sum(map(int, f.read().rsplit(")")[1].split()[11:13]))
    before = cpu()
    time.sleep(1)
    assert cpu() - before < 20          # ticks of 10 ms
    seen = []
    while not seen or seen[-1] < 3000:
        frame = peer.record()[1]
        if frame[12:14] == b"\x08\x00" and frame[23] == 17:
            seen.append(int.from_bytes(frame[42:46], "big"))
            assert frame[42:] == frame[42:46] * 300
            if len(seen) % 300 == 0:    # once there is room, one gets in
                send(3000 + len(seen), 3000 + len(seen))
    # At least the TAP's queue: on a busy machine the agent took no more
    assert seen == sorted(seen) and len(seen) > 400
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
