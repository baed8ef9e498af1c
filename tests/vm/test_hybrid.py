"""A guest behind a vsock device of somebody else; the gateway comes and goes."""
import os
import subprocess

import pytest

import vm


@pytest.fixture(scope="module")
def peers():
    """Fetched once, by tests/peers"""
    d = vm.BUILD / "peers"
    got = subprocess.run(["sh", vm.TOP / "tests/peers", d], text=True,
                         timeout=300, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    if got.returncode and not os.environ.get("CI"):
        pytest.skip(f"tests/peers: {got.stdout}")
    assert got.returncode == 0, got.stdout
    return d


class Host:
    """The device, and a gateway that can be killed and started again"""

    def __init__(self, d, peers, dns):
        self.dir, self.dns = d, dns
        self.uds = d / "vm.vsock"
        self.gateways = []
        self.start()
        self.device = vm.Program(
            d / "device.log", peers / "vhost-device-vsock", "--vm",
            f"guest-cid=3,socket={d}/vhost.sock,uds-path={self.uds}")
        self.device.wait_for((d / "vhost.sock").exists)

    def start(self):
        self.gateways.append(vm.Gateway(
            self.dir, "--uds", self.uds, "--token-file", self.dir / "token",
            dns=self.dns))

    def kill(self):
        # Its packet process goes with it.  The guest hears of it by a reset
        # or by 15 s of silence: vhost-device-vsock 0.3.0 has done both
        self.gateways[-1].proc.kill()
        self.gateways[-1].proc.wait(5)

    def close(self):
        self.device.stop()
        return self.gateways[-1].stop()


@pytest.fixture(scope="module")
def guest(room, servers, peers):
    d = room("hybrid")
    host = Host(d, peers, servers.dns.server_address[1])
    (d / "env").write_text(host.gateways[0].env())
    g = vm.Guest(
        d, "--vhost-user", d / "vhost.sock", "--env-file", d / "env",
        "--overlay", vm.overlay(d, vm.script_files(
            d, "hybrid", servers.variables())), timeout=120,
        on={"gateway_kill": host.kill, "gateway_start": host.start})
    g.logs = lambda: "\n".join([g.log(), "--- gateway", host.gateways[0].text,
                                "--- device", host.device.text])
    try:
        g.exit = g.wait()
        g.host = host
        yield g
    finally:
        g.end()
        host.close()


def test_ends(guest):
    assert guest.exit == 0, guest.log()
    assert guest.step("status").keys()["OFFLOADS"].startswith("csum,tso4")


@pytest.mark.parametrize("step", ["ping4", "ping6"])
def test_ping(guest, step):
    assert " 0% packet loss" in guest.step(step).ok().text


def test_dns(guest):
    assert "192.0.2.10" in guest.step("dns4").ok().text


def test_traffic(guest):
    assert guest.step("web4").ok().text == "hello from 127.0.0.1"
    assert guest.step("web6").ok().text == "hello from ::1"
    guest.step("udp4").ok()
    want = vm.blob_sum(16)
    assert guest.step("down4").ok().text.split()[0] == want
    assert guest.step("up4").ok().text.split() == [want, str(16 * vm.MIB)]
    for step in ("down4", "up4"):
        vm.measure(f"{step} through vhost-device-vsock, 16 MiB",
                   f"{guest.step(step).ms} ms")


def test_gateway_restarted(guest):
    """With its token the sandbox is let in again, and keeps its addresses"""
    guest.step("down").ok()
    assert guest.step("gone").status != 0
    guest.step("back").ok()
    vm.measure("reconnected after the gateway's restart in",
               f"{guest.step('back').ms} ms")
    assert guest.step("back_addresses").text == guest.step("addresses").text
    assert " 0% packet loss" in guest.step("back_ping").ok().text
    assert guest.step("back_web4").ok().text == "hello from 127.0.0.1"
    assert guest.step("back_web6").ok().text == "hello from ::1"
    assert "192.0.2.10" in guest.step("back_dns").ok().text
    # It was the same agent all the while
    assert (guest.step("back_status").keys()["PID"] ==
            guest.step("status").keys()["PID"])
    assert "agent: ended" not in guest.log()
    token = guest.host.dir / "token"
    assert token.stat().st_mode & 0o777 == 0o600
