"""The AF_VSOCK listener: gateway and agent in two namespaces of one guest."""
import re
import subprocess

import pytest

import vm


@pytest.fixture(scope="module")
def guest(room):
    d = room("loopback")
    env = dict(x.split("=", 1) for x in subprocess.run(
        [vm.GATEWAY, "env", "--ipv4", "on", "--ipv6", "on"], check=True,
        stdout=subprocess.PIPE, text=True).stdout.splitlines())
    files = vm.script_files(d, "loopback", {
        "GW4": vm.GW4, "GW6": vm.GW6, "INNER_NET": env["MSB_NET"],
        "INNER_NET4": env["MSB_NET_IPV4"], "INNER_NET6": env["MSB_NET_IPV6"]})
    files.update(vm.dynamic(vm.GATEWAY, "usr/bin/msb-gateway"))
    g = vm.Guest(d, "--no-net", "--overlay", vm.overlay(d, files), "--mem",
                 "320", timeout=120)
    try:
        g.exit = g.wait()
        yield g
    finally:
        g.end()


def test_ends(guest):
    assert guest.exit == 0, guest.log()
    assert "vsock_loopback" in guest.step("modules").ok().text


def test_apart(guest):
    """The TAP is where the agent is, and nowhere else"""
    inner = guest.step("addr").ok().text
    assert vm.GUEST4 in inner and vm.GUEST6 in inner
    assert vm.GUEST4 not in guest.step("outer").ok().text
    status = guest.step("status").ok().keys()
    assert status["LINK"] == "vsock:1:1024"
    assert status["OFFLOADS"].startswith("csum,tso4")


@pytest.mark.parametrize("step", ["ping4", "ping6"])
def test_ping(guest, step):
    assert " 0% packet loss" in guest.step(step).ok().text, guest.log()


@pytest.mark.parametrize("step", ["web4", "web6"])
def test_tcp(guest, step):
    guest.step("httpd").ok()
    assert guest.step(step).ok().text == "hello from the outer namespace"


def test_bulk(guest):
    want = guest.step("want").ok().text.split()[0]
    assert guest.step("blob").ok().text.split()[0] == want


def test_denied(guest):
    assert guest.step("denied").status == 7
    assert guest.step("denied").ms < 2000


def test_wrong_cid(guest):
    """Who is not the guest is refused, and that is counted"""
    assert guest.step("wrong_status").ok().keys()["LINK_STATE"] != "up"
    assert guest.step("wrong_ping").status != 0
    log = guest.step("wrong_log").ok().text
    assert "link up" not in log
    assert re.search(r"drop_link_cid: [1-9]", log), log
