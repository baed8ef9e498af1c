"""What is measured: each column starts one way from the guest to the host."""
import os
import shutil
import subprocess

import place as p
from place import lab


QUEUE = 10000


class Column:
    """One way in which a guest reaches the host.

    target    the address by which the guest reaches the host's servers
    procs     the gateway: what CPU and memory are counted of
    helpers   what else the frames pass on the way
    """
    name = target = None
    peer = False
    offloads = True

    def __init__(self, place, build):
        self.place, self.build = place, build
        self.guest, self.procs, self.helpers, self.fds = None, [], [], []

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

    def wait_for(self, want, where=None):
        """Until the guest has an address or the like."""
        p.until(lambda: want in (where or self.guest).run(
            "ip", "-br", "addr", check=False), f"{self.name}: no {want}")

    def spawn(self, ns, *argv, **kw):
        proc = self.place.spawn(ns, *argv, log=self.place.log(self.name), **kw)
        self.procs.append(proc)
        return proc

    def address(self, dev, addr, via, mac=None):
        self.guest.run("sh", "-ec", (
            f"ip link set {dev} address {mac};" if mac else "") +
            f"ip addr add {addr} dev {dev}; ip link set {dev} mtu 1500 up; "
            f"ip route add default via {via}")

    def stop(self):
        for proc in self.helpers + self.procs:
            p.stop(proc)
        for fd in self.fds:
            os.close(fd)
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
                 "ip link set gv0 mtu 1500 up")
        self.address("eth0", p.GUEST + "/24", p.GATEWAY)

    def stop(self):
        # The other end goes with it, and does not wait for the namespace to
        if self.guest:
            self.place.host.run("ip", "link", "del", "gv0", check=False)
        super().stop()


class Bridge(Column):
    """TAP to TAP, with offloads: the ceiling of a gateway in user space."""
    name, target = "bridge", p.GATEWAY

    def connect(self):
        host = self.place.host
        self.fds = [p.open_tap(self.guest, "eth0", True, blocking=True),
                    p.open_tap(host, "gv0", True, blocking=True)]
        self.spawn(host, self.place.tools / "bridge", *self.fds,
                   pass_fds=self.fds)
        host.run("sh", "-ec", f"ip addr add {p.GATEWAY}/24 dev gv0; "
                 "ip link set gv0 mtu 1500 up")
        self.address("eth0", p.GUEST + "/24", p.GATEWAY)


class Ours(Column):
    """msb-init agent and msb-gateway over a Unix socket, as in a VM."""
    name, target = "ours", p.HOST
    args = ()

    def gateway(self, *args, **kw):
        log = self.place.log("gateway")
        proc = self.place.spawn(
            self.place.host, lab.GATEWAY, "run", "--ipv4", "on", "--ipv6",
            "off", *args, *self.args, *os.environ.get(
                "BENCH_GATEWAY_ARGS", "").split(), log=log, **kw)
        self.procs.append(proc)
        p.until(lambda: p.isolated(proc),
                f"{self.name}: the gateway does not start")

    def connect(self):
        sock = self.place.tmp / "gw.sock"
        self.gateway("--unix", sock)
        out = subprocess.run([lab.GATEWAY, "env", "--ipv4", "on", "--ipv6",
                              "off"], check=True, stdout=subprocess.PIPE,
                             text=True).stdout
        env = dict(x.split("=", 1) for x in out.splitlines() if x)
        env.update(PATH=os.environ["PATH"], MSB_LINK=f"unix:{sock}")
        log = self.place.log("agent")
        self.helpers.append(self.place.spawn(
            self.guest, lab.INIT, "agent", env=env, log=log))
        p.until(lambda: ": connected, offloads" in log.read_text(),
                f"{self.name}: the agent does not connect")


class OursTap(Ours):
    """msb-gateway on the TAP itself, which is what pasta does."""
    name = "ours-tap"

    def connect(self):
        fd = p.open_tap(self.guest, "eth0", False)
        self.fds = [fd]
        self.gateway("--tap-fd", fd, pass_fds=[fd])
        self.address("eth0", lab.GUEST4 + "/30", lab.GW4, lab.MAC)


class OursBare(Ours):
    """As ours, with plain frames of 1500 bytes."""
    name, args, offloads = "ours-bare", ("--no-offload",), False


class Peer(Column):
    target, peer, variable, offloads = p.HOST, True, None, False

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
        self.place.host.run("sh", "-ec", f"touch {file}; "
                            f"mount --bind {self.guest.path} {file}")
        return file

    def stop(self):
        if self.guest:
            self.place.host.run("umount", f"/run/{self.guest.hold.pid}",
                                check=False)
        super().stop()


class Pasta(Peer):
    name, variable = "pasta", "PASTA"

    def connect(self):
        self.spawn(self.place.host, self.program(self.build), "-f",
                   "--config-net", "--runas", "0", "--netns-only", "--netns",
                   self.netns(), "-I", "eth0", "-a", p.GUEST, "-n", "24",
                   "-g", p.GATEWAY, "-m", "1500", "-4", "-t", "none", "-u",
                   "none", "-T", "none", "-U", "none")
        self.wait_for(p.GUEST)


class PastaNew(Pasta):
    """A current one: how it fares and which wins differs between machines."""
    name, variable = "pasta-new", "PASTA_NEW"

    @classmethod
    def program(cls, build):
        return os.environ.get(cls.variable) or str(build / "peers" / "pasta")


class Slirp4netns(Peer):
    name, variable = "slirp4netns", "SLIRP4NETNS"

    def connect(self):
        self.spawn(self.place.host, self.program(self.build), "-c",
                   "--mtu=1500", "--netns-type=path", self.netns(), "eth0")
        self.wait_for("10.0.2.100")


ALL = [Veth, Bridge, OursTap, Ours, OursBare, Pasta, PastaNew,
       Slirp4netns]
