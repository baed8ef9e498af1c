"""What goes wrong around a guest, and what PID 1 and the agent make of it."""
import pytest

import vm


# --- the vsock device and the gateway ----------------------------------------

@pytest.fixture(scope="module")
def guest(room, servers):
    """One boot of guest/robust.sh"""
    d = room("robust")
    gateway = vm.Gateway(d, "--vhost-user", d / "vhost.sock")
    (d / "env").write_text(gateway.env())

    def kill():
        gateway.proc.kill()
        gateway.proc.wait(5)
    g = vm.Guest(
        d, "--vhost-user", d / "vhost.sock", "--env-file", d / "env",
        "--overlay", vm.overlay(d, vm.script_files(d, "robust",
                                                   servers.variables())),
        timeout=150, on={"gateway_kill": kill})
    g.logs = lambda: g.log() + "\n--- gateway\n" + gateway.text
    try:
        g.exit = g.wait()
        g.gateway_log = gateway.text
        yield g
    finally:
        g.end()
        gateway.stop()


@pytest.mark.parametrize("n", [1, 2])
def test_vsock_reset(guest, n):
    """The driver is unbound and bound: a reset of the transport"""
    guest.step(f"unbind{n}").ok()
    guest.step(f"lost{n}").ok()
    s = guest.step(f"lost_status{n}").ok().keys()
    assert s["LINK_STATE"] == "down" and s["IFACE_STATE"] == "up"
    assert "no vsock device" in s["LINK_ERROR"]
    guest.step(f"bind{n}").ok()
    guest.step(f"back{n}").ok()
    assert " 0% packet loss" in guest.step(f"back_ping{n}").ok().text
    assert guest.step(f"back_web{n}").ok().text == "hello from ::1"


def test_vsock_reset_keeps(guest):
    """The agent, its addresses and the gateway are what they were"""
    before, after = guest.step("status").keys(), guest.step("back_status")
    assert after.ok().keys()["PID"] == before["PID"]
    assert after.keys()["LINK_ERROR"] == ""
    assert (guest.step("back_addresses").ok().text ==
            guest.step("addresses").ok().text)
    assert guest.gateway_log.count("link up: native") == 3
    assert "packet process ended" not in guest.gateway_log


def test_orphans(guest):
    """10 000 of them are reaped as they come, in bounded memory"""
    took = guest.step("orphans").ok().ms
    vm.measure("10 000 orphans, 100 at a time", f"{took} ms")
    assert took < 60000
    guest.step("zombies").ok()
    before = list(map(int, guest.step("rss").ok().lines))
    after = list(map(int, guest.step("rss_after").ok().lines))
    vm.measure("resident, PID 1 and agent", f"{after[0]}, {after[1]} KiB")
    assert all(b <= a + 64 for a, b in zip(before, after))
    assert " 0% packet loss" in guest.step("orphans_ping").ok().text


def test_gateway_gone_for_good(guest):
    """QEMU does not reconnect: noticed within 15 s, told, and that is all"""
    step = guest.step("noticed").ok()
    vm.measure("a dead vhost-user device noticed after", f"{step.ms} ms")
    assert step.ms < 17000      # 15 s, and a tick of keepalive
    s = guest.step("gone_status").ok().keys()
    assert s["LINK_STATE"] == "down" and s["STATE"] == "ready"
    assert s["PID"] == guest.step("status").keys()["PID"]
    assert "timed out" in s["LINK_ERROR"]
    words = guest.step("gone_words").text
    assert "link state      down" in words and s["LINK_ERROR"] in words
    assert "the gateway is gone" in guest.log()
    assert (guest.step("gone_addresses").ok().text ==
            guest.step("addresses").ok().text)
    guest.step("gone_lo").ok()
    # 5 s of trying again: next to nothing of a processor
    before = list(map(int, guest.step("ticks").ok().lines))
    after = list(map(int, guest.step("ticks_after").ok().lines))
    assert all(b - a < 20 for a, b in zip(before, after))


def test_ends(guest):
    assert guest.exit == 7, guest.log()
    assert guest.step("dmesg").lines == []
    assert "agent: ended" not in guest.log()
