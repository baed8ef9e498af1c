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


def test_parts(boot):
    """What is missing from the kernel's line is not silent"""
    g = boot(f"{NET} {NET4[:30]}")
    status = g.step("status").ok().keys()
    assert status["STATE"] == "failed"
    assert "MSB_NET_IPV4: " in status["ERROR1"]
    g = boot(NET)
    assert "was the command line cut off?" in g.log()


# The kernel takes 2047 bytes.  What is beyond that is cut off by whoever loads
# it; QEMU lets all of it pass, and then the kernel does not boot
LONG = """#!/usr/bin/python3
import os, sys
args = ["qemu-system-" + os.uname().machine, *sys.argv[1:]]
at = args.index("-append") + 1
end = args[at].index(os.environ["CUT_AT"]) + len(os.environ["CUT_AT"])
args[at] = "x=" + (2047 - 3 - end) * "y" + " " + args[at][:end]
os.execvp(args[0], args)
"""


def long_line(d, cut_at):
    (d / "qemu").write_text(LONG)
    (d / "qemu").chmod(0o755)
    return {"QEMU": str(d / "qemu"), "CUT_AT": cut_at}


def test_cut_in_the_network(tmp):
    """An MTU of 150 would do, but it was 1500: nothing is set up"""
    archive = vm.overlay(tmp, vm.script_files(tmp, "bad_net", {}))
    g = vm.Guest(tmp, "--no-net", "--overlay", archive, "--append",
                 f"{NET4} {NET} {END}", env=long_line(tmp, "mtu=150"))
    try:
        assert g.wait() == 0, g.log()
    finally:
        g.end()
    status = g.step("status").ok().keys()
    assert status["STATE"] == "failed"
    assert status["ERROR1"].startswith("MSB_NET: the kernel's command line is "
                                       "full (2047 bytes)")
    assert status["ERROR1"] in g.log()
    assert g.step("links").lines == ["lo"]
    g.step("ping_lo").ok()


def test_cut_in_the_user(tmp):
    """Nobody runs as user 10 because 1000 did not fit, or as root"""
    g = vm.Guest(tmp, "--no-net", "--append", "MSB_USER=1000", cmd=["id"],
                 env=long_line(tmp, "MSB_USER=10"))
    try:
        assert g.wait() == 126, g.log()
    finally:
        g.end()
    assert "cut off in MSB_USER: the workload will not be started" in g.log()
    assert not [x for x in g.out if "uid=" in x], g.out
