"""The vhost-user device, driven by the benchmark's VMM and driver: each byte.

What a guest's kernel does with it is tested in tests/vm; here the rings are
driven as fast as they go, and the gateway is isolated.
"""
import json
import subprocess

import pytest

import lab

VUFRONT = lab.BUILD / "bench" / "vufront"


@pytest.fixture(scope="module")
def ns():
    ns = lab.Ns()
    yield ns
    ns.close()


@pytest.fixture
def device(ns, tmp_path, request):
    """A gateway for one VMM: runs vufront, and returns what it says."""
    log = lab.Log(tmp_path / "log")
    proc = ns.popen(lab.GATEWAY, "run", "--vhost-user", tmp_path / "sock",
                    "--ipv4", "on", "--ipv6", "off", "--net", "all",
                    *getattr(request, "param", ()), stdin=subprocess.DEVNULL,
                    stdout=log.file, stderr=log.file)

    def run(mode, *args):
        out = subprocess.run(
            ns.cmd(VUFRONT, mode, tmp_path / "sock", "-k", *args),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=50)
        assert out.returncode == 0, out.stderr + log.text[-2000:]
        return json.loads(out.stdout)
    yield run
    assert proc.poll() is None, log.text
    proc.terminate()
    assert proc.wait(10) == 0, log.text
    assert "ended with" not in log.text     # the packet process
    log.file.close()


@pytest.mark.parametrize("args", [
    "up -n 2000",                       # 64 KiB, to be cut by the host
    "up -n 4000 -s 9000",
    "up -n 10000 -s 1448",
    "up -n 10000 -s 1448 -p 44",        # many frames in a packet
    "up -n 10000 -s 1448 -c",           # with whole checksums
    "up -n 20000 -s 1",
    "down -n 2000",
    "rr -n 2000",
    "rr -n 500 -s 20000",
])
def test_tcp(device, args):
    j = device(*args.split())
    opt = dict(zip(args.split()[1::2], args.split()[2::2]))
    seg = int(opt.get("-s", 1 if args.startswith("rr") else 65160))
    assert j["bad"] == 0
    assert j["bytes"] == int(opt["-n"]) * seg


def test_udp(device):
    """Datagrams may be lost behind the gateway, but not changed."""
    j = device("udp", "-n", "5000")
    assert j["bad"] == 0
    assert 0 < j["frames"] <= 5000
    assert j["bytes"] == j["frames"] * 64


@pytest.mark.parametrize("device", [("--fault", f"seed={n},loss=1%,reorder=1%")
                                    for n in range(1, 4)], indirect=True)
@pytest.mark.parametrize("args", ["up -n 5000 -s 1448 -p 8", "up -t 1 -s 1448",
                                  "down -n 300"])
def test_loss(device, args):
    """What is lost comes again, and is counted once."""
    j = device(*args.split())
    assert j["bad"] == 0
    assert j["again"] > 0
    if args.startswith("up"):
        # Frames are those that arrived, however often they were sent
        assert j["frames"] == j["bytes"] // 1448 < j["sent"]
    if "-n 5000" in args:
        assert j["bytes"] == 5000 * 1448
