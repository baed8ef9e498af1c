"""msb-init as PID 1 of a PID namespace.

Always in a user namespace, even for root, and with a /run and an /etc of its
own: what PID 1 and the agent do must not reach the machine that runs the tests.
"""
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import tempfile
import time

import pytest

BUILD = pathlib.Path(os.environ.get("MSB_BUILD", "build")).resolve()
INIT = BUILD / "guest" / "msb-init"
SPACE = ["unshare", "-Urnmpf", "--mount-proc", "sh", "-c"]
# Root in the user namespace is who root is outside: a file of his is a file of
# his.  Nothing is written to the lower layer.
OWN = ("mount -t tmpfs run /run && mount -t tmpfs etc /mnt && "
       "mkdir /mnt/up /mnt/work && mount -t overlay etc "
       "-o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc && ")
UNSHARE = SPACE + [OWN + 'exec env -i "$@"', "sh",
                   "PATH=/usr/local/bin:/usr/bin:/bin"]
LAST = "msb-init: workload exited with status %d"

pytestmark = pytest.mark.skipif(not INIT.exists(), reason=f"no {INIT}")


def boot(shell, *env, timeout=30):
    """Run a shell command as the workload; lines of the console, exit code."""
    cmd = UNSHARE + [f"MSB_EXEC={shell}", *env, str(INIT)]
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=timeout)
    return p.stdout.splitlines(), p.returncode


@pytest.mark.parametrize("shell, status", [
    ("exit 0", 0),
    ("exit 1", 1),
    ("exit 42", 42),
    ("exit 255", 255),
    ("kill -TERM $$", 143),
    ("kill -KILL $$", 137),
    ("kill -SEGV $$", 139),
    ("exec /nonexistent", 127),
    ("exec /etc/passwd", 126),
])
def test_status_is_the_last_line(shell, status):
    lines, _ = boot(shell)
    assert lines[-1] == LAST % status


@pytest.mark.parametrize("how, sig", [
    ("", signal.SIGINT),        # what a namespace makes of RB_POWER_OFF
    ("poweroff", signal.SIGINT),
    ("halt", signal.SIGINT),
    ("reboot", signal.SIGHUP),
])
def test_power_off(how, sig):
    lines, rc = boot("exit 3", f"MSB_POWEROFF={how}")
    assert lines[-1] == LAST % 3
    assert rc == -sig


def test_orphans_are_reaped():
    lines, _ = boot(
        "i=0; while [ $i -lt 1000 ]; do (sleep 0.2 &); i=$((i+1)); done; "
        "sleep 1.5; echo zombies $(grep -l '^State:.Z' /proc/[0-9]*/status "
        "2>/dev/null | wc -l); echo sleeping $(grep -l '^Name:.sleep' "
        "/proc/[0-9]*/status 2>/dev/null | wc -l)", timeout=60)
    assert "zombies 0" in lines
    assert "sleeping 0" in lines
    assert lines[-1] == LAST % 0


def test_workload_process():
    lines, _ = boot(
        "echo oom $(cat /proc/self/oom_score_adj) $(cat /proc/1/oom_score_adj);"
        "echo session $(cut -d' ' -f 1,5,6 /proc/$$/stat);"
        "echo fds $(ls /proc/self/fd); echo pwd $PWD;"
        "grep -E '^Sig(Blk|Ign)' /proc/self/status; env")
    text = "\n".join(lines)
    assert re.search(r"^oom 0 ", text, re.M)
    # Its own session and its own process group
    pid, group, session = re.search(r"^session (\d+) (\d+) (\d+)$", text,
                                    re.M).groups()
    assert pid == group == session
    assert "fds 0 1 2 3" in lines       # 3 is the directory that ls reads
    assert "pwd /" in lines
    assert "SigBlk:\t0000000000000000" in lines
    ignored = int(re.search(r"^SigIgn:\t(\w+)$", text, re.M).group(1), 16)
    # 32 to 34 are the C library's own: it lets nobody touch what whoever started
    # this test had set them to
    assert ignored & ~(7 << 31) == 0
    assert "TERM=linux" in lines
    assert not re.search(r"^MSB_(READY|TOKEN)_FD=", text, re.M)


def test_boot_file():
    lines, _ = boot("cat /run/msb/boot; stat -c mode=%a /run/msb/boot")
    stamps = dict(l.split("=", 1) for l in lines if re.match(r"[A-Z]+=\d", l))
    order = ["MAIN", "MOUNTS", "MODULES", "AGENT", "WORKLOAD"]
    values = [int(stamps[k]) for k in order]
    assert int(stamps["CPU"]) > 0
    assert values == sorted(values)
    assert "mode=644" in lines


def test_missing_interpreter(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    etc = tmp_path / "etc"
    (etc / "msb").mkdir(parents=True)
    (etc / "msb" / "workload").write_bytes(script.read_bytes())
    (etc / "msb" / "workload").chmod(0o755)
    # The workload of the file is executed by PID 1 itself, not by a shell
    cmd = SPACE + [f"mount -t tmpfs run /run && mount --bind {etc} /etc && "
                   f"exec env -i {INIT}"]
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=30)
    lines = p.stdout.splitlines()
    assert any("its interpreter /no/such/interpreter is missing" in l
               for l in lines)
    assert lines[-1] == LAST % 127


def test_sigterm_to_pid1():
    lines, _ = boot("trap 'echo got it; exit 9' TERM; kill -TERM 1; "
                    "sleep 60 & wait; wait")
    assert "got it" in lines
    assert lines[-1] == LAST % 9


# A namespace tells a reboot from the rest, and halt not from power-off
@pytest.mark.parametrize("sig, how, end", [
    ("INT", "poweroff", signal.SIGINT),
    ("PWR", "reboot", signal.SIGHUP),
    ("USR1", "reboot", signal.SIGINT),
    ("USR2", "reboot", signal.SIGHUP),
    ("37", "reboot", signal.SIGINT),
    ("38", "reboot", signal.SIGHUP),
    ("38", "poweroff", signal.SIGINT),
    ("39", "poweroff", signal.SIGHUP),
])
def test_other_stop_signals(sig, how, end):
    start = time.monotonic()
    lines, rc = boot(f"kill -{sig} 1; exec sleep 60", f"MSB_POWEROFF={how}")
    assert lines[-1] == LAST % 143
    assert rc == -end
    assert time.monotonic() - start < 20


def test_other_signals_are_nothing():
    lines, rc = boot("for s in 1 3 4 5 6 7 8 11 13 14 16 18 20 21 22 23 24 25 "
                     "26 27 28 29 31 35 36 40 41 47 48 49 63 64; do "
                     "kill -$s 1; done; sleep 1; exit 5")
    assert lines[-1] == LAST % 5
    assert rc == -signal.SIGINT


def test_who_ignores_sigterm_is_killed():
    start = time.monotonic()
    lines, _ = boot("trap '' TERM; kill -TERM 1; while :; do sleep 1; done",
                    "MSB_STOP_TIMEOUT=1")
    took = time.monotonic() - start
    assert lines[-1] == LAST % 137
    assert 1.9 < took < 15      # two graces, of the workload and of all


def test_background_processes_get_their_grace():
    lines, _ = boot("(trap 'sleep 0.5; echo flushed; exit' TERM; "
                    "while :; do sleep 0.1; done) & sleep 0.3; exit 5")
    assert "flushed" in lines
    assert lines[-1] == LAST % 5


def test_agent_is_started_again():
    agent = ("$(grep -lz '^--pid1$' /proc/[0-9]*/cmdline 2>/dev/null "
             "| head -n 1 | cut -d/ -f 3)")
    lines, _ = boot(f"a={agent}; kill -KILL $a; sleep 1; b={agent}; "
                    "echo agents ${a:-none} ${b:-none}")
    a, b = re.search(r"^agents (\S+) (\S+)$", "\n".join(lines), re.M).groups()
    assert a.isdigit() and b.isdigit() and a != b
    assert any("agent: starting it again in 100 ms" in l for l in lines)
    assert lines[-1] == LAST % 0


def test_works_without_proc():
    cmd = ["unshare", "-Urnmpf", "sh", "-c",
           "mount -t tmpfs none /proc && mkdir /proc/self && " + OWN +
           f"exec env -i MSB_EXEC='echo alive; exit 4' {INIT}"]
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=30)
    lines = p.stdout.splitlines()
    assert "alive" in lines
    assert lines[-1] == LAST % 4


def boot_over(prepare, shell, *env, timeout=20):
    """As boot(), when something was done to /etc or /run."""
    cmd = SPACE + [
        OWN + f'{prepare} && exec env -i "$@"', "sh",
        "PATH=/usr/local/bin:/usr/bin:/bin", f"MSB_EXEC={shell}", *env,
        str(INIT)]
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=timeout)
    return p.stdout.splitlines()


@pytest.mark.parametrize("name", ["modules", "exit-key", "workload"])
def test_fifo_in_the_image(name):
    lines = boot_over(f"mkdir /etc/msb && mkfifo /etc/msb/{name}", "exit 9")
    assert lines[-1] == LAST % 9


def test_etc_is_not_that_of_the_machine():
    files = [pathlib.Path("/etc") / n for n in ("hosts", "resolv.conf")]
    before = [f.read_bytes() if f.exists() else None for f in files]
    lines, _ = boot("cat /etc/hosts", "MSB_HOST_ALIAS=alias.example",
                    "MSB_NET_IPV4=addr=192.0.2.2/30,gw=192.0.2.1",
                    "MSB_NET=iface=eth0,mac=02:6d:73:00:00:02",
                    "MSB_LINK=unix:/nowhere")
    assert "192.0.2.1\talias.example" in lines
    assert [f.read_bytes() if f.exists() else None for f in files] == before


def test_fifo_for_the_mounts():
    """What the workload leaves behind does not hold up the power-off"""
    lines, _ = boot("mount -t tmpfs none /proc; mkdir /proc/self; "
                    "mkfifo /proc/self/mounts; exit 9", timeout=20)
    assert lines[-1] == LAST % 9


def test_link_to_a_device_in_the_image():
    """It is replaced, and not the device"""
    lines = boot_over(
        "mkfifo /run/device && rm -f /etc/hosts && "
        "ln -s /run/device /etc/hosts",
        "test -p /run/device && echo there; grep localhost /etc/hosts")
    assert "there" in lines
    assert any(l.startswith("127.0.0.1") for l in lines)


def terminal(*env, send=None, timeout=30):
    """Boot on a terminal; write send when the marker "ready" has come."""
    master, slave = pty.openpty()
    p = subprocess.Popen(UNSHARE + [*env, str(INIT)], stdin=slave,
                         stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    out, end = b"", time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            if send and b"ready" in out:
                os.write(master, send)
                send = None
            if select.select([master], [], [], 0.1)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:     # EIO: the other side is gone
                    break
                if not data:
                    break
                out += data
            elif p.poll() is not None:
                break
        p.wait(timeout=5)
    finally:
        p.kill()
        os.close(master)
    return out.decode(errors="replace").replace("\r\n", "\n").splitlines()


def test_controlling_terminal():
    lines = terminal("MSB_EXEC=tty; (echo opened >/dev/tty); exit 6")
    assert any(l.startswith("/dev/pts/") for l in lines)
    assert "opened" in lines
    assert lines[-1] == LAST % 6


def test_interrupt_from_the_terminal():
    lines = terminal("MSB_EXEC=trap 'echo interrupted; exit 8' INT; "
                     "echo ready; while :; do sleep 0.1; done",
                     send=b"\x03")
    assert any(l.endswith("interrupted") for l in lines)
    assert lines[-1] == LAST % 8


def test_the_last_words_are_not_lost():
    lines = terminal("MSB_EXEC=seq 1 50000", timeout=60)
    assert lines[-3:] == ["49999", "50000", LAST % 0]


@pytest.mark.parametrize("flood", ["seq 1 50000", "while :; do echo; done"])
def test_nobody_reads_the_terminal(flood):
    """A full terminal holds up who writes to it, and nobody else"""
    master, slave = pty.openpty()
    agent = ("$(grep -lz '^--pid1$' /proc/[0-9]*/cmdline 2>/dev/null "
             "| head -n 1 | cut -d/ -f 3)")
    begin = time.monotonic()
    # PID 1 mounts a tmpfs on /tmp
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        p = subprocess.Popen(
            UNSHARE + [f"MSB_EXEC=({flood}) & sleep 1; a={agent}; kill -9 $a; "
                       f"sleep 1; b={agent}; echo ${{a:-none}} ${{b:-none}} "
                       f">{d}/agents; exit 3", "MSB_VERBOSE=1",
                       "MSB_STOP_TIMEOUT=1", str(INIT)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        try:
            assert p.wait(timeout=25) == -signal.SIGINT
            a, b = open(f"{d}/agents").read().split()
        finally:
            p.kill()
            os.close(master)
    assert a.isdigit() and b.isdigit() and a != b
    # A second for the leader of the session, two for the last line, and more
    assert time.monotonic() - begin < 20


def test_version_and_help():
    out = subprocess.run([INIT, "--version"], check=True, text=True,
                         stdout=subprocess.PIPE, timeout=10).stdout
    assert re.match(r"msb-init \d+\.\d+\.\d+\n", out)
    out = subprocess.run([INIT, "--help"], check=True, text=True,
                         stdout=subprocess.PIPE, timeout=10).stdout
    assert "usage: msb-init agent" in out
    assert subprocess.run([INIT, "nonsense"], stderr=subprocess.DEVNULL,
                          timeout=10).returncode == 2
