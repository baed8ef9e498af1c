"""Where it is measured: a host's and a guest's namespaces, TAPs, processes.

Namespaces are those of the tests of the network (tests/net/lab.py).  Nothing
leaves them, and what was started here is ended by its pid.
"""
import contextlib
import fcntl
import os
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "net"))
import lab  # noqa: E402

TUNSETIFF, TUNSETOFFLOAD = 0x400454ca, 0x400454d0
TUNSETVNETHDRSZ, TUNSETVNETLE = 0x400454d8, 0x400454dc
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_TCP = 0x01 | 0x02 | 0x04      # CSUM, TSO4, TSO6
TUN_F_USO = 0x20 | 0x40             # USO4, USO6, from Linux 6.2
VNET_HDR_LEN = 12

HOST = "198.51.100.1"               # of the host, as a public address
NET, GUEST, GATEWAY = "10.0.2.0/24", "10.0.2.15", "10.0.2.2"
HZ = os.sysconf("SC_CLK_TCK")
# The windows and ports that kernels have unless somebody has tuned them
SYSCTLS = {"net.ipv4.tcp_tw_reuse": "1",
           "net.ipv4.ip_local_port_range": "10240 65535",
           "net.ipv4.tcp_rmem": "4096 131072 6291456",
           "net.ipv4.tcp_wmem": "4096 16384 4194304"}


def congestion(ns):
    """BBR paces, and would measure itself.

    A namespace may have no more than Reno, whatever its root does; the sockets
    of iperf3 get what it names.
    """
    with contextlib.suppress(OSError):
        ns.sysctl("net.ipv4.tcp_congestion_control", "reno")
    with ns.net(), open("/proc/sys/net/ipv4/"
                        "tcp_available_congestion_control") as f:
        return "cubic" if "cubic" in f.read().split() else "reno"


def namespace():
    ns = lab.Ns()
    for key, value in SYSCTLS.items():
        with contextlib.suppress(OSError):
            ns.sysctl(key, value)
    ns.congestion = congestion(ns)
    return ns


def open_tap(ns, name, offloads, blocking=False, headers=True):
    """A TAP inside a namespace, with virtio-net headers: its descriptor."""
    flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if headers else 0)
    with ns.net():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC |
                     (0 if blocking else os.O_NONBLOCK))
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                               flags))
    if not headers:
        return fd
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", VNET_HDR_LEN))
    fcntl.ioctl(fd, TUNSETVNETLE, struct.pack("i", 1))
    if offloads:
        try:
            fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_TCP | TUN_F_USO)
        except OSError:
            fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_TCP)
    return fd


class Place:
    """The host, for all of the run, and a guest for each column and round."""

    def __init__(self, build):
        self.build = build
        self.tools = build / "bench"
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="msb-bench-"))
        os.chmod(self.tmp, 0o755)
        self.serial = 0
        self.wrapped = 0        # wrapped_s(), when somebody has measured it
        self.host = namespace()
        # Gateways look for an interface with a default route
        self.host.run("sh", "-ec", "ip link add up0 type veth peer name up1; "
                      f"ip addr add {HOST}/24 dev up0; ip link set up0 up; "
                      "ip link set up1 up; "
                      "ip route add default via 198.51.100.254")

    def log(self, name):
        self.serial += 1
        return self.tmp / f"{self.serial}-{name}.log"

    def spawn(self, ns, *argv, log, **kw):
        with open(log, "w") as f:
            return ns.popen(*argv, stdin=subprocess.DEVNULL, stdout=f,
                            stderr=f, **kw)

    def wrapped_s(self, times=9):
        """CPU that starting something in a namespace costs by itself."""
        def once(argv):
            proc = subprocess.Popen(argv)
            return os.wait4(proc.pid, 0)[2]
        cost = [sum(once(self.host.cmd("setpriv", "--pdeathsig", "KILL",
                                       "true"))[:2]) -
                sum(once(["true"])[:2]) for _ in range(times)]
        return max(0, statistics.median(cost))

    def close(self):
        self.host.close()
        shutil.rmtree(self.tmp, ignore_errors=True)


def stop(proc, timeout=3):
    if proc.poll() is None:
        proc.terminate()
        try:
            proc.wait(timeout)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()


def until(cond, what, timeout=5.0):
    return lab.until(cond, what, timeout)


# --- what processes and the machine have used --------------------------------

def tree(pid):
    """A process and all below it."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as f:
                    todo += map(int, f.read().split())
    return found


def isolated(proc):
    """Whether msb-gateway has a packet process that is under seccomp."""
    for pid in tree(proc.pid)[1:]:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as f:
            return "Seccomp:\t2" in f.read()
    return False


def tasks(procs):
    """(pid, thread) of processes and all below them."""
    for pid in (p for proc in procs for p in tree(proc.pid)):
        with contextlib.suppress(OSError):
            for tid in os.listdir(f"/proc/{pid}/task"):
                yield pid, int(tid)


def cpu_s(procs):
    """Seconds of CPU of processes and all below them."""
    total = 0
    for pid, tid in tasks(procs):
        with contextlib.suppress(OSError), open(
                f"/proc/{pid}/task/{tid}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


@contextlib.contextmanager
def on_cpu(cpu, procs):
    """Processes, and all below them, on one CPU meanwhile."""
    def move(where):
        for _, tid in tasks(procs):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, where)
    everywhere = os.sched_getaffinity(0)
    move({cpu})
    try:
        yield
    finally:
        move(everywhere)


def busy_s():
    """Seconds that all CPUs together were not idle."""
    with open("/proc/stat") as f:
        field = [int(x) for x in f.readline().split()[1:]]
    return (sum(field[:3]) + sum(field[5:8])) / HZ


def memory_kib(procs, key):
    """Rss or Pss of processes and all below them; None if we may not know."""
    total = 0
    for pid in (p for proc in procs for p in tree(proc.pid)):
        name, file = ("VmRSS", "status") if key == "Rss" else (
            key, "smaps_rollup")
        try:
            with open(f"/proc/{pid}/{file}") as f:
                total += sum(int(line.split()[1]) for line in f
                             if line.startswith(name + ":"))
        except (FileNotFoundError, ProcessLookupError):
            continue        # a helper of theirs that has ended meanwhile
        except OSError:
            return None
    return total


def cpus():
    return os.cpu_count() or 1


def nap(seconds):
    time.sleep(seconds)
