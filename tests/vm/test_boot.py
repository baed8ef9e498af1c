"""A guest whose vsock device is msb-gateway itself."""
import json
import re

import pytest

import vm
from vm import ALIAS, GUEST4, GUEST6, GW4, GW6


@pytest.fixture(scope="module")
def guest(room, servers):
    """One boot of guest/boot.sh: the tests read what its steps said"""
    d = room("boot")
    gateway = vm.Gateway(d, "--vhost-user", d / "vhost.sock",
                         dns=servers.dns.server_address[1])
    (d / "env").write_text(gateway.env())
    files = vm.script_files(d, "boot", servers.variables())
    files["etc/msb/ca.pem"] = servers.ca.pem
    files["usr/bin/vsock_client"] = vm.static(d, "vsock_client")
    g = vm.Guest(
        d, "--vhost-user", d / "vhost.sock", "--env-file", d / "env",
        "--overlay", vm.overlay(d, files), "--append",
        f"MSB_HOSTNAME=box MSB_VERBOSE=1 MSB_NET_PROBE=https://{ALIAS}:"
        f"{servers.tls.server_address[1]}/", timeout=150)
    g.logs = lambda: g.log() + "\n--- gateway\n" + gateway.text
    try:
        g.exit = g.wait()
        alive = gateway.proc.poll() is None
        g.gateway_exit = gateway.stop() if alive else "before the test"
        g.gateway_log = gateway.text
        yield g
    finally:
        g.end()
        gateway.stop()


def test_gateway_ends(guest):
    """It outlives its guest, and ends when told to"""
    assert guest.gateway_exit == 0, guest.gateway_log
    assert "packet process ended" not in guest.gateway_log
    assert guest.gateway_log.count("link up: native") == 2      # one was killed


def test_ends_in_order(guest):
    assert guest.exit == 0, guest.log()
    assert "left mounted" not in guest.log()
    assert guest.step("dmesg").lines == []


# --- what the guest sees -----------------------------------------------------

def test_addresses(guest):
    text = guest.step("addr").ok().text
    assert f"inet {GUEST4}/30 " in text
    assert f"inet6 {GUEST6}/64 " in text
    assert "lo    inet 127.0.0.1/8" in text and "inet6 ::1/128" in text
    assert "tentative" not in text
    assert guest.step("link").ok().lines == ["02:6d:73:00:00:02", "1500"]


def test_routes(guest):
    assert f"default via {GW4} dev eth0 " in guest.step("route").ok().text
    assert f"default via {GW6} dev eth0 " in guest.step("route6").ok().text


def test_files(guest):
    assert guest.step("resolv").ok().lines == [f"nameserver {GW4}",
                                               f"nameserver {GW6}"]
    hosts = [x.split() for x in guest.step("hosts").ok().lines]
    for want in ([GW4, ALIAS], [GW6, ALIAS]):
        assert want in hosts
    assert guest.step("hostname").ok().text == "box"
    assert any(x[:1] == ["127.0.0.1"] and "localhost" in x for x in hosts)


def test_status(guest):
    s = guest.step("status").ok().keys()
    assert (s["STATE"], s["LINK_STATE"]) == ("ready", "up")
    assert s["LINK"] == "vsock:2:1024"
    assert s["OFFLOADS"].startswith("csum,tso4,tso6")
    assert "ERROR1" not in s and "WARNING1" not in s
    words = guest.step("words").ok().lines
    assert "state           ready" in words
    assert "as asked        yes" in words
    got = json.loads(guest.step("json").ok().text)
    items = {x["item"]: x["asked"] for x in got["checks"] if x["same"]}
    assert got["same"] and len(items) == len(got["checks"])
    assert items["ipv6"] == f"{GUEST6}/64" and items["hostname"] == "box"
    assert {"agent", "ca", "resolver", "hosts", "route4"} <= set(items)


def test_nothing_left_to_do(guest):
    """Beside the agent: a plan that changes neither addresses nor files"""
    plan = guest.step("again").ok().text
    assert "TUNSETIFF eth0" in plan
    assert "netlink" not in plan and "/etc/" not in plan


def test_memory(guest):
    pid1, agent = map(int, guest.step("memory").ok().lines)
    vm.measure("PID 1, resident", f"{pid1} KiB")
    vm.measure("agent, resident", f"{agent} KiB")
    assert 100 < pid1 <= 600
    assert 100 < agent <= 1536


def test_times(guest):
    s = {k: int(v) / 1e6 for k, v in guest.step("status").keys().items()
         if k.startswith("T_")}
    boot = {k: int(v) / 1e6 for k, v in guest.step("boot").ok().keys().items()}
    vm.measure("kernel to PID 1", f"{boot['MAIN']:.0f} ms")
    vm.measure("PID 1 to agent", f"{boot['AGENT'] - boot['MAIN']:.0f} ms")
    vm.measure("agent start to eth0 ready (emulated)",
               f"{s['T_ETH0'] - s['T_START']:.1f} ms")
    vm.measure("agent start to connected (emulated)",
               f"{s['T_CONNECTED'] - s['T_START']:.1f} ms")
    for what in ("MAIN", "T_START"):
        assert re.search(rf"info: boot \(ns\): {what}=\d.* CPU=\d", guest.log())
    cpu = int(guest.step("status").keys()["CPU"]) / 1e6
    vm.measure("CPU of PID 1 until the workload, and of the agent until it is "
               "ready (emulated)", f"{boot['CPU']:.1f} ms, {cpu:.1f} ms")
    assert 0 < cpu and 0 < boot["CPU"] < boot["WORKLOAD"] - boot["MAIN"]
    assert boot["MAIN"] <= boot["MOUNTS"] <= boot["MODULES"] <= boot["AGENT"]
    assert boot["AGENT"] <= s["T_START"] <= s["T_LINK"] <= s["T_ETH0"]
    assert s["T_ETH0"] <= boot["READY"] <= boot["WORKLOAD"]


def test_version(guest):
    text = guest.step("version").ok().text
    for name in ("msb-init ", "libmnl", "libcurl/", "BearSSL"):
        assert name in text


# --- what it can do ----------------------------------------------------------

@pytest.mark.parametrize("step", ["ping4", "ping6"])
def test_ping(guest, step):
    assert " 0% packet loss" in guest.step(step).ok().text


def test_dns(guest, servers):
    for step, gw in (("dns_alias", GW4), ("dns_alias6", GW6)):
        assert f"Address: {gw}" in guest.step(step).ok().lines
    assert "192.0.2.10" in guest.step("dns4").ok().text
    assert "2001:db8::10" in guest.step("dns6").ok().text
    assert guest.step("dns_none").status != 0
    assert "NXDOMAIN" in guest.step("dns_none").text
    # What the gateway answers itself does not leave it
    assert not [n for n, _ in servers.dns.asked if b"microsandbox" in n]


@pytest.mark.parametrize("step,host", [
    ("web4", "127.0.0.1"), ("web6", "::1"), ("web_name", "127.0.0.1")])
def test_http(guest, step, host):
    assert guest.step(step).ok().text == f"hello from {host}"


@pytest.mark.parametrize("step", ["closed", "closed6", "denied", "denied6"])
def test_refused(guest, step):
    """Refused by the host, or by policy: at once, not by time-out"""
    s = guest.step(step)
    assert s.status == 7, s.text
    assert s.ms < 2000


def test_other_ports(guest):
    """The device has two ports; others do not hang, they are refused"""
    assert guest.step("vsock_refused").ok().text.startswith("ok refused")


@pytest.mark.parametrize("step", ["udp4", "udp6"])
def test_udp(guest, step):
    assert len(guest.step(step).ok().lines) == 6


@pytest.mark.parametrize("down,up,mib", [("down4", "up4", 64),
                                         ("down6", "up6", 16)])
def test_bulk(guest, servers, down, up, mib):
    want = vm.blob_sum(mib)
    assert guest.step(down).ok().text.split()[0] == want
    # The guest sent what it had got; the server says what came
    assert guest.step(up).ok().text.split() == [want, str(mib * vm.MIB)]
    web = servers.web4 if down == "down4" else servers.web6
    assert (mib * vm.MIB, want) in web.got
    for s in (down, up):
        ms = guest.step(s).ms
        vm.measure(f"{s}, {mib} MiB", f"{ms} ms, "
                   f"{mib * vm.MIB * 8 / 1e6 / max(ms, 1):.2f} Gbit/s"
                   + (", with sha256sum" if s == down else ""))


@pytest.mark.parametrize("step", ["raw_down4", "raw_down6", "raw_up4",
                                  "raw_up6"])
def test_speed(guest, step):
    """Only told: an emulated guest is no measure of anything else"""
    n, seconds, rate = map(float, guest.step(step).ok().text.split())
    assert n == 64 * vm.MIB
    vm.measure(f"{step}, TCP, 64 MiB", f"{seconds * 1000:.0f} ms, "
               f"{rate * 8 / 1e9:.2f} Gbit/s")


def test_probe(guest):
    text = guest.step("probe").ok().text
    assert "TLS 1.2" in text
    # A certificate of somebody else is the fault of TLS
    assert guest.step("probe_bad").status == 5, guest.step("probe_bad").text
    status = guest.step("probe_status").text
    assert ALIAS in status and "200" in status, status


def test_ca(guest, servers):
    text = guest.step("ca").ok().text
    pem = servers.ca.pem.read_text().strip()
    body = "".join(pem.splitlines()[1:-1])
    m = re.search(r"^# BEGIN msb-init$(.*?)^# END msb-init$", text,
                  re.S | re.M)
    assert m, text
    assert body in m[1].replace("\n", "")
    assert guest.step("ca_env").ok().text.endswith("ca-certificates.crt")


# --- what may go wrong -------------------------------------------------------

def test_no_zombies(guest):
    guest.step("zombies").ok()
    assert guest.step("kill_zombies").lines == []


def test_agent_killed(guest):
    guest.step("kill_agent").ok()
    assert "agent: ended with status 137" in guest.log()
    assert guest.step("kill_addr").text == guest.step("addresses").text
    assert " 0% packet loss" in guest.step("kill_ping").ok().text
    assert " 0% packet loss" in guest.step("kill_ping6").ok().text
    assert guest.step("kill_web").ok().text == "hello from 127.0.0.1"
    assert "192.0.2.10" in guest.step("kill_dns").ok().text


def boot(d, *args, **kw):
    g = vm.Guest(d, *args, **kw)
    try:
        return g, g.wait()
    finally:
        g.end()


LAST = "msb-init: workload exited with status"


# Each of these is a boot, and says again that boots do not hang
@pytest.mark.parametrize("cmd,want", [
    (["true"], 0),
    (["false"], 1),
    # Without a newline at the end, and with somebody else's last line
    (["sh", "-c", f"echo {LAST} 0; printf '{LAST}'; exit 42"], 42),
    (["sh", "-c", "ping -c 1 -W 3 100.96.0.1 >/dev/null || exit 1; exit 255"],
     255),
    (["sh", "-c", "kill -KILL $$"], 137),
    # The kernel drops what comes after a second "--"
    (["sh", "-c", "exit $#", "sh", "--", "x", "y"], 3),
])
def test_exit_status(tmp, cmd, want):
    g, status = boot(tmp, cmd=cmd)
    assert status == want, g.log()
    assert f"workload exited with status {want} (key " in g.log()
    assert "(key " not in "".join(g.out)
    if want == 42:
        assert g.out[-2:] == [f"{LAST} 0", LAST]


def test_exit_status_cannot_be_forged(tmp):
    """Who stops the machine before PID 1 does, knows no key"""
    cmd = (f"cat /etc/msb/exit-key; echo {LAST} 0; "
           f'echo "{LAST} 0 (key $(cat /etc/msb/exit-key))"; '
           "echo o >/proc/sysrq-trigger; sleep 20")
    g, status = boot(tmp, cmd=["sh", "-c", cmd])
    assert status == 125, g.log()
    assert f"{LAST} 0" in g.out and f"{LAST} 0 (key )" in g.out
    assert "without saying how its command did" in g.log()


def test_sigterm(tmp, room):
    """SIGTERM to PID 1: the workload first, with its network; then the rest"""
    files = vm.script_files(tmp, "sigterm", {"GW4": GW4})
    g, status = boot(tmp, "--overlay", vm.overlay(tmp, files), "--append",
                     "MSB_VERBOSE=1")
    assert status == 7, g.log()
    said = [x for x in g.out if x.startswith("@")]
    assert said == ["@begin=0 0", "@workload=0 0", "@daemon=0 0"], g.log()
    assert "stopping: Terminated" in g.log()


def test_hang(tmp):
    """A guest that falls silent in boot is ended, and told apart"""
    init = tmp / "init"
    init.write_text("#!/bin/sh\nwhile :; do sleep 1; done\n")
    g = vm.Guest(tmp, "--overlay", vm.overlay(tmp, {"init": init}))
    try:
        with pytest.raises(vm.Hang, match="it hung in boot"):
            g.wait()
    finally:
        g.end()
        assert vm.hung.pop() == str(g.console)
    assert g.took < 40
