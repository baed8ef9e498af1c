"""Variables that are wrong: the guest boots, and says what is wrong with it."""
import pytest

import vm

NET = "MSB_NET=iface=eth0,mac=02:6d:73:00:00:02,mtu=1500"
NET4 = "MSB_NET_IPV4=addr=100.96.0.2/30,gw=100.96.0.1,dns=100.96.0.1"
END = "MSB_END=1"

# variables; of the message: variable, offset, and a part of the reason
CASES = {
    "mac": (f"MSB_NET=iface=eth0,mac=02:6d:73:00:00,mtu=1500 {NET4} {END}",
            "MSB_NET", 15, "02:6d:73:00:00"),
    "mtu": (f"MSB_NET=iface=eth0,mac=02:6d:73:00:00:02,mtu=70000 {NET4} {END}",
            "MSB_NET", 37, "70000"),
    "unknown key": (f"{NET} {NET4},color=red {END}", "MSB_NET_IPV4", 48,
                    "color"),
    "trailing comma": (f"{NET} MSB_NET_IPV6=addr=fd42:6d73:62::2/64,"
                       f"gw=fd42:6d73:62::1, {END}", "MSB_NET_IPV6", 43, ""),
}


@pytest.fixture(scope="module")
def boot(room):
    d = room("bad")
    archive = vm.overlay(d, vm.script_files(d, "bad_net", {}))
    guests = []

    def run(append):
        g = vm.Guest(room("bad"), "--no-net", "--overlay", archive,
                     "--append", append)
        guests.append(g)
        assert g.wait() == 0, g.log()
        g.step("ping_lo").ok()
        assert "127.0.0.1/8" in g.step("lo").ok().text
        assert "::1/128" in g.step("lo").text
        return g
    yield run
    for g in guests:
        g.end()


@pytest.mark.parametrize("name", CASES)
def test_refused(boot, name):
    append, var, offset, part = CASES[name]
    g = boot(append)
    status = g.step("status").ok().keys()
    assert status["STATE"] == "failed"
    assert g.step("words").status == 1
    reason = status["ERROR1"]
    assert reason.startswith(var + ": ") and part in reason
    assert reason.endswith(f" (at offset {offset})"), reason
    assert reason in g.log()
    assert g.step("links").lines == ["lo"]
    assert "the workload starts without it" in g.log()


def test_cut_off(boot):
    """The kernel's line has an end; what is missing there is not silent"""
    g = boot(f"{NET} {NET4[:30]}")
    status = g.step("status").ok().keys()
    assert status["STATE"] == "failed"
    assert "MSB_NET_IPV4: " in status["ERROR1"]
    g = boot(NET)
    assert "was the command line cut off?" in g.log()
