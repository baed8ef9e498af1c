"""Guests whose host asks for mounts, users and limits, or a root of layers."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import vm

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
VIRTIOFSD = [p for p in ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
             if os.path.exists(p)]
ROOT_ENDS = "left mounted"


def boot(d, *args, **kw):
    g = vm.Guest(d, *args, **kw)
    g.logs = g.log
    try:
        return g, g.wait()
    finally:
        g.end()


def tool(*args):
    """A program of e2fsprogs; what it says"""
    return subprocess.run(list(map(str, args)), check=True, timeout=60,
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          env={**os.environ, "PATH": PATH}).stdout


def ext4(image, tree=None, mib=16):
    with open(image, "wb") as f:
        f.truncate(mib << 20)
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0",
         *(["-d", tree] if tree else []), image)
    return image


def disk(n, image, serial=None, *more):
    """Arguments for QEMU"""
    opts = "".join("," + x for x in more)
    return (f"-drive file={image},format=raw,if=none,id=d{n}{opts} -device "
            f"virtio-blk-device,drive=d{n}" +
            (f",serial={serial}" if serial else ""))


def clean(image):
    """Unmounted, or made read-only: nothing to recover"""
    head = tool("dumpe2fs", "-h", image)
    assert "Filesystem state:         clean" in head
    assert "needs_recovery" not in head


def in_mounts(step):
    """{path: (source, type, options)}, the last one of each"""
    return {x.split()[1]: (x.split()[0], x.split()[2],
                           x.split()[3].split(",")) for x in step.ok().lines}


# --- mounts ------------------------------------------------------------------

@pytest.fixture(scope="module")
def mounts(room):
    d = room("mounts")
    tree = d / "tree"
    tree.mkdir()
    (tree / "file").write_text("on the disk\n")
    (d / "share").mkdir()
    (d / "share/f.txt").write_text("from the host\n")
    data, frozen = ext4(d / "data.img", tree), ext4(d / "frozen.img", tree)
    qemu = [disk(0, data, "data-1"), disk(1, frozen, "data", "readonly=on"),
            "-global virtio-mmio.force-legacy=false"]
    ask = ["MSB_TMPFS=/scratch/deep:mode=700;/scratch:size=8,noexec;bad,ro",
           "MSB_DISK_MOUNTS=data-1:/data;data:/frozen:ro;none:/n"]
    fs = None
    if VIRTIOFSD:
        fs = vm.Program(d / "fs.log", VIRTIOFSD[0],
                        f"--socket-path={d}/fs.sock", "-o",
                        f"source={d}/share", "-o", "sandbox=chroot")
        fs.wait_for((d / "fs.sock").exists)
        qemu.append(f"-chardev socket,id=fs,path={d}/fs.sock -device "
                    "vhost-user-fs-device,chardev=fs,tag=src")
        ask += ["MSB_DIR_MOUNTS=src:/srv/src;gone:/gone",
                "MSB_FILE_MOUNTS=src:f.txt:/opt/x/f:ro,nosuid"]
    files = vm.script_files(d, "mounts", {})
    try:
        g, g.exit = boot(d, "--no-net", "--overlay", vm.overlay(d, files),
                         "--append", " ".join(ask), "--qemu-args",
                         " ".join(qemu))
        yield g
    finally:
        if fs:
            fs.stop()


def test_mounts_end(mounts):
    assert mounts.exit == 0, mounts.log()
    assert ROOT_ENDS not in mounts.log()
    clean(mounts.dir / "data.img")


def test_tmpfs(mounts):
    m = in_mounts(mounts.step("mounts"))
    assert m["/scratch"][1] == "tmpfs"
    assert {"noexec", "size=8192k"} <= set(m["/scratch"][2])
    modes = [x.split()[0] for x in mounts.step("scratch").ok().lines]
    assert modes == ["drwxr-xr-x", "drwx------"]
    # Eight of nine MiB: the size is a limit
    assert mounts.step("big").status != 0
    assert m["/tmp"][1] == "tmpfs"


def test_disk(mounts):
    m = in_mounts(mounts.step("mounts"))
    assert m["/data"][1] == "ext4" and "rw" in m["/data"][2]
    assert mounts.step("data").ok().text == "on the disk"
    assert mounts.step("data_write").ok().text == "new"
    assert tool("debugfs", "-R", "cat /new", mounts.dir /
                "data.img") == "new\n"


def test_disk_read_only(mounts):
    m = in_mounts(mounts.step("mounts"))
    assert "ro" in m["/frozen"][2]
    assert mounts.step("frozen").ok().text == "on the disk"
    step = mounts.step("frozen_write")
    assert step.status != 0 and "Read-only file system" in step.text


def test_mounts_refused(mounts):
    """What is not possible is on the console, and nothing else is missing"""
    assert ("MSB_TMPFS options must use path:opts syntax (at byte 46)"
            in mounts.log())
    assert "none on /n: no disk has this serial" in mounts.log()


@pytest.mark.skipif(not VIRTIOFSD, reason="no virtiofsd")
def test_shares(mounts):
    m = in_mounts(mounts.step("mounts"))
    assert m["/srv/src"][:2] == ("src", "virtiofs")
    assert "rw" in m["/srv/src"][2]
    assert {"ro", "nosuid"} <= set(m["/opt/x/f"][2])
    assert mounts.step("shared").ok().lines == ["from the host"] * 2
    mounts.step("shared_write").ok()
    assert (mounts.dir / "share/g.txt").read_text() == "from the guest\n"
    step = mounts.step("shared_file")
    assert step.status != 0 and "Read-only file system" in step.text
    assert "share" not in mounts.step("staging").ok().lines
    assert ("MSB_DIR_MOUNTS: gone on /gone: the machine has no share with "
            "this tag" in mounts.log())


# --- who the workload is -----------------------------------------------------

def test_user(tmp):
    g, status = boot(tmp, "--no-net", "--append", "MSB_USER=guest:daemon "
                     "MSB_RLIMITS=nofile=77:99;core=0;bogus=1", cmd=[
                         "sh", "-c", "id -u; id -g; id -G; ulimit -n; "
                         "ulimit -Hn; echo $HOME $USER; cat /proc/self/cgroup "
                         "/proc/self/oom_score_adj; ulimit -Hn 200 || exit 9"])
    assert status == 9, g.log()
    i = g.out.index("1000")
    assert g.out[i:i + 8] == ["1000", "1", "1", "77", "99", "/tmp guest",
                              "0::/workload", "0"], g.log()
    assert "MSB_RLIMITS unknown resource: bogus" in g.log()


def test_restricted(tmp):
    """Root without CAP_SYS_ADMIN, on mounts without suid programs"""
    g, status = boot(tmp, "--no-net", "--append", "MSB_TMPFS=/data "
                     "MSB_SECURITY_PROFILE=restricted", cmd=[
                         "sh", "-c", "id -u; mount -t tmpfs none /mnt && "
                         "exit 1; grep -E NoNewPrivs /proc/self/status; "
                         "grep /data /proc/mounts; exit 3"])
    assert status == 3, g.log()
    assert "0" in g.out and "NoNewPrivs:\t1" in g.out, g.log()
    assert any(x.startswith("tmpfs /data tmpfs rw,nosuid,nodev")
               for x in g.out), g.log()


def test_no_such_user(tmp):
    """Nothing runs, least of all as root"""
    g, status = boot(tmp, "--no-net", "--append", "MSB_USER=ghost", cmd=[
        "echo", "as root"])
    assert status == 126, g.log()
    assert "as root" not in g.out
    assert "MSB_USER: guest user not found: ghost" in g.log()


def test_restart(tmp):
    """Again until it succeeds, with what it left behind cleared away"""
    g, status = boot(tmp, "--no-net", "--append", "MSB_RESTART=on-failure",
                     cmd=["sh", "-c", "pidof sleep && exit 0; echo x "
                          ">>/run/n; setsid sleep 1000 & [ $(wc -l </run/n) "
                          "= 3 ] && exit 0; exit 5"])
    assert status == 0, g.log()
    log = g.log()
    for ms in (100, 200):
        assert (f"ended with status 5; starting it again in {ms} ms" in log)
    assert "in 400 ms" not in log


@pytest.fixture(scope="module")
def hog(room):
    d = room("hog")
    gateway = vm.Gateway(d, "--vhost-user", d / "vhost.sock")
    (d / "env").write_text(gateway.env())
    files = vm.script_files(d, "hog", {"GW4": vm.GW4})
    files["usr/bin/hog"] = vm.static(d, "hog")
    try:
        g, g.exit = boot(
            d, "--vhost-user", d / "vhost.sock", "--env-file", d / "env",
            "--overlay", vm.overlay(d, files), "--append",
            "MSB_RESTART=on-failure MSB_PIDS_MAX=200", timeout=150)
        yield g
    finally:
        gateway.stop()


def test_cgroup(hog):
    assert hog.step("cgroup").ok().lines == ["0::/workload", "200", "1"]
    others = hog.step("others").ok().lines
    assert "1" in others and hog.step("before").ok().lines[0] in others


def test_fork_bomb(hog):
    """It ends at its limit; PID 1 and the agent do not notice"""
    assert hog.step("forks").ok().text == ("refused: Resource temporarily "
                                           "unavailable")
    assert hog.step("after").ok().lines == hog.step("before").ok().lines
    assert " 0% packet loss" in hog.step("ping").ok().text


def test_oom(hog):
    """All of the workload is killed, and nobody else"""
    assert hog.exit == 0, hog.log()
    assert "workload: ended with status 137" in hog.log()
    assert re.search(r"workload: out of memory: the kernel killed \d+ of its",
                     hog.log())
    assert re.search(r"workload: too many processes: fork was refused \d+ "
                     "times, see MSB_PIDS_MAX", hog.log())
    before, again = hog.step("before").ok(), hog.step("again").ok()
    assert again.lines == before.lines
    assert before.lines[1:] == ["init", "-1000", "-1000", "0"]
    assert " 0% packet loss" in hog.step("again_ping").ok().text
    # The shell, what runs the step, wc: no sleep of the first time
    assert int(hog.step("again_procs").ok().text.split()[0]) <= 3


# --- roots -------------------------------------------------------------------

def tree(d, script, variables, **files):
    """busybox, what the script needs, and modules"""
    root = d / "root"
    for name in ("bin", "sbin", "etc/msb", "dev", "proc", "sys", "run", "tmp",
                 "usr/bin", "usr/sbin", "var", "root", "lib"):
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy(busybox, root / "bin/busybox")
    for applet in subprocess.run([busybox, "--list-full"], check=True,
                                 text=True, stdout=subprocess.PIPE
                                 ).stdout.split():
        to = root / applet
        if not to.exists() and applet != "linuxrc":
            to.parent.mkdir(parents=True, exist_ok=True)
            to.symlink_to("/bin/busybox")
    shutil.copytree(vm.BUILD / "kernel/lib/modules", root / "lib/modules")
    (root / "etc/gone").write_text("soon\n")
    for name, what in {**vm.script_files(d, script, variables),
                       **files}.items():
        if isinstance(what, pathlib.Path):
            shutil.copy(what, root / name)
        else:
            (root / name).write_text(what)
        (root / name).chmod(0o755)
    return root


VARIABLES = {"GW4": vm.GW4, "ALIAS": vm.ALIAS}
READ_ONLY = "MSB_HOSTNAME=frozen MSB_TMPFS=/var:size=4;/nowhere"


def check_read_only(g):
    m = in_mounts(g.step("mounts"))
    assert "ro" in m["/"][2] and m["/"][1] == "ext4"
    assert g.step("write").ok().text == "kept"      # /var is a tmpfs
    assert g.step("tmp").ok().text == "x"
    assert g.step("status").ok().keys()["STATE"] == "ready"
    assert f"nameserver {vm.GW4}" in g.step("resolv").ok().lines
    assert any(x.split()[:2] == [vm.GW4, vm.ALIAS]
               for x in g.step("hosts").ok().lines)
    assert g.step("hostname").ok().text == "frozen"
    assert " 0% packet loss" in g.step("ping4").ok().text
    assert vm.GW4 in g.step("dns_alias").ok().text
    assert ("MSB_TMPFS: /nowhere: the mount point is missing, and cannot be "
            "made on a read-only file system" in g.log())
    assert ROOT_ENDS not in g.log()


def test_read_only(tmp, servers):
    """The agent's files are mounted over those of the image"""
    bundle = "etc/ssl/certs/ca-certificates.crt"
    ca = servers.ca.pem.read_text()
    (tmp / "root/etc/ssl/certs").mkdir(parents=True)
    root = tree(tmp, "root", VARIABLES, **{
        "etc/msb/ca.pem": servers.ca.pem, bundle: "# empty\n",
        "etc/resolv.conf": "nameserver 192.0.2.1\n",
        "etc/hosts": "127.0.0.1 localhost\n", "etc/hostname": "image\n"})
    image = ext4(tmp / "root.img", root, 64)
    g, status = boot(tmp, "--image", image, "--append", "ro " + READ_ONLY)
    assert status == 0, g.log()
    check_read_only(g)
    m = in_mounts(g.step("mounts"))
    assert m["/etc/resolv.conf"][1] == "tmpfs" and "/etc" not in m
    assert ca.split()[2] in g.step("ca").ok().text
    assert g.step("delete").status != 0


def test_read_only_bare(tmp):
    """Without files to mount over, /etc is an overlay"""
    root = tree(tmp, "root", VARIABLES)
    (root / "etc/resolv.conf").symlink_to("../run/nowhere/resolv.conf")
    image = ext4(tmp / "root.img", root, 64)
    g, status = boot(tmp, "--image", image, "--append", "ro " + READ_ONLY)
    assert status == 0, g.log()
    check_read_only(g)
    assert in_mounts(g.step("mounts"))["/etc"][1] == "overlay"
    g.step("delete").ok()


LAYERS = "MSB_BLOCK_ROOT=kind=oci-erofs,lower=/dev/vda,"


def test_layers(tmp):
    """What is written and deleted is so in the upper layer, cleanly"""
    root = tree(tmp, "root", {"GW4": ""})
    lower = ext4(tmp / "lower.img", root, 64)
    upper = ext4(tmp / "upper.img")
    qemu = disk(0, lower, None, "readonly=on") + " " + disk(1, upper)
    for first in (True, False):
        g, status = boot(tmp, "--no-net", "--append", LAYERS +
                         "upper=/dev/vdb,upper_fstype=ext4", "--qemu-args",
                         qemu)
        assert status == 0, g.log()
        m = in_mounts(g.step("mounts"))
        assert m["/"][1] == "overlay" and "rw" in m["/"][2]
        assert g.step("write").ok().text == "kept"
        # Gone for good, the second time too
        assert (g.step("delete").status == 0) == first
        # Only root may look at what lies below
        assert any(x.startswith("drwx------") and x.endswith("/run/msb/root")
                   for x in g.step("layers").lines), g.log()
        assert ROOT_ENDS not in g.log()
        clean(upper)
    assert tool("debugfs", "-R", "cat /upper/var/kept", upper) == "kept\n"


def test_layers_in_memory(tmp):
    root = tree(tmp, "root", {"GW4": ""})
    lower = ext4(tmp / "lower.img", root, 64)
    g, status = boot(tmp, "--no-net", "--append", LAYERS +
                     "upper=tmpfs,upper_size_mib=8", "--qemu-args",
                     disk(0, lower, None, "readonly=on"))
    assert status == 0, g.log()
    m = in_mounts(g.step("mounts"))
    assert m["/"][1] == "overlay"
    assert "size=8192k" in m["/run/msb/root/upper"][2]
    assert g.step("write").ok().text == "kept"


def test_disk_image(tmp):
    root = tree(tmp, "root", {"GW4": ""})
    image = ext4(tmp / "root.img", root, 64)
    g, status = boot(tmp, "--no-net", "--append",
                     "MSB_BLOCK_ROOT=kind=disk-image,device=/dev/vda",
                     "--qemu-args", disk(0, image))
    assert status == 0, g.log()
    assert in_mounts(g.step("mounts"))["/"][1] == "ext4"
    clean(image)
    assert tool("debugfs", "-R", "cat /var/kept", image) == "kept\n"


def test_no_root(tmp):
    """A root that cannot be had is told, and what is there goes on"""
    g, status = boot(tmp, "--no-net", "--append", LAYERS + "upper=tmpfs", cmd=[
        "sh", "-c", "grep -c upper /proc/mounts; exit 4"])
    assert status == 4, g.log()
    assert "0" in g.out
    assert "root: /dev/vda: No such device" in g.log()
