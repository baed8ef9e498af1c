"""A guest's namespaces with msb-init agent in them, and a peer in Python.

The agent changes addresses, /etc and /run, so it only ever runs inside
namespaces made here: /etc and /run are a tmpfs there.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import time

import pytest

BUILD = os.environ.get("MSB_BUILD", "build")
AGENT = os.environ.get("MSB_INIT", os.path.join(BUILD, "guest", "msb-init"))
MAC = "02:6d:73:00:01:02"
GW_MAC = bytes.fromhex("026d73000101")
NET = {
    "MSB_NET": f"iface=eth0,mac={MAC},mtu=1400",
    "MSB_NET_IPV4": "addr=100.96.0.6/30,gw=100.96.0.5,dns=100.96.0.5",
    "MSB_NET_IPV6": "addr=fd42:6d73:62:1::2/64,gw=fd42:6d73:62:1::1,"
                    "dns=fd42:6d73:62:1::1",
    "MSB_HOST_ALIAS": "host.microsandbox.internal",
}
RESOLV = "nameserver 100.96.0.5\nnameserver fd42:6d73:62:1::1\n"
ALL = 0x1f


def until(cond, timeout=5.0):
    """Wait until cond() is true; its value."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = cond()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("time is up")


class Guest:
    """A namespace for one guest, held open by a sleeping process."""

    def __init__(self, tmp):
        self.tmp = tmp
        self.sock = str(tmp / "gw.sock")
        self.hold = subprocess.Popen(
            ["unshare", "-nmu", "sh", "-c",
             "mount -t tmpfs -o mode=755 none /etc && "
             "mount -t tmpfs -o mode=755 none /run && echo up && "
             "exec sleep 600"], stdout=subprocess.PIPE, text=True)
        assert self.hold.stdout.readline() == "up\n"
        for ns in ("net", "mnt", "uts"):
            assert (os.readlink(f"/proc/{self.hold.pid}/ns/{ns}") !=
                    os.readlink(f"/proc/self/ns/{ns}"))
        self.agents = []

    def cmd(self, *argv):
        return ["nsenter", f"-t{self.hold.pid}", "-n", "-m", "-u", *argv]

    def run(self, *argv, check=True, **kw):
        return subprocess.run(self.cmd(*argv), check=check, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **kw).stdout

    def sh(self, script):
        return self.run("sh", "-ec", script)

    def read(self, path):
        return self.run("cat", path)

    def write(self, path, text):
        self.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "sh",
                 path, input=text)

    def agent(self, *args, env=None, token=None, link=True, probe=None):
        env = dict(NET if env is None else env)
        env["PATH"] = os.environ["PATH"]
        if probe:
            env["MSB_NET_PROBE"] = probe
        if link and "MSB_LINK" not in env:
            env["MSB_LINK"] = f"unix:{self.sock}"
        agent = Agent(self, args, env, token)
        self.agents.append(agent)
        return agent

    def once(self, env=None, **kw):
        agent = self.agent("--once", env=env, **kw)
        agent.proc.wait(10)
        assert agent.proc.returncode == 0, agent.log
        return agent

    def close(self):
        for agent in self.agents:
            agent.kill()
        self.hold.kill()
        self.hold.wait()


class Agent:
    def __init__(self, guest, args, env, token):
        self.log_path = guest.tmp / f"log{len(guest.agents)}"
        self.ready, wr = os.pipe()
        fds = [wr]
        env["MSB_READY_FD"] = str(wr)
        if token:
            rd, tw = os.pipe()
            os.write(tw, token.encode() + b"\n")
            os.close(tw)
            env["MSB_TOKEN_FD"] = str(rd)
            fds.append(rd)
        with open(self.log_path, "w") as log:
            self.proc = subprocess.Popen(
                guest.cmd(AGENT, "agent", "--pid1", *args), env=env,
                pass_fds=fds, stdout=log, stderr=log)
        for fd in fds:
            os.close(fd)
        self.text = ""

    @property
    def log(self):
        return self.log_path.read_text()

    def hear(self, *keys, timeout=5.0):
        """Lines of the ready pipe as a dict, once one of the keys is there."""
        end = time.monotonic() + timeout
        while True:
            said = dict(line.split("=", 1)
                        for line in self.text.split("\n")[:-1])
            if not keys or any(k in said for k in keys):
                return said
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.ready], [], [], left)[0]:
                raise AssertionError(f"no {keys}: {said}\n{self.log}")
            more = os.read(self.ready, 4096).decode()
            assert more, f"the pipe has ended: {said}\n{self.log}"
            self.text += more

    def up(self):
        said = self.hear("READY", "FAILED")
        assert said.get("READY") == "1", said
        return said

    def kill(self, sig=signal.SIGKILL):
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
            self.proc.wait(5)
        if self.ready >= 0:
            os.close(self.ready)
        self.ready = -1


class Peer:
    """The gateway's end: hello, then records."""

    def __init__(self, path, token=bytes(range(16)), features=ALL):
        self.path, self.token, self.features = path, token, features
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)
        self.listener.settimeout(5)
        self.conn = None

    def accept(self):
        self.conn = self.listener.accept()[0]
        self.conn.settimeout(5)
        return self

    def take(self, n):
        buf = b""
        while len(buf) < n:
            more = self.conn.recv(n - len(buf))
            assert more, "the agent hung up"
            buf += more
        return buf

    def hello(self):
        """The guest's hello as a dict; answered."""
        raw = self.take(52)
        magic, version, length, features, mtu = struct.unpack(
            ">4sHHIH", raw[:14])
        assert (magic, version, length) == (b"MSBL", 1, 52)
        self.conn.sendall(struct.pack(">4sHHIH", b"MSBL", 1, 52,
                                      self.features, 1500) +
                          GW_MAC + bytes(16) + self.token)
        return {"features": features, "mtu": mtu, "mac": raw[14:20],
                "boot_id": raw[20:36], "token": raw[36:52]}

    def record(self):
        """The next frame with its 12 bytes of metadata."""
        while True:
            n = struct.unpack(">I", self.take(4))[0]
            if n:
                assert 26 <= n <= 12 + 65549
                raw = self.take(n)
                return raw[:12], raw[12:]

    def send(self, frame, vnet=bytes(12)):
        self.conn.sendall(struct.pack(">I", 12 + len(frame)) + vnet + frame)

    def close(self):
        if self.conn:
            self.conn.close()
        self.listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@pytest.fixture
def guest(tmp_path):
    if not os.access(AGENT, os.X_OK):
        pytest.skip(f"{AGENT} has not been built")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun cannot be opened")
    g = Guest(tmp_path)
    yield g
    g.close()


@pytest.fixture
def peer(guest):
    p = Peer(guest.sock)
    yield p
    p.close()


def arp_request():
    return (b"\xff" * 6 + GW_MAC + struct.pack(
        ">HHHBBH6s4s6s4s", 0x0806, 1, 0x0800, 6, 4, 1, GW_MAC,
        bytes([100, 96, 0, 5]), bytes(6), bytes([100, 96, 0, 6])))


def expect_arp_reply(peer):
    peer.send(arp_request())
    while True:
        frame = peer.record()[1]
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2":
            assert frame[22:28].hex(":") == MAC
            return


def state(guest):
    return guest.sh("ip -d addr show dev lo; ip -d addr show dev eth0 | "
                    "sed 's/<[^>]*>//; s/state [A-Z]*//'; "
                    "(ip route; ip -6 route) | "
                    "sed 's/ linkdown//; s/ *$//'")


def files(guest):
    return guest.sh("stat -c '%n %i %Y %Z %a %s' /etc/hosts /etc/resolv.conf; "
                    "cat /etc/hosts /etc/resolv.conf")
