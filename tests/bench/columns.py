"""What is measured: each column starts one way from the guest to the host."""
import os
import shutil
import socket
import struct
import subprocess

import place as p
from place import lab


QUEUE = 10000
START = 8.0     # seconds until a gateway that is slow today has started
# What is asked of those that differ little from another: a run has an end
BRIEF = ("tcp_*_mtu1500_*", "rr*", "crr*")


def probe(sock, mac, addr):
    """An ARP probe, so that a gateway behind a socket has heard of a guest."""
    mac = bytes.fromhex(mac)
    frame = (b"\xff" * 6 + mac + bytes.fromhex("08060001080006040001") +
             mac + bytes(4) + bytes(6) + socket.inet_aton(addr))
    sock.sendall(struct.pack(">I", len(frame)) + frame)


class Column:
    """One way in which a guest reaches the host.

    target    the address by which the guest reaches the host's servers
    procs     the gateway: what CPU and memory are counted of
    helpers   what else the frames pass on the way
    cpu       CPU that processes had used when they were ready, seconds
    """
    name = target = None
    gateway = False         # it has flows, and memory for each
    only = ()               # rows that it is asked for, if not all

    def __init__(self, place, build, mtu=1500, flows=None, args=()):
        self.place, self.build = place, build
        self.mtu, self.flows, self.extra = mtu, flows, args
        self.guest, self.procs, self.helpers, self.fds = None, [], [], []
        self.cpu = {}

    @classmethod
    def missing(cls, build):
        """Why it cannot be measured here, or None."""
        return None

    def start(self):
        self.guest = p.namespace()
        try:
            self.connect()
            # Of 1000, a TAP's own, peers without offloads overrun the queue
            self.guest.run("ip", "link", "set", "eth0", "txqueuelen", QUEUE)
        except BaseException:
            self.stop()
            raise
        return self

    def connect(self):
        raise NotImplementedError

    def start_many(self, n):
        """n idle gateways, each with a guest that has said something."""
        self.guest = p.namespace()
        try:
            for i in range(n):
                self.connect_one(i)
        except BaseException:
            self.stop()
            raise
        return self

    def connect_one(self, i):
        raise NotImplementedError

    def wait_for(self, want, where=None):
        """Until the guest has an address or the like."""
        def there():
            for proc in self.procs:
                assert proc.poll() is None, f"{self.name} has ended: " + \
                    self.said(proc)
            return want in (where or self.guest).run(
                "ip", "-br", "addr", check=False)
        p.until(there, f"{self.name}: no {want}", START)

    def said(self, proc):
        """The last line of what a process wrote."""
        lines = proc.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"

    def spawn(self, ns, *argv, helper=False, **kw):
        log = self.place.log(self.name)
        proc = self.place.spawn(ns, *argv, log=log, **kw)
        proc.log = log
        (self.helpers if helper else self.procs).append(proc)
        return proc

    def address(self, dev, addr, via, mac=None):
        self.guest.run("sh", "-ec", (
            f"ip link set {dev} address {mac};" if mac else "") +
            f"ip addr add {addr} dev {dev}; "
            f"ip link set {dev} mtu {self.mtu} up; "
            f"ip route add default via {via}")

    def dial(self, path, proc):
        """The stream socket of a gateway, as soon as it listens."""
        sock = socket.socket(socket.AF_UNIX)
        self.fds.append(sock)

        def there():
            assert proc.poll() is None, f"{self.name} has ended: " + \
                self.said(proc)
            return sock.connect_ex(str(path)) == 0
        p.until(there, f"{self.name}: nobody listens", START)
        return sock

    def forward(self, sock):
        """eth0, and what carries its plain frames to a stream socket."""
        tap = p.open_tap(self.guest, "eth0", False, blocking=True,
                         headers=False)
        self.fds.append(tap)
        fds = [tap, sock.fileno()]
        self.spawn(self.guest, self.place.tools / "tapsock", *fds,
                   helper=True, pass_fds=fds)

    def stop(self):
        for proc in self.helpers + self.procs:
            if proc.poll() is None:
                proc.terminate()
        for proc in self.helpers + self.procs:
            p.stop(proc)
        for fd in self.fds:
            fd.close() if isinstance(fd, socket.socket) else os.close(fd)
        self.fds = []
        if self.guest:
            self.guest.close()
        self.guest, self.procs, self.helpers = None, [], []


class Veth(Column):
    """The kernel alone: no user space can be faster."""
    name, target = "veth", p.GATEWAY

    def connect(self):
        host = self.place.host
        self.guest.run("sh", "-ec", "ip link add eth0 type veth peer name gv0;"
                       f"ip link set gv0 netns {host.hold.pid}")
        host.run("sh", "-ec", f"ip addr add {p.GATEWAY}/24 dev gv0; "
                 f"ip link set gv0 mtu {self.mtu} up")
        self.address("eth0", p.GUEST + "/24", p.GATEWAY)

    def stop(self):
        # The other end goes with it, and does not wait for the namespace to
        if self.guest:
            self.place.host.run("ip", "link", "del", "gv0", check=False)
        super().stop()


class Bridge(Column):
    """TAP to TAP, plain frames: what moving each frame twice costs."""
    name, target, offloads = "bridge", p.GATEWAY, False

    def connect(self):
        host = self.place.host
        self.fds = [p.open_tap(ns, dev, self.offloads, blocking=True)
                    for ns, dev in ((self.guest, "eth0"), (host, "gv0"))]
        self.spawn(host, self.place.tools / "bridge", *self.fds,
                   pass_fds=self.fds)
        host.run("sh", "-ec", f"ip addr add {p.GATEWAY}/24 dev gv0; "
                 f"ip link set gv0 mtu {self.mtu} up; "
                 f"ip link set gv0 txqueuelen {QUEUE}")
        self.address("eth0", p.GUEST + "/24", p.GATEWAY)


class BridgeOffload(Bridge):
    """TAP to TAP, with offloads: the ceiling of a gateway in user space."""
    name, offloads = "bridge-offload", True


class Ours(Column):
    """msb-init agent and msb-gateway over a Unix socket, as in a VM."""
    name, target, gateway = "ours", p.HOST, True
    flags = ()

    def run(self, *args, slot=0, ipv6="off", **kw):
        most = [] if not self.flows else ["--max-connections",
                                          self.flows + 64]
        proc = self.spawn(self.place.host, lab.GATEWAY, "run", "--slot", slot,
                          "--ipv4", "on", "--ipv6", ipv6, "--mtu", self.mtu,
                          *most, *args, *self.flags, *self.extra, **kw)

        def serves():
            assert proc.poll() is None, f"{self.name} has ended: " + \
                self.said(proc)
            return p.isolated(proc)
        p.until(serves, f"{self.name}: the gateway does not start", START)
        return proc

    def connect(self):
        sock = self.place.tmp / "gw.sock"
        proc = self.run("--unix", sock)
        p.nap(0.02)
        self.cpu["start"] = p.cpu_s([proc])
        out = subprocess.run(
            [lab.GATEWAY, "env", "--ipv4", "on", "--ipv6", "off", "--mtu",
             str(self.mtu)], check=True, stdout=subprocess.PIPE,
            text=True).stdout
        env = dict(x.split("=", 1) for x in out.splitlines() if x)
        env.update(PATH=os.environ["PATH"], MSB_LINK=f"unix:{sock}")
        agent = self.spawn(self.guest, lab.INIT, "agent", env=env, helper=True)
        p.until(lambda: ": connected, offloads" in agent.log.read_text(),
                f"{self.name}: the agent does not connect", START)
        self.cpu["agent_start"] = p.cpu_s([agent])

    def connect_one(self, i):
        path = self.place.tmp / f"gw{i}.sock"
        proc = self.run("--unix", path, slot=i, ipv6="on")
        probe(self.dial(path, proc), "026d73%04x02" % i,
              f"100.96.{i >> 6}.{(i & 63) * 4 + 1}")


class OursTap(Ours):
    """msb-gateway on the TAP itself, which is what pasta does."""
    name = "ours-tap"

    def tap(self, dev, **kw):
        fd = p.open_tap(self.guest, dev, False)
        self.fds.append(fd)
        return self.run("--tap-fd", fd, pass_fds=[fd], **kw)

    def connect(self):
        proc = self.tap("eth0")
        p.nap(0.02)
        self.cpu["start"] = p.cpu_s([proc])
        self.address("eth0", lab.GUEST4 + "/30", lab.GW4, lab.MAC)

    def connect_one(self, i):
        self.tap(f"tap{i}", slot=i, ipv6="on")


class OursBare(Ours):
    """As ours, with plain frames."""
    name, flags = "ours-bare", ("--no-offload",)


class OursStream(Ours):
    """msb-gateway for a VMM that sends plain frames over a stream socket.

    What carries them is the same as for passt.
    """
    name = "ours-stream"
    only = BRIEF

    def connect(self):
        path = self.place.tmp / "gw.sock"
        self.forward(self.dial(path, self.run("--unix", path)))
        self.address("eth0", lab.GUEST4 + "/30", lab.GW4, lab.MAC)


class Peer(Column):
    target, gateway, variable, ready = p.HOST, True, None, None

    @classmethod
    def program(cls, build):
        """The one that the environment names, or the system's."""
        return os.environ.get(cls.variable) or shutil.which(cls.name)

    @classmethod
    def missing(cls, build):
        path = cls.program(build)
        if path and os.access(path, os.X_OK):
            return None
        return f"{path or cls.name} is not there; {cls.variable}=PATH names one"

    def netns(self):
        """The guest's namespace as a file: /proc is not for everybody."""
        file = f"/run/{self.guest.hold.pid}"
        self.place.host.run("sh", "-ec", f"[ -e {file} ] || {{ touch {file}; "
                            f"mount --bind {self.guest.path} {file}; }}")
        return file

    def command(self, dev, configure):
        raise NotImplementedError

    def peer(self, dev, configure):
        return self.spawn(self.place.host, self.program(self.build),
                          *self.command(dev, configure))

    def connect(self):
        proc = self.peer("eth0", True)
        self.wait_for(self.ready)
        self.cpu["start"] = p.cpu_s([proc])

    def connect_one(self, i):
        dev = f"tap{i}"
        self.peer(dev, False)
        p.until(lambda: f"{dev}@" in (out := self.guest.run("ip", "-br",
                                                            "link")) or
                f"{dev} " in out, f"{self.name}: no {dev}", START)

    def stop(self):
        if self.guest:
            self.place.host.run("umount", f"/run/{self.guest.hold.pid}",
                                check=False)
        super().stop()


class Pasta(Peer):
    name, variable, ready = "pasta", "PASTA", p.GUEST

    def command(self, dev, configure):
        return ["-f", *(["--config-net"] if configure else []), "--runas",
                "0", "--netns-only", "--netns", self.netns(), "-I", dev,
                "-a", p.GUEST, "-n", "24", "-g", p.GATEWAY, "-m", self.mtu,
                "-4", "-t", "none", "-u", "none", "-T", "none", "-U", "none"]


class PastaNew(Pasta):
    """A current one: how it fares and which wins differs between machines."""
    name, variable = "pasta-new", "PASTA_NEW"

    @classmethod
    def program(cls, build):
        return os.environ.get(cls.variable) or str(build / "peers" / "pasta")


class Passt(Peer):
    """Plain frames over a stream socket, which is what a VMM gives passt."""
    name, variable, only = "passt", "PASST", BRIEF

    def listen(self, i=0):
        """A passt, and the socket that it serves until that is closed."""
        path = self.place.tmp / f"passt{i}.sock"
        path.unlink(missing_ok=True)
        # As root it would become nobody, whom our namespaces do not know
        return self.dial(path, self.spawn(
            self.place.host, "unshare", "-Ur", self.program(self.build), "-f",
            "-1", "-s", path, "-a", p.GUEST, "-n", "24", "-g", p.GATEWAY,
            "-m", self.mtu, "-4", "-t", "none", "-u", "none"))

    def connect(self):
        self.forward(self.listen())
        self.address("eth0", p.GUEST + "/24", p.GATEWAY)

    def connect_one(self, i):
        probe(self.listen(i), "026d73%04x02" % i, p.GATEWAY)


class PasstNew(Passt):
    """A current one: down it takes half the CPU, up the other is faster."""
    name, variable, only = "passt-new", "PASST_NEW", ()

    @classmethod
    def program(cls, build):
        return os.environ.get(cls.variable) or str(build / "peers" / "passt")


class Slirp4netns(Peer):
    name, variable, ready = "slirp4netns", "SLIRP4NETNS", "10.0.2.100"

    def command(self, dev, configure):
        return [*(["-c"] if configure else []), f"--mtu={self.mtu}",
                "--netns-type=path", self.netns(), dev]


ALL = [Ours, OursTap, OursBare, OursStream, Pasta, PastaNew, Passt,
       PasstNew, Slirp4netns, Bridge, BridgeOffload, Veth]
