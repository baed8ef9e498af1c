"""A root that lacks what a guest needs."""
import pytest

import vm
from test_mounts import ROOT_ENDS, boot, ext4, in_mounts, tree


@pytest.fixture(scope="module")
def guest(room):
    d = room("bare")
    root = tree(d, "bare", {"GW4": vm.GW4, "GW6": vm.GW6, "ALIAS": vm.ALIAS})
    for name in ("dev", "proc", "sys", "run", "tmp"):
        (root / name).rmdir()
    g, g.exit = boot(d, "--image", ext4(d / "root.img", root, 64), "--append",
                     "ro")
    return g


def test_no_mount_points(guest):
    """Read-only, and no /proc in the image: they are made above it"""
    assert guest.exit == 0, guest.log()
    m = in_mounts(guest.step("mounts"))
    assert m["/"][1] == "overlay" and "ro" in m["/"][2]
    for path, kind in (("/proc", "proc"), ("/sys", "sysfs"),
                       ("/dev", "devtmpfs"), ("/run", "tmpfs")):
        assert m[path][1] == kind
    assert guest.step("tmp").ok().text == "x"
    step = guest.step("write")
    assert step.status != 0 and "Read-only file system" in step.text
    assert ROOT_ENDS not in guest.log()
    assert "msb-init: error" not in guest.log()


def test_network_all_the_same(guest):
    assert guest.step("status").ok().keys()["STATE"] == "ready"
    for step in ("ping4", "ping6"):
        assert " 0% packet loss" in guest.step(step).ok().text
    assert vm.GW4 in guest.step("dns_alias").ok().text
