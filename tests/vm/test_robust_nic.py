"""A virtio-net NIC that comes late, and that goes and returns."""
import pytest

import vm

# In place of msb-init, which it becomes
INIT = """#!/bin/sh
late()
{
	until grep -qs -e '-pid[1]' /proc/[0-9]*/cmdline; do usleep 5000; done
	usleep 300000
	insmod %s
}
mount -t devtmpfs none /dev
late &
exec /sbin/msb-init
"""


@pytest.fixture(scope="module")
def guest(room, servers):
    d = room("nic")
    gateway = vm.Gateway(d, "--unix", d / "net.sock", args=["--mtu", "1400"])
    variables = [x for x in gateway.env().split()
                 if not x.startswith(("MSB_LINK=", "MSB_END="))]
    modules = (vm.BUILD / "kernel/modules").read_text().splitlines()
    driver, = [x for x in modules if x.endswith("/virtio_net.ko")]
    modules.remove(driver)
    files = vm.script_files(d, "nic", servers.variables())
    (d / "init").write_text(INIT % driver)
    files["init"] = d / "init"
    files["etc/msb/modules"] = "\n".join(modules) + "\n"
    g = vm.Guest(
        d, "--no-net", "--overlay", vm.overlay(d, files), "--append",
        " ".join(variables + ["MSB_LINK=nic", "MSB_END=1"]), "--qemu-args",
        f"-netdev stream,id=n,server=off,addr.type=unix,addr.path={d}/net.sock"
        " -device virtio-net-device,netdev=n,mac=02:6d:73:00:00:02")
    g.logs = lambda: g.log() + "\n--- gateway\n" + gateway.text
    try:
        g.exit = g.wait()
        yield g
    finally:
        g.end()
        gateway.stop()


def test_late(guest):
    """Its driver was loaded 300 ms after the agent"""
    guest.step("come").ok()
    s = guest.step("status").ok().keys()
    assert s["STATE"] == "ready" and s["LINK"] == "nic"
    assert int(s["T_ETH0"]) - int(s["T_START"]) > 250e6
    vm.measure("a NIC 300 ms late: agent start to eth0 ready",
               f"{(int(s['T_ETH0']) - int(s['T_START'])) / 1e6:.0f} ms")
    assert " 0% packet loss" in guest.step("ping").ok().text


@pytest.mark.parametrize("n", [1, 2])
def test_goes_and_returns(guest, n):
    """The driver is unbound and bound: another interface, set up the same"""
    for step in ("unbind", "gone", "bind", "back"):
        guest.step(f"{step}{n}").ok()
    words = guest.step(f"words{n}")
    assert words.status == 1 and "eth0 is gone" in words.text
    assert (guest.step(f"addresses{n}").ok().text ==
            guest.step("addresses").ok().text)
    assert guest.step(f"mtu{n}").ok().text == "1400"
    assert " 0% packet loss" in guest.step(f"ping{n}").ok().text
    assert guest.step(f"web{n}").ok().text == "hello from 127.0.0.1"
    assert guest.log().count("eth0 is back, and configured again") == 2


def test_ends(guest):
    assert guest.exit == 0, guest.log()
    assert "agent: ended" not in guest.log()
    s = guest.step("status_end").ok().keys()
    assert s["PID"] == guest.step("status").keys()["PID"]
    assert "ERROR1" not in s
