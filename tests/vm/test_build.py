"""What was built, without booting it."""
import subprocess

import vm

LIMIT_KIB = 700


def test_static():
    said = subprocess.run(["readelf", "-lS", vm.INIT], stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    assert "LOAD" in said
    for name in ("INTERP", "DYNAMIC", ".symtab", ".debug_"):
        assert name not in said


def test_size():
    kib = vm.INIT.stat().st_size / 1024
    vm.measure("msb-init, stripped", f"{kib:.0f} KiB of {LIMIT_KIB}")
    assert kib <= LIMIT_KIB


def test_libraries():
    """The libraries named for it are in it, not words of our own"""
    said = subprocess.run(["nm", vm.BUILD / "guest/msb-init.debug"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    names = {x.split()[-1] for x in said.splitlines()
             if " T " in x or " t " in x}
    for name in ("mnl_socket_open", "curl_easy_perform",
                 "br_x509_decoder_init"):
        assert name in names


def test_two_initramfs_at_once(tmp_path):
    """Neither takes the other's file away, and the result is whole"""
    tree, out = tmp_path / "tree", tmp_path / "out.gz"
    tree.mkdir()
    (tree / "file").write_bytes(vm.INIT.read_bytes())
    procs = [subprocess.Popen(["sh", vm.TOP / "rootfs/initramfs", "-t", tree,
                               out]) for _ in range(4)]
    assert [p.wait(60) for p in procs] == [0] * 4
    subprocess.run(["gzip", "-t", out], check=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.gz", "tree"]
