"""Guests with other inits: PID 1 becomes one, or one starts the agent.

Disks are made of Debian's packages by rootfs/debian; nothing in them knows of
msb-init but what bake or a user would put there.
"""
import base64
import json
import pathlib
import re
import shutil
import subprocess

import pytest

import vm

COMPANION = vm.TOP / "rootfs/companion"
UNIT = """[Unit]
Description=Test
IgnoreOnIsolate=yes
[Service]
ExecStart=/bin/sh /etc/msb/test.sh
StandardOutput=file:/dev/console
StandardError=inherit
"""
WANTS = "[Unit]\nWants=msb-test.service\n"
# Whoever wants every interface
GREEDY = "[Match]\nName=*\nType=ether\n[Network]\nDHCP=yes\n"
# The last thing that runs before the machine is off
LAST = """#!/bin/sh
# The root may be read-only by now
. /etc/msb/lib.sh
exec >/dev/console 2>&1
busybox ping -c 2 -W 3 "$GW4" | sed 's/^/@last|/'
tr '\\0' ' ' <"/proc/$(status PID)/cmdline" | sed 's/^/@last|/'
echo; echo '@last=0 0'
"""
# Its prompt would stand before our lines
NO_GETTY = {"etc/systemd/system/serial-getty@ttyS0.service": ("/dev/null",)}
# What every disk with systemd has from the test
TESTED = {
    "etc/systemd/system/msb-test.service": UNIT,
    "etc/systemd/system/multi-user.target.d/msb-test.conf": WANTS,
    "etc/systemd/network/80-all.network": GREEDY,
    **NO_GETTY,
    "usr/lib/systemd/system-shutdown/msb-test": LAST,
}
# Its shell would hang up the console, and us with it
RESCUE = """[Service]
ExecStart=
ExecStart=/bin/sleep infinity
StandardInput=null
StandardOutput=null
TTYVHangup=no
TTYReset=no
"""
# The harness ends guests in which nobody but the kernel has spoken
HELLO = """#!/bin/sh
echo "systemd: hello" >/dev/console
"""
# As Alpine has it, and what it does not have
INITTAB = """::sysinit:/sbin/openrc sysinit
::sysinit:/sbin/openrc boot
::wait:/sbin/openrc default
::shutdown:/sbin/openrc shutdown
"""
SERVICE = """#!/sbin/openrc-run
depend()
{
	after net
}
start()
{
	/bin/sh /etc/msb/test.sh >/dev/console 2>&1 </dev/null &
}
stop()
{
	/bin/sh /etc/msb/last.sh
}
"""
MUSL = """#include <stdio.h>
int main(void)
{
	puts("dynamic musl");
	return 0;
}
"""


def encode(value):
    return base64.urlsafe_b64encode(
        json.dumps(value).encode()).decode().rstrip("=")


def disk(d, kind, script, variables, files, bake=None):
    """A disk of this kind with a script as /etc/msb/test.sh"""
    tree = d / "over"
    files = {"etc/msb/lib.sh": vm.HERE / "guest/lib.sh",
             "etc/msb/test.sh": vm.HERE / f"guest/{script}.sh",
             "etc/msb/variables": "".join(
                 f"{k}={v}\n" for k, v in variables.items()), **files}
    for name, what in files.items():
        to = tree / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, tuple):
            to.symlink_to(what[0])
            continue
        if isinstance(what, pathlib.Path):
            shutil.copy(what, to)
        else:
            to.write_text(what)
        to.chmod(0o644 if to.suffix else 0o755)
    if bake:
        subprocess.run(["sh", vm.TOP / "rootfs/bake", *bake, "--msb-init",
                        vm.INIT, tree], check=True, timeout=30)
    out = d / f"{kind}.ext4"
    subprocess.run(["sh", vm.TOP / "rootfs/debian", "-b", vm.BUILD, "-t", tree,
                    kind, out], check=True, timeout=300)
    return out


def boot(d, image, *append, mem=384, overlay=None):
    g = vm.Guest(d, *(["--image", image] if image else []),
                 *(["--overlay", overlay] if overlay else []), "--mem", mem,
                 "--append", " ".join(append), timeout=150)
    try:
        g.exit = g.wait()
    finally:
        g.end()
    return g


@pytest.fixture(scope="module")
def systemd(room, servers):
    d = room("systemd")
    image = disk(d, "systemd", "systemd", servers.variables(), {
        **TESTED,
        "etc/systemd/system/rescue.service.d/test.conf": RESCUE,
        "etc/msb/ca.pem": servers.ca.pem,
    })
    g = boot(d, image, "MSB_HANDOFF_INIT=auto",
             "MSB_HANDOFF_INIT_ENV=" + encode([["MSB_TEST", "a b"]]))
    image.unlink()
    return g


@pytest.fixture(scope="module")
def companion(room, servers):
    d = room("companion")
    image = disk(d, "systemd", "companion", servers.variables(), {
        **TESTED,
        "etc/systemd/system-generators/hello": HELLO,
    }, bake=["--companion", "systemd"])
    g = boot(d, image, "init=/lib/systemd/systemd")
    image.unlink()
    return g


@pytest.fixture(scope="module")
def busybox(room, servers):
    """Its init, with a table of its own, in the initramfs"""
    d = room("busybox")
    over = vm.overlay(d, {
        **vm.script_files(d, "other", servers.variables()),
        "etc/msb/last.sh": LAST,
        "etc/inittab": "::once:/etc/msb/workload >/dev/console 2>&1\n"
                       "::shutdown:/bin/sh /etc/msb/last.sh\n",
        "sbin/init.orig": pathlib.Path(shutil.which("busybox")),
    })
    return boot(d, None, "MSB_HANDOFF_INIT=auto",
                "MSB_HANDOFF_INIT_CWD=/root",
                "MSB_HANDOFF_INIT_ENV=" + encode([["MSB_TEST", "a b"]]),
                mem=256, overlay=over)


@pytest.fixture(scope="module", params=["busybox", "openrc"])
def openrc(request, room, servers):
    """busybox init runs OpenRC, as in Alpine; and OpenRC's own init"""
    d = room("openrc")
    (d / "musl.c").write_text(MUSL)
    subprocess.run(["musl-gcc", "-o", d / "musl", d / "musl.c"], check=True,
                   timeout=60)
    image = disk(d, "openrc", "other", servers.variables(), {
        "etc/inittab": INITTAB,
        "etc/init.d/msb-test": SERVICE,
        "etc/runlevels/default/msb-test": ("/etc/init.d/msb-test",),
        "etc/msb/last.sh": LAST,
        "usr/bin/musl": d / "musl",
    })
    g = boot(d, image, "MSB_HANDOFF_INIT=" + {
        "busybox": "auto", "openrc": "/sbin/openrc-init"}[request.param],
        mem=256)
    g.kind = request.param
    image.unlink()
    return g


@pytest.fixture(scope="module")
def openrc_service(room, servers):
    d = room("openrc_service")
    image = disk(d, "openrc", "openrc_service", servers.variables(), {
        "etc/inittab": INITTAB,
        "etc/init.d/msb-test": SERVICE,
        "etc/runlevels/default/msb-test": ("/etc/init.d/msb-test",),
        "etc/msb/last.sh": "exit 0\n",
    }, bake=["--companion", "openrc"])
    g = boot(d, image, "init=/sbin/init", mem=256)
    image.unlink()
    return g


def net(g, name, everything=True):
    """The network is as the agent made it"""
    addr = g.step(f"{name}_addr" if name else "addr").ok().text
    for want in (f"{vm.GUEST4}/30", f"{vm.GUEST6}/64",
                 f"default via {vm.GW4}", f"default via {vm.GW6}"):
        assert want in addr, addr
    assert g.step(f"{name}_web" if name else "web").ok().text == \
        "hello from 127.0.0.1"
    if not everything:
        return
    for family in (4, 6):
        assert " 0% packet loss" in g.step(f"{name}_ping{family}").ok().text
    assert vm.GW4 in g.step(f"{name}_dns").ok().text
    assert g.step(f"{name}_resolv").ok().text == \
        f"nameserver {vm.GW4}\nnameserver {vm.GW6}"


def agent(g, step, group):
    """Two processes: one works, and one starts it again"""
    lines = [re.fullmatch(r"(.*?) *\| +(\d+) (-?\d+)", x)
             for x in g.step(step).ok().lines if "|" in x]
    assert [m[1] for m in lines] == \
        ["@msb-init agent --pid1 --handoff"] * 2, g.step(step).text
    assert lines[1][2] == "1" and {m[3] for m in lines} == {"-1000"}
    assert g.step(step).lines.count(f"0::{group}") == 2


def last(g, name):
    """The agent was there when everything else was gone"""
    text = g.step("last").text
    assert " 0% packet loss" in text and name in text, g.log()


# --- systemd, by hand-off ----------------------------------------------------

def test_systemd_runs(systemd):
    assert systemd.step("pid1").ok().text == "/usr/lib/systemd/systemd"
    assert systemd.step("running").ok().text == "running"
    assert systemd.step("failed").ok().text == ""


def test_systemd_inherits(systemd):
    """Its own score and variables; its services know the CA"""
    assert systemd.step("oom").ok().text == "0"
    environ = systemd.step("environ").ok().keys()
    assert environ["MSB_TEST"] == "a b"
    assert not [k for k in environ if k.startswith("MSB_HANDOFF")]
    manager = systemd.step("manager").ok().keys()
    assert manager["SSL_CERT_FILE"] == environ["SSL_CERT_FILE"]


def test_systemd_agent(systemd):
    agent(systemd, "agent", "/init.scope")
    assert systemd.step("killed").ok().text == "hello from 127.0.0.1"


def test_systemd_networkd(systemd):
    """It leaves alone what is ours, and waits for nothing"""
    net(systemd, "first")
    assert re.search(r"eth0 .* unmanaged", systemd.step("link").ok().text)
    assert systemd.step("online").ok().ms < 5000
    systemd.step("restart").ok()
    net(systemd, "networkd")


def test_systemd_managers(systemd):
    systemd.step("nm").ok()
    assert "eth0:unmanaged" in systemd.step("nm_device").ok().lines
    assert "eth0: interface has an invalid configuration" in \
        systemd.step("dhcpcd").lines
    net(systemd, "managers")


def test_systemd_rescue(systemd):
    systemd.step("isolate").ok()
    systemd.step("rescued").ok()
    net(systemd, "rescue")
    agent(systemd, "agent_end", "/init.scope")


def test_systemd_end(systemd):
    last(systemd, "@msb-init agent --pid1 --handoff")
    assert "reboot: Power down" in systemd.log()


# --- the agent as a service of systemd ---------------------------------------

def test_companion_unit(companion):
    unit = companion.step("unit").ok().keys()
    assert unit["Type"] == "notify" and unit["ActiveState"] == "active"
    assert unit["StatusText"] == "network ready, link up"
    assert companion.step("running").ok().text == "running"
    assert companion.step("failed").ok().text == ""


def test_companion_network(companion):
    assert " 0% packet loss" in companion.step("ping4").ok().text
    assert companion.step("web").ok().text == "hello from 127.0.0.1"
    companion.step("networkd").ok()
    net(companion, "", False)
    assert companion.step("web_networkd").ok().text == "hello from 127.0.0.1"


def test_companion_again(companion):
    """The gateway knows it by the token that systemd kept"""
    for step in ("killed", "restarted"):
        assert companion.step(step).ok().text == "hello from 127.0.0.1"
    assert companion.step("unit_end").ok().keys()["ActiveState"] == "active"


def test_companion_end(companion):
    last(companion, "@msb-init agent")
    assert "reboot: Power down" in companion.log()


# --- busybox and OpenRC ------------------------------------------------------

def other(g):
    assert g.step("oom").ok().text == "0"
    boot_times = g.step("boot").ok().keys()
    assert "HANDOFF" in boot_times and "WORKLOAD" not in boot_times
    net(g, "", False)
    assert " 0% packet loss" in g.step("ping6").ok().text
    for step in ("termed", "killed"):
        assert g.step(step).ok().text == "hello from 127.0.0.1"
    last(g, "@msb-init agent --pid1 --handoff")
    assert "reboot: Power down" in g.log()


def test_busybox(busybox):
    """msb-init is /sbin/init there; "auto" finds what was put aside"""
    assert busybox.step("pid1").ok().text == "init.orig"
    assert busybox.step("argv").ok().text.split() == ["init"]
    assert busybox.step("environ").ok().keys()["MSB_TEST"] == "a b"
    other(busybox)


def test_openrc(openrc):
    assert openrc.step("pid1").ok().text == {
        "busybox": "init", "openrc": "openrc-init"}[openrc.kind]
    assert openrc.step("rc").ok().text == "default"
    assert "msb-test" in openrc.step("started").ok().lines
    assert openrc.step("musl").ok().text == "dynamic musl"
    other(openrc)


def test_openrc_service(openrc_service):
    g = openrc_service
    assert "started" in g.step("service").ok().text
    assert g.step("agent").ok().text.rstrip() == "/sbin/msb-init agent --keep"
    net(g, "", False)
    assert g.step("killed").ok().text == "hello from 127.0.0.1"
    g.step("stopped").ok()
    assert "reboot: Power down" in g.log()


# --- baking a companion ------------------------------------------------------

@pytest.mark.parametrize("init, files", [
    ("systemd", ["etc/systemd/system/msb-agent.service",
                 "etc/systemd/system/sysinit.target.wants/msb-agent.service"]),
    ("openrc", ["etc/init.d/msb-agent", "etc/runlevels/boot/msb-agent"]),
    ("s6", ["etc/s6/sv/msb-agent/run", "etc/s6/sv/msb-agent/notification-fd"]),
])
def test_bake_companion(tmp, init, files):
    """Installed, the same a second time, and gone again"""
    root = tmp / "root"
    (root / "etc").mkdir(parents=True)

    def bake(*args):
        subprocess.run(["sh", vm.TOP / "rootfs/bake", *args, root],
                       check=True, timeout=30, stdout=subprocess.DEVNULL)

    def made():
        return sorted(str(p.relative_to(root)) for p in root.rglob("*")
                      if p.is_symlink() or p.is_file())

    bake("--companion", init, "--msb-init", vm.INIT)
    once = made()
    assert set(files) < set(once) and "sbin/msb-init" in once
    for name in files:
        if (root / name).is_symlink():
            assert (root / (root / name).readlink().relative_to("/")).exists()
    bake("--companion", init, "--msb-init", vm.INIT)
    assert made() == once
    bake("--undo")
    assert made() == []
