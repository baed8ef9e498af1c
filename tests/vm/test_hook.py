"""msb-init net in a hook of an initramfs, before there is any PID 1 of ours."""
import vm
from vm import GUEST4, GUEST6, GW4

WORK = (f". /etc/msb/lib.sh; until_ok 10 link_up; step status msb-init status; "
        f"step ping pinged {GW4}; step addr addresses; exit 9")


def test_hook(tmp):
    files = {"init": vm.HERE / "guest/hook.sh",
             "etc/msb/lib.sh": vm.HERE / "guest/lib.sh"}
    g = vm.Guest(tmp, "--overlay", vm.overlay(tmp, files),
                 cmd=["sh", "-c", WORK])
    try:
        assert g.wait() == 9, g.log()
    finally:
        g.end()
    plan = g.steps["plan"].text
    assert f"netlink RTM_NEWADDR {GUEST4}/30 dev eth0" in plan, g.log()
    assert "ioctl TUNSETIFF eth0" in plan and "connect" not in plan
    assert g.step("net").status == 0, g.log()
    for addr in (f"inet {GUEST4}/30", f"inet6 {GUEST6}/64"):
        assert addr in g.steps["early"].text
    assert "as asked        yes" in g.steps["seen"].lines
    # The agent takes over what is there
    assert "as asked        yes" in g.step("status").ok().lines
    assert " 0% packet loss" in g.step("ping").ok().text
