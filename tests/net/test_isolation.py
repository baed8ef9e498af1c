"""What the packet process may do while it serves, and how the two end."""
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import time

import pytest

from lab import (GATEWAY, GW4, HOST, HOST4, Echo, FAMILIES, until)

NOBODY = 65534


def busy(lab):
    """A few flows of every kind, open."""
    echo = lab.own(Echo(lab.host.listen(HOST4)))
    for _ in range(3):
        s = lab.own(lab.guest.connect(HOST4, echo.port))
        s.sendall(b"x")
        assert s.recv(1) == b"x"
    u = lab.own(lab.host.udp(HOST4))
    g = lab.own(lab.guest.udp("0.0.0.0"))
    g.sendto(b"x", u.getsockname())
    u.recvfrom(10)
    lab.guest.run("ping", "-c1", "-W2", HOST4)


def test_packet_process_has_no_rights(lab):
    lab.start("--dns-nameserver", "127.0.0.1:5353")
    busy(lab)
    st = lab.gw.status()
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(st[key], 16) == 0, key
    assert st["NoNewPrivs"] == "1"
    assert st["Seccomp"] == "2"
    with open(f"/proc/{lab.gw.pid}/limits") as f:
        assert re.search(r"core file size +0 +0 ", f.read())
    with open(f"/proc/{lab.gw.pid}/environ", "rb") as f:
        assert f.read() == b""
    with open(f"/proc/{lab.gw.pid}/cmdline", "rb") as f:
        assert f.read() == b"msb-gateway\0packet\0"


def kinds(pid):
    """The descriptors of a process: number to what it is."""
    base = f"/proc/{pid}/fd"
    return {int(fd): re.sub(r":\[\d+\]$", "", os.readlink(f"{base}/{fd}"))
            for fd in os.listdir(base)}


def test_descriptors_are_only_its_own(lab):
    """Inherited ones too: a file that the monitor has open is not there."""
    leak = os.open(lab.tmp / "leak", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(leak, True)
    lab.start(pass_fds=[leak])
    assert any("leak" in x for x in kinds(lab.gw.proc.pid).values())
    os.close(leak)
    quiet = kinds(lab.gw.pid)
    assert quiet.pop(0) == "socket"             # the monitor
    assert quiet.pop(1) == quiet.pop(2) == "pipe"       # the log
    # listener, the agent, and the loop
    assert sorted(quiet.values()) == ["anon_inode:[eventpoll]", "socket",
                                      "socket"]
    busy(lab)
    extra = set(kinds(lab.gw.pid)) - set(quiet) - {0, 1, 2}
    assert {kinds(lab.gw.pid)[fd] for fd in extra} == {"socket"}
    assert len(extra) == 5                      # 3 TCP, 1 UDP, 1 ping


def test_descriptors_are_given_back(lab):
    lab.start()
    before = len(kinds(lab.gw.pid))
    echo = lab.own(Echo(lab.host.listen(HOST4)))
    for _ in range(200):
        with lab.guest.connect(HOST4, echo.port) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
    until(lambda: len(kinds(lab.gw.pid)) == before, "descriptors stay open")


def as_nobody():
    """How to run as an ordinary user; skips where there is only one."""
    with open("/proc/self/uid_map") as f:
        if int(f.read().split()[2]) < NOBODY + 1:
            pytest.skip("only one user in this user namespace")
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
            "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]


def test_ordinary_user_is_enough_and_may_not_look_inside(lab):
    """No root needed; and /proc/PID is root's, since it is not dumpable."""
    prefix = as_nobody()
    os.chown(lab.tmp, NOBODY, NOBODY)
    lab.start(prefix=prefix, ping=f"0 {NOBODY}")
    assert os.stat(lab.sock).st_uid == NOBODY
    assert os.stat(f"/proc/{lab.gw.proc.pid}/maps").st_uid == NOBODY
    assert os.stat(f"/proc/{lab.gw.pid}/maps").st_uid == 0
    for name in ("mem", "environ", "maps"):
        rc = subprocess.run([*prefix, "cat", f"/proc/{lab.gw.pid}/{name}"],
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)
        assert rc.returncode and "denied" in rc.stderr, name
    busy(lab)
    lab.sane()


def test_socket_is_for_the_owner_alone(lab):
    lab.start()
    assert os.stat(lab.sock).st_mode & 0o777 == 0o600
    lab.gw.log.wait(r"peer connected: pid \d+, uid 0")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("load", [False, True], ids=["idle", "busy"])
def test_ends_in_order(lab, sig, load):
    lab.start()
    if load:
        busy(lab)
    monitor, packet = lab.gw.proc.pid, lab.gw.pid
    start = time.monotonic()
    lab.gw.proc.send_signal(sig)
    assert lab.gw.proc.wait(5) == 0
    assert time.monotonic() - start < 2
    moved = lab.gw.log.lines(r"moved: tcp (\d+) flows.*udp (\d+) datagrams up")
    assert moved == [("3", "1") if load else ("0", "0")]
    assert not os.path.exists(lab.sock)
    assert not os.path.exists(f"/proc/{monitor}/fd")
    assert not os.path.exists(f"/proc/{packet}/fd")


def test_open_flows_are_reset_at_the_end(lab):
    """Both sides hear of it: no half-dead connection on the host."""
    lab.start()
    ends = []
    for family in FAMILIES:
        listener = lab.own(lab.host.listen(HOST[family]))
        ends.append(lab.own(lab.guest.connect(*listener.getsockname()[:2])))
        ends.append(lab.own(listener.accept()[0]))
    lab.gw.stop()
    for s in ends:
        s.settimeout(3)
        with pytest.raises(ConnectionResetError):
            s.recv(1)


def test_ends_in_order_while_the_child_hangs(lab):
    """[slow: 3 s] A packet process that does not answer is killed."""
    lab.start()
    packet = lab.gw.pid
    os.kill(packet, signal.SIGSTOP)
    lab.gw.proc.send_signal(signal.SIGTERM)
    assert lab.gw.proc.wait(6) == 1
    assert not os.path.exists(f"/proc/{packet}/fd")
    assert not os.path.exists(lab.sock)


def test_ends_in_order_while_nobody_reads_its_log(lab):
    rd, wr = os.pipe()
    fcntl.fcntl(wr, fcntl.F_SETPIPE_SZ, 4096)
    p = lab.host.popen(GATEWAY, "run", "--unix", lab.sock, "--ipv4", "on",
                       "--log-level", "debug", stderr=wr)
    os.close(wr)
    until(lambda: os.path.exists(lab.sock), "no socket")
    for _ in range(300):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(lab.sock)
            s.send(b"MSBL")
    until(lambda: select.select([rd], [], [], 0)[0], "no log")
    time.sleep(0.3)
    p.send_signal(signal.SIGTERM)
    assert p.wait(5) == 0
    os.close(rd)


def test_stale_socket_is_removed(lab):
    s = socket.socket(socket.AF_UNIX)
    s.bind(lab.sock)
    s.close()
    lab.start()
    lab.sane()


def test_socket_of_another_gateway_is_kept(lab):
    """Somebody has removed ours, and it stands in its place."""
    first = lab.gateway()
    os.unlink(lab.sock)
    lab.gateway()
    assert first.stop() == 0
    lab.agent()
    lab.sane()
    assert lab.gw.stop() == 0
    assert not os.path.exists(lab.sock)


@pytest.mark.parametrize("args, why", [
    (["--unix", "/nonexistent/dir/sock"], "directory must exist"),
    (["--unix", "x", "--slot", "65536"], "--slot"),
    (["--unix", "x", "--net", "everything"], "--net"),
    (["--unix", "x", "--max-connections", "0"], "--max-connections"),
    (["--unix", "x", "--fault", "loss=200%"], "--fault"),
    (["--unix", "x", "--dns-nameserver", "localhost"], "--dns-nameserver"),
    (["--unix", "x", "--frobnicate"], "frobnicate"),
    ([], "--unix"),
])
def test_wrong_usage_says_what_to_do(lab, args, why):
    p = subprocess.run(lab.host.cmd(GATEWAY, "run", *args), cwd=lab.tmp,
                       stderr=subprocess.PIPE, text=True, timeout=5)
    assert p.returncode == 2
    assert why in p.stderr


def test_file_in_the_way_is_kept(lab):
    with open(lab.sock, "w") as f:
        f.write("precious")
    p = subprocess.run(lab.host.cmd(GATEWAY, "run", "--unix", lab.sock),
                       stderr=subprocess.PIPE, text=True, timeout=5)
    assert p.returncode == 2 and "not a socket" in p.stderr
    with open(lab.sock) as f:
        assert f.read() == "precious"


def test_listener_of_the_gateway_is_the_only_one(lab):
    """It listens on no port of the host."""
    lab.start()
    busy(lab)
    out = lab.host.run("ss", "-Hltnp")
    assert "msb-gateway" not in out, out
    assert GW4 not in out
