"""The laboratory: a guest and a host, each in namespaces of its own.

The host's namespace has an address on which servers of the tests listen, and
msb-gateway; the guest's has msb-init agent.  They share nothing but the Unix
socket between them.  Nothing here touches the network, /etc or /run of the
machine that runs the tests.

Sockets are made in either namespace by this process (Ns.socket): a socket stays
where it was made, whoever uses it, so servers and clients are threads here.
"""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import re
import select
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ.get("MSB_BUILD", "build")).resolve()
GATEWAY = BUILD / "host" / "msb-gateway"
INIT = BUILD / "guest" / "msb-init"

# One of each family: of the guest, the gateway, and the host ("public")
GUEST4, GUEST6 = "100.96.0.2", "fd42:6d73:62::2"
GW4, GW6 = "100.96.0.1", "fd42:6d73:62::1"
HOST4, HOST6 = "198.51.100.1", "2001:db8:1::1"
OTHER4, OTHER6 = "198.51.100.2", "2001:db8:1::2"
HOLE4, HOLE6 = "203.0.113.1", "2001:db8:dead::1"     # a route into nowhere
NOROUTE4, NOROUTE6 = "192.0.2.1", "2001:db8:2::1"    # no route at all
DENIED4, DENIED6 = "10.1.2.3", "fd99::1"             # private: not in --net
MAC, GW_MAC = "02:6d:73:00:00:02", "02:6d:73:00:00:01"
LOOP = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
GW = {socket.AF_INET: GW4, socket.AF_INET6: GW6}
HOST = {socket.AF_INET: HOST4, socket.AF_INET6: HOST6}

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
FAMILIES = [socket.AF_INET, socket.AF_INET6]


def family_id(x):
    """For pytest.mark.parametrize."""
    return {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}.get(x)


def family_of(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def until(cond, what, timeout=5.0, step=0.02):
    """Wait until cond() is true; its value."""
    end = time.monotonic() + timeout
    while True:
        value = cond()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {timeout} s: {what}")
        time.sleep(step)


def cpu_s(pid):
    """Of a process so far."""
    with open(f"/proc/{pid}/stat") as f:
        t = f.read().rsplit(")", 1)[1].split()
    return (int(t[11]) + int(t[12])) / os.sysconf("SC_CLK_TCK")


def setns(fd):
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Ns:
    """Namespaces for network and mounts; they end with this process."""

    def __init__(self):
        # cat ends when the pipe does, even if pytest is killed
        self.hold = subprocess.Popen(
            ["unshare", "-nm", "sh", "-ec",
             "mount -t tmpfs -o mode=755 none /etc; "
             "mount -t tmpfs -o mode=755 none /run; "
             "ip link set lo up; echo up; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.hold.stdout.readline() == "up\n"
        self.path = f"/proc/{self.hold.pid}/ns/net"
        assert os.readlink(self.path) != os.readlink("/proc/self/ns/net")
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.procs = []

    @contextlib.contextmanager
    def net(self):
        """The calling thread is in this network namespace meanwhile."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self.fd)
            try:
                yield
            finally:
                setns(own)
        finally:
            os.close(own)

    def socket(self, family, kind=socket.SOCK_STREAM, proto=0, timeout=10):
        with self.net():
            s = socket.socket(family, kind, proto)
        s.settimeout(timeout)
        return s

    def connect(self, addr, port, timeout=10, **kw):
        s = self.socket(family_of(addr), timeout=timeout, **kw)
        try:
            s.connect((addr, port))
        except OSError:
            s.close()
            raise
        return s

    def listen(self, addr, port=0, backlog=4096):
        s = self.socket(family_of(addr))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if s.family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((addr, port))
        s.listen(backlog)
        return s

    def udp(self, addr, port=0):
        s = self.socket(family_of(addr), socket.SOCK_DGRAM, timeout=3)
        s.bind((addr, port))
        return s

    def cmd(self, *argv):
        return ["nsenter", f"-t{self.hold.pid}", "-n", "-m", "--",
                *map(str, argv)]

    def popen(self, *argv, prefix=(), **kw):
        # Whoever is left over when this process is killed dies too
        p = subprocess.Popen(self.cmd("setpriv", "--pdeathsig", "KILL",
                                      *prefix, *argv), **kw)
        self.procs.append(p)
        return p

    def run(self, *argv, check=True, timeout=20):
        p = subprocess.run(self.cmd(*argv), text=True, timeout=timeout,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
        assert not check or p.returncode == 0, f"{argv}: {p.stdout}"
        return p.stdout

    def sysctl(self, key, value):
        with self.net(), open("/proc/sys/" + key.replace(".", "/"), "w") as f:
            f.write(str(value))

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                p.kill()
            p.wait()
        os.close(self.fd)
        self.hold.stdin.close()
        self.hold.stdout.close()
        self.hold.kill()
        self.hold.wait()


class Hole:
    """A route into a TUN that nobody reads: whatever goes there is silent."""

    def __init__(self, ns):
        with ns.net():
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK |
                              os.O_CLOEXEC)
            fcntl.ioctl(self.fd, 0x400454ca,                 # TUNSETIFF
                        struct.pack("16sH22x", b"hole", 0x1001))
        ns.run("sh", "-ec", "ip link set hole up; "
               f"ip route add {HOLE4}/32 dev hole; "
               f"ip -6 route add {HOLE6}/128 dev hole")

    def packets(self):
        """What went there so far, without the 4 bytes of metadata."""
        got = []
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(os.read(self.fd, 65536))
        return got

    def close(self):
        os.close(self.fd)


class Log:
    """A file that a process writes, and that a test waits for lines in."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "a")

    @property
    def text(self):
        return self.path.read_text(errors="replace")

    def lines(self, pattern):
        return re.findall(pattern, self.text)

    def wait(self, pattern, n=1, timeout=5.0):
        return until(lambda: len(self.lines(pattern)) >= n and
                     self.lines(pattern), f"no {n} x {pattern!r} in\n"
                     + self.text[-3000:], timeout)


class Gateway:
    """msb-gateway run on the host, and its packet process."""

    def __init__(self, lab, *args, prefix=(), pass_fds=()):
        self.lab, self.args = lab, list(map(str, args))
        self.log = Log(lab.tmp / f"gateway{len(lab.gateways)}.log")
        lab.gateways.append(self)
        self.proc = lab.host.popen(
            GATEWAY, "run", "--unix", lab.sock, "--log-level", "debug",
            "--ipv4", "on", "--ipv6", "on", *self.args, prefix=prefix,
            stdin=subprocess.DEVNULL, stdout=self.log.file,
            stderr=self.log.file, pass_fds=pass_fds)
        self.wait_serving()

    def wait_serving(self, n=1):
        self.log.wait("isolated and serves", n)

    @property
    def pid(self):
        """Of the packet process, or None."""
        try:
            with open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children"
                      ) as f:
                pids = f.read().split()
        except FileNotFoundError:
            return None
        return int(pids[0]) if pids else None

    def status(self):
        """/proc/PID/status of the packet process as a dict."""
        with open(f"/proc/{self.pid}/status") as f:
            return dict(line.split(":\t", 1) for line in
                        f.read().replace("\t ", "\t").splitlines())

    def rss_kib(self):
        return int(self.status()["VmRSS"].split()[0])

    def stop(self):
        """Ended in order: its exit code."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        return self.proc.wait(5)

    def counts(self):
        """Stopped; what it counted as dropped."""
        self.stop()
        return {k: int(n) for k, n in
                self.log.lines(r"(drop_\w+): (\d+)")}


class Agent:
    """msb-init agent in the guest, started as PID 1 would."""

    def __init__(self, lab, *args, token=None, env=None):
        self.lab = lab
        self.log = Log(lab.tmp / f"agent{len(lab.agents)}.log")
        lab.agents.append(self)
        env = {**lab.guest_env(), "PATH": os.environ["PATH"], **(env or {})}
        self.ready, wr = os.pipe()
        fds = [wr]
        env["MSB_READY_FD"] = str(wr)
        if token:
            rd, tw = os.pipe()
            os.write(tw, token.encode() + b"\n")
            os.close(tw)
            env["MSB_TOKEN_FD"] = str(rd)
            fds.append(rd)
        self.proc = lab.guest.popen(
            INIT, "agent", "--pid1", "--log-level", "debug", *args,
            stdin=subprocess.DEVNULL, stdout=self.log.file,
            stderr=self.log.file, env=env, pass_fds=fds)
        for fd in fds:
            os.close(fd)
        self.text = ""

    def hear(self, key, timeout=5.0):
        """The value of a key that came, or comes, over the ready pipe."""
        end = time.monotonic() + timeout
        while True:
            said = dict(x.split("=", 1)
                        for x in self.text.split("\n")[:-1])
            if key in said:
                return said[key]
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.ready], [], [], left)[0]:
                raise AssertionError(f"agent: no {key}, only {said}\n"
                                     f"{self.log.text}")
            more = os.read(self.ready, 4096).decode()
            assert more, f"the agent has ended: {said}\n{self.log.text}"
            self.text += more

    def up(self, timeout=5.0):
        self.hear("READY", timeout)
        self.hear("T_CONNECTED", timeout)
        return self

    def kill(self, sig=signal.SIGKILL):
        self.proc.send_signal(sig)
        self.proc.wait(5)

    def close(self):
        os.close(self.ready)


class Bare:
    """A peer of the gateway in this process: u32 length and frame.

    It answers ARP and neighbour solicitations for the guest's addresses, as
    the guest's kernel would, whenever it reads.
    """

    def __init__(self, path, timeout=5):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.timeout = timeout
        self.buf = b""

    def send(self, *frames):
        self.sock.settimeout(self.timeout)
        raw = [bytes(f) for f in frames]
        self.sock.sendall(b"".join(struct.pack(">I", len(f)) + f
                                   for f in raw))

    def drain(self, quiet=0.0):
        """Forget what has come, until nothing comes for @quiet seconds."""
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while True:
                self._take(time.monotonic() + quiet)

    def _take(self, end):
        if len(self.buf) >= 4:
            n = struct.unpack(">I", self.buf[:4])[0]
            if len(self.buf) >= 4 + n:
                frame, self.buf = self.buf[4:4 + n], self.buf[4 + n:]
                return frame
        self.sock.settimeout(max(0, end - time.monotonic()))
        more = self.sock.recv(1 << 20)
        if not more:
            raise ConnectionResetError("the gateway has hung up")
        self.buf += more
        return None

    def recv(self, want=None, timeout=3):
        """The next frame for which want(Ether) is true, or None in time."""
        from scapy.layers.inet6 import (ICMPv6ND_NA, ICMPv6ND_NS,
                                        ICMPv6NDOptDstLLAddr, IPv6)
        from scapy.layers.l2 import ARP, Ether
        end = time.monotonic() + timeout
        while True:
            try:
                raw = self._take(end)
            except (TimeoutError, BlockingIOError):
                return None
            if not raw:
                continue
            p = Ether(raw)
            if ARP in p and p[ARP].op == 1 and p[ARP].pdst == GUEST4:
                self.send(Ether(src=MAC, dst=p.src) / ARP(
                    op=2, hwsrc=MAC, psrc=GUEST4, hwdst=p.src,
                    pdst=p[ARP].psrc))
            elif ICMPv6ND_NS in p and p[ICMPv6ND_NS].tgt == GUEST6:
                self.send(Ether(src=MAC, dst=p.src) / IPv6(
                    src=GUEST6, dst=p[IPv6].src, hlim=255) / ICMPv6ND_NA(
                        tgt=GUEST6, S=1, O=1) / ICMPv6NDOptDstLLAddr(
                            lladdr=MAC))
            if not want or want(p):
                return p

    def close(self):
        self.sock.close()


class Lab:
    def __init__(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="msb-net-"))
        os.chmod(self.tmp, 0o755)
        self.sock = str(self.tmp / "gw.sock")
        self.gateways, self.agents, self.closers = [], [], []
        self.host, self.guest, self.hole = Ns(), Ns(), None
        # Even on lo an IPv6 address is tentative until a kernel thread has run,
        # and until then no socket can be bound to it
        self.host.run("sh", "-ec", "".join(
            f"ip addr add {a} dev lo;" for a in (
                f"{HOST4}/32", f"{OTHER4}/32", f"{DENIED4}/32",
                f"{HOST6}/128 nodad", f"{OTHER6}/128 nodad",
                f"{DENIED6}/128 nodad")))
        self.hole = Hole(self.host)

    def guest_env(self):
        """What the guest is told, by the gateway's own word."""
        out = subprocess.run(
            [GATEWAY, "env", "--ipv4", "on", "--ipv6", "on"], check=True,
            stdout=subprocess.PIPE, text=True).stdout
        env = dict(line.split("=", 1) for line in out.splitlines() if line)
        env["MSB_LINK"] = f"unix:{self.sock}"
        return env

    def start(self, *args, **kw):
        """Gateway and agent, connected."""
        self.gateway(*args, **kw)
        return self.agent()

    def gateway(self, *args, net="public,host", ping="0 0", **kw):
        """@ping: groups that may ping; 0 is there without real root too."""
        if ping:
            self.host.sysctl("net.ipv4.ping_group_range", ping)
        self.gw = Gateway(self, "--net", net, *args, **kw)
        return self.gw

    def agent(self, *args, **kw):
        self.ag = Agent(self, *args, **kw).up()
        return self.ag

    def bare(self):
        return self.own(Bare(self.sock))

    def own(self, thing):
        """Closed with the lab."""
        self.closers.append(thing.close)
        return thing

    def sane(self):
        """The link carries, and nobody has died: what every test ends with."""
        assert self.gw.proc.poll() is None, "the gateway has ended"
        assert "packet process ended" not in self.gw.log.text
        self.guest.run("ping", "-c1", "-W3", GW4)
        self.guest.run("ping", "-c1", "-W3", GW6)

    def logs(self):
        out = []
        for log in [g.log for g in self.gateways] + [
                a.log for a in self.agents]:
            lines = log.text.splitlines()
            out += [f"--- {log.path.name}", *lines[:15]]
            if len(lines) > 55:
                out.append(f"... {len(lines) - 55} lines ...")
            out += lines[15:][-40:]
        return "\n".join(out)

    def close(self):
        for close in reversed(self.closers):
            with contextlib.suppress(OSError):
                close()
        for a in self.agents:
            a.close()
        for g in self.gateways:
            with contextlib.suppress(subprocess.TimeoutExpired):
                g.stop()
        for ns in (self.guest, self.host):
            ns.close()
        if self.hole:
            self.hole.close()
        for x in self.gateways + self.agents:
            x.log.file.close()
        shutil.rmtree(self.tmp, ignore_errors=True)


class Server:
    """Threads that call fn(connection) for whoever connects."""

    def __init__(self, listener, fn):
        self.listener, self.fn = listener, fn
        self.port = listener.getsockname()[1]
        self.errors = []
        listener.settimeout(None)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn = self.listener.accept()[0]
            except OSError:
                return
            conn.settimeout(30)
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _serve(self, conn):
        try:
            with conn:
                self.fn(conn)
        except Exception as e:      # told to the test by check()
            self.errors.append(e)

    def check(self):
        assert not self.errors, self.errors

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Echo:
    """One thread that echoes on any number of connections."""

    def __init__(self, *listeners):
        self.sel = selectors.DefaultSelector()
        self.port = listeners[0].getsockname()[1]
        self.pending = {}
        self.wake, self.waker = socket.socketpair()
        self.sel.register(self.wake, selectors.EVENT_READ)
        self.listeners = listeners
        for s in listeners:
            s.setblocking(False)
            self.sel.register(s, selectors.EVENT_READ)
        self.accepted = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            for key, _ in self.sel.select():
                if key.fileobj is self.wake:
                    return
                if key.fileobj in self.listeners:
                    self._accept(key.fileobj)
                else:
                    self._turn(key.fileobj)

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            conn = listener.accept()[0]
            conn.setblocking(False)
            self.accepted += 1
            self.sel.register(conn, selectors.EVENT_READ)

    def _turn(self, conn):
        out = self.pending.pop(conn, b"")
        try:
            if not out:
                out = conn.recv(65536)
                if not out:
                    raise ConnectionResetError
            n = conn.send(out)
        except BlockingIOError:
            n = 0
        except OSError:
            self.sel.unregister(conn)
            conn.close()
            return
        if n < len(out):
            self.pending[conn] = out[n:]
            self.sel.modify(conn, selectors.EVENT_WRITE)
        else:
            self.sel.modify(conn, selectors.EVENT_READ)

    def close(self):
        self.waker.send(b"x")
        self.thread.join(5)
        for key in list(self.sel.get_map().values()):
            key.fileobj.close()
        self.sel.close()
        self.waker.close()
