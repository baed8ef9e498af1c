"""msb-init agent: interfaces that come late, go away and return."""

import os
import re
import subprocess
import threading
import time

import pytest

from agentlab import (
    AGENT, MAC, NET, expect_arp_reply, guest, peer, state,
    until)  # noqa: F401

NIC = {**NET, "MSB_LINK": "nic"}


def veth(guest, name="eth0", mac=MAC):
    guest.sh(f"ip link add {name} address {mac} type veth peer name gw0; "
             "ip link set gw0 up")


def says(guest, *lines):
    """Wait until the status file has all of the lines."""
    until(lambda: set(lines) <=
          set(guest.read("/run/msb/status").splitlines()))


def shape(guest):
    """As state(), whatever index the interface and its peer have"""
    return re.sub(r"(?m)^\d+: |@\w+", "", state(guest))


def status(guest):
    p = subprocess.run(guest.cmd(AGENT, "status"), text=True,
                       stdout=subprocess.PIPE)
    return p.returncode, p.stdout


@pytest.mark.parametrize("mac", [MAC, "02:00:00:00:00:99"])
def test_nic_goes_and_returns(guest, mac):
    """Found by its MAC, or by its name if it has its template's"""
    veth(guest, mac=mac)
    agent = guest.agent(env=NIC)
    agent.up()
    before = shape(guest)
    for n in range(1, 3):
        guest.sh("ip link del eth0")
        says(guest, "IFACE_STATE=gone", "STATE=failed", "ERROR1=eth0 is gone")
        code, text = status(guest)
        assert code == 1 and "eth0 is gone" in text
        veth(guest, mac=mac)
        says(guest, "IFACE_STATE=up", "STATE=ready")
        assert "ERROR" not in guest.read("/run/msb/status")
        until(lambda: shape(guest) == before)
        assert agent.log.count("eth0 is back, and configured again") == n
    assert status(guest)[0] == 0
    assert agent.proc.poll() is None


def test_nic_returns_at_once(guest):
    """Between two looks of the agent there may be another one already"""
    veth(guest)
    agent = guest.agent(env=NIC)
    agent.up()
    os.kill(agent.proc.pid, 19)
    guest.sh("ip link del eth0")
    veth(guest)
    os.kill(agent.proc.pid, 18)
    until(lambda: "100.96.0.6/30" in guest.run("ip", "addr", "show", "eth0"))
    says(guest, "IFACE_STATE=up", "STATE=ready")
    assert "default via fd42:6d73:62:1::1" in guest.run("ip", "-6", "route")
    assert " mtu 1400 " in guest.run("ip", "link", "show", "eth0")


@pytest.mark.parametrize("quick", [False, True])
def test_down_and_up(guest, peer, quick):
    """What the kernel drops with that comes back; down stays down"""
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    before = state(guest)
    if quick:
        guest.sh("ip link set eth0 down; ip link set eth0 up")
    else:
        guest.sh("ip link set eth0 down")
        says(guest, "IFACE_STATE=down", "STATE=failed")
        time.sleep(0.3)
        assert ",UP" not in guest.run("ip", "link", "show", "eth0")
        guest.sh("ip link set eth0 up")
    until(lambda: state(guest) == before)
    says(guest, "IFACE_STATE=up", "STATE=ready")
    expect_arp_reply(peer)
    assert "gateway is gone" not in agent.log


def test_carrier(guest):
    veth(guest)
    agent = guest.agent(env=NIC)
    agent.up()
    before = state(guest)
    guest.sh("ip link set gw0 down")
    says(guest, "IFACE_STATE=no carrier", "STATE=failed",
         "ERROR1=eth0 has no carrier")
    guest.sh("ip link set gw0 up")
    says(guest, "IFACE_STATE=up", "STATE=ready")
    until(lambda: state(guest) == before)


def test_others_change_is_left_alone(guest):
    """An MTU or an address that somebody else set is not ours to undo"""
    veth(guest)
    agent = guest.agent(env=NIC)
    agent.up()
    guest.sh("ip link set eth0 mtu 1300; ip addr add 10.9.9.9/32 dev eth0; "
             "ip link add other type veth peer name other2; ip link set other up; "
             "ip link del other")
    time.sleep(0.3)
    assert " mtu 1300 " in guest.run("ip", "link", "show", "eth0")
    assert "10.9.9.9/32" in guest.run("ip", "addr", "show", "eth0")
    assert "configured again" not in agent.log


@pytest.mark.parametrize("after_s", [0.3, 1.0])
def test_nic_comes_late(guest, after_s):
    """300 ms are waited for; after 500 ms the boot goes on without it"""
    later = threading.Timer(after_s, veth, (guest,))
    later.start()
    agent = guest.agent(env=NIC)
    if after_s > 0.5:
        assert "no NIC" in agent.hear("FAILED")["FAILED"]
    said = agent.hear("READY")
    later.join()
    assert said["READY"] == "1" and said["IFACE"] == "eth0"
    says(guest, "IFACE_STATE=up", "STATE=ready", "IPV4=100.96.0.6/30")
    assert "ERROR" not in guest.read("/run/msb/status")
    assert "default via 100.96.0.5" in guest.run("ip", "route")
    assert status(guest)[0] == 0
