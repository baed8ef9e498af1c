"""Guests whose root is a disk: ours, and one that msb-init was baked into."""
import os
import pathlib
import shutil
import subprocess

import pytest

import vm


def boot(d, *args, **kw):
    g = vm.Guest(d, *args, **kw)
    try:
        return g, g.wait()
    finally:
        g.end()


def test_our_image(tmp, servers):
    """The words of the command line find their way through both roots"""
    url = f"http://{vm.GW4}:{servers.web4.server_address[1]}/"
    g, status = boot(tmp, "--image", vm.BUILD / "rootfs.ext4", cmd=[
        "sh", "-c", "ping -c 1 -W 3 fd42:6d73:62::1 && grep /dev/ /proc/mounts "
        f"&& curl -sS --max-time 10 {url} && exit 23"])
    assert status == 23, g.log()
    assert any(x.startswith(("/dev/vda / ext4 rw", "/dev/root / ext4 rw"))
               for x in g.out), g.log()
    assert "hello from 127.0.0.1" in g.out
    assert "left mounted" not in g.log()


def small_root(d):
    """busybox, its own init, and a little /etc: not ours in any way"""
    root = d / "root"
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "run", "tmp",
                 "usr/bin", "usr/sbin", "var", "root", "lib"):
        (root / name).mkdir(parents=True)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy(busybox, root / "bin/busybox")
    for applet in subprocess.run([busybox, "--list-full"], check=True,
                                 text=True, stdout=subprocess.PIPE
                                 ).stdout.split():
        to = root / applet
        if not to.exists() and applet != "linuxrc":
            to.parent.mkdir(parents=True, exist_ok=True)
            to.symlink_to("/bin/busybox")
    shutil.copy(vm.BUILD / "guest/curl", root / "usr/bin/curl")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return root


def bake(root, *args):
    return subprocess.run(
        ["sh", vm.TOP / "rootfs/bake", *args, "--msb-init", vm.INIT, root],
        check=True, timeout=30, text=True, stdout=subprocess.PIPE).stdout


def listing(root):
    """Everything in a tree: name, and target or size"""
    return sorted((str(p.relative_to(root)),
                   os.readlink(p) if p.is_symlink() else
                   p.stat().st_size if p.is_file() else "")
                  for p in root.rglob("*"))


@pytest.fixture(scope="module")
def baked(room, servers):
    d = room("baked")
    root = small_root(d)
    bake(root, "--init", "--modules", vm.BUILD / "kernel")
    once = listing(root)
    bake(root, "--init", "--modules", vm.BUILD / "kernel")
    assert listing(root) == once, "a second time is not the same"
    for name, what in vm.script_files(d, "image",
                                      servers.variables()).items():
        if isinstance(what, pathlib.Path):
            shutil.copy(what, root / name)
        else:
            (root / name).write_text(what)
        (root / name).chmod(0o755)
    image = d / "disk.ext4"
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-E",
                    "root_owner=0:0", "-d", root, image], check=True,
                   timeout=60, env={**os.environ, "PATH": path})
    g, g.exit = boot(d, "--image", image, "--append", "init=/sbin/init")
    return g


def test_baked_ends(baked):
    assert baked.exit == 0, baked.log()
    assert "left mounted" not in baked.log()
    assert baked.step("init").ok().text == "/sbin/msb-init"


def test_baked_root(baked):
    roots = [x.split()[2:4] for x in baked.step("mounts").ok().lines
             if x.split()[1] == "/"]
    assert roots[-1][0] == "ext4" and roots[-1][1].startswith("rw")
    assert baked.step("written").ok().text == "kept"


def test_baked_network(baked):
    assert baked.step("status").ok().keys()["STATE"] == "ready"
    for step in ("ping4", "ping6"):
        assert " 0% packet loss" in baked.step(step).ok().text
    assert vm.GW4 in baked.step("dns4").ok().text
    assert baked.step("web4").ok().text == "hello from 127.0.0.1"


def test_bake_undo(tmp):
    """What was the tree's own init is its own init again"""
    root = small_root(tmp)
    (root / "sbin/init").unlink(missing_ok=True)
    (root / "sbin/init").symlink_to("../bin/busybox")
    before = listing(root)
    bake(root, "--init")
    assert os.readlink(root / "sbin/init") == "msb-init"
    assert (root / "sbin/msb-init").read_bytes() == vm.INIT.read_bytes()
    bake(root, "--undo")
    after = [x for x in listing(root) if not x[0].startswith("etc/msb")]
    assert after == before


@pytest.mark.parametrize("path", [
    "sbin", "sbin/.msb-init.new", "sbin/msb-init", "sbin/init",
    "sbin/init.orig", "etc", "etc/msb", "etc/msb/modules", "etc/systemd",
    "etc/systemd/system/sysinit.target.wants", "lib", "lib/modules",
    "etc/init.d/msb-agent"])
@pytest.mark.parametrize("up", [True, False])
def test_bake_stays_inside(tmp, path, up):
    """Whatever links a tree has: nothing of the host's is touched"""
    host = tmp / "host"
    (host / "system").mkdir(parents=True)
    (host / "system/msb-agent.service").write_text("the host's")
    (host / "file").write_text("the host's")
    before = listing(host)
    root = tmp / "root"
    (root / "usr").mkdir(parents=True)
    link = root / path
    link.parent.mkdir(parents=True, exist_ok=True)
    target = host / "file" if path.count("/") == 2 or "." in path else host
    link.symlink_to(os.path.relpath(target, link.parent) if up else target)
    kernel = tmp / "kernel"
    (kernel / "lib/modules/1.0").mkdir(parents=True)
    (kernel / "modules").write_text("/lib/modules/1.0/tun.ko\n")
    for args in (["--init", "--modules", kernel], ["--companion", "systemd"],
                 ["--companion", "openrc"], ["--undo"]):
        bake(root, *args)
        assert listing(host) == before
    assert (host / "file").read_text() == "the host's"
