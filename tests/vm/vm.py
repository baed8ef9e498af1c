"""What the tests of whole guests are made of: servers, a gateway, guests.

A guest runs a script of guest/, which prints lines that begin with '@' (see
guest/lib.sh); a test boots it once and asserts on the steps that it reported.
Everything listens on the host's loopback, and everything that is started has a
deadline.
"""
import contextlib
import dataclasses
import hashlib
import http.server
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("MSB_BUILD", TOP / "build"))
GATEWAY = BUILD / "host/msb-gateway"
INIT = BUILD / "guest/msb-init"
RUN = TOP / "rootfs/run"
ALIAS = "host.microsandbox.internal"
GW4, GW6 = "100.96.0.1", "fd42:6d73:62::1"
GUEST4, GUEST6 = "100.96.0.2", "fd42:6d73:62::2"
BOOT_S = 90             # more than any guest here needs
MIB = 1 << 20

# What the run measured, and how often a guest hung; told at its end
measured = []
hung = []
boots = []


class Hang(AssertionError):
    """The guest said nothing in boot."""


def measure(what, value):
    measured.append(f"{what}: {value}")


# --- servers -----------------------------------------------------------------

_blob = random.Random(1).randbytes(64 * MIB)


def blob_sum(mib):
    return hashlib.sha256(_blob[:mib * MIB]).hexdigest()


class _Page(http.server.BaseHTTPRequestHandler):
    """GET /: who is asked; GET /blob/N: N MiB; PUT: the SHA-256 of the body"""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        m = re.fullmatch(r"/blob/(\d+)", self.path)
        if m:
            self._answer(memoryview(_blob)[:int(m[1]) * MIB])
        else:
            self._answer(f"hello from {self.server.name}\n".encode())

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        total, h = left, hashlib.sha256()
        while left:
            part = self.rfile.read1(min(left, MIB))
            if not part:
                break
            h.update(part)
            left -= len(part)
        self.server.got.append((total - left, h.hexdigest()))
        self._answer(f"{h.hexdigest()}  {total - left}\n".encode())

    def log_message(self, *args):
        pass


class _Web(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host, family=socket.AF_INET, context=None):
        self.address_family = family
        self.name, self.got, self.errors = host, [], []
        super().__init__((host, 0), _Page)
        if context:
            # The handshake belongs to the connection's thread
            self.socket = context.wrap_socket(self.socket, server_side=True,
                                              do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        pass        # a guest may break off; the test sees it on its side


class _UdpEcho(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data, self.client_address)


class _Dns(socketserver.BaseRequestHandler):
    """A and AAAA of test.example; NXDOMAIN for other names"""

    answers = {1: socket.inet_pton(socket.AF_INET, "192.0.2.10"),
               28: socket.inet_pton(socket.AF_INET6, "2001:db8::10")}

    def handle(self):
        query, sock = self.request
        end = query.find(b"\0", 12)
        if end < 0 or len(query) < end + 5:
            return
        question = query[12:end + 5]
        kind = struct.unpack("!H", query[end + 1:end + 3])[0]
        known = query[12:end + 1].lower() == b"\4test\7example\0"
        data = self.answers.get(kind) if known else None
        answer = struct.pack("!HHHIH", 0xc00c, kind, 1, 60,
                             len(data)) + data if data else b""
        self.server.asked.append((query[12:end + 1], kind))
        sock.sendto(query[:2] + struct.pack(
            "!HHHHH", 0x8180 | (0 if known else 3), 1, bool(answer), 0, 0)
            + question + answer, self.client_address)


class _Udp(socketserver.ThreadingUDPServer):
    max_packet_size = 65536
    daemon_threads = True

    def __init__(self, host, handler, family=socket.AF_INET):
        self.address_family = family
        self.asked = []
        super().__init__((host, 0), handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)


def _openssl(*args):
    subprocess.run(("openssl", *map(str, args)), check=True, timeout=30,
                   stdin=subprocess.DEVNULL, capture_output=True)


class Authority:
    """An ECDSA P-256 certificate authority in a directory"""

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
           "-nodes")

    def __init__(self, d, name):
        self.dir, self.pem = d, d / f"{name}.pem"
        self.name = name
        _openssl("req", "-x509", *self.key, "-days", 1, "-subj",
                 f"/CN={name}", "-addext",
                 "basicConstraints=critical,CA:TRUE", "-addext",
                 "keyUsage=critical,keyCertSign,cRLSign", "-keyout",
                 d / f"{name}.key", "-out", self.pem)

    def server(self):
        """A context of a server with the host alias as its name, TLS 1.2"""
        d, n = self.dir, self.name + "-server"
        _openssl("req", *self.key, "-subj", f"/CN={ALIAS}", "-keyout",
                 d / f"{n}.key", "-out", d / f"{n}.csr")
        (d / "ext").write_text(f"subjectAltName=DNS:{ALIAS}\n"
                               "extendedKeyUsage=serverAuth\n")
        _openssl("x509", "-req", "-in", d / f"{n}.csr", "-CA", self.pem,
                 "-CAkey", d / f"{self.name}.key", "-CAcreateserial", "-days",
                 1, "-extfile", d / "ext", "-out", d / f"{n}.pem")
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.minimum_version = c.maximum_version = ssl.TLSVersion.TLSv1_2
        c.load_cert_chain(d / f"{n}.pem", d / f"{n}.key")
        return c


def _free_port():
    """A port at which nobody listens, in either family"""
    with socket.socket(socket.AF_INET6) as s:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", 0))
        return s.getsockname()[1]


class Servers:
    """All that a guest asks, on the host's loopback"""

    def __init__(self, d):
        self.ca = Authority(d, "msb-test-ca")
        other = Authority(d, "stranger")
        self.web4 = _Web("127.0.0.1")
        self.web6 = _Web("::1", socket.AF_INET6)
        self.tls = _Web("127.0.0.1", context=self.ca.server())
        self.tls_bad = _Web("127.0.0.1", context=other.server())
        self.udp4 = _Udp("127.0.0.1", _UdpEcho)
        self.udp6 = _Udp("::1", _UdpEcho, socket.AF_INET6)
        self.dns = _Udp("127.0.0.1", _Dns)
        self.all = {k.upper(): v for k, v in vars(self).items()
                    if isinstance(v, socketserver.BaseServer)}
        for s in self.all.values():
            threading.Thread(target=s.serve_forever, args=(0.1,),
                             daemon=True).start()
        self.closed = _free_port()

    def variables(self):
        return {**{k: v.server_address[1] for k, v in self.all.items()},
                "CLOSED": self.closed, "GW4": GW4, "GW6": GW6,
                "GUEST4": GUEST4, "GUEST6": GUEST6, "ALIAS": ALIAS}

    def close(self):
        for s in self.all.values():
            s.shutdown()
            s.server_close()


# --- programs on the host ----------------------------------------------------

class Program:
    """Something that is started, writes a log, and is ended."""

    def __init__(self, log, *argv, env=None):
        self.log = log
        with open(log, "ab") as out:
            self.proc = subprocess.Popen(
                list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, env=env, start_new_session=True)

    @property
    def text(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, what, timeout=10):
        end = time.monotonic() + timeout
        while not what():
            assert self.proc.poll() is None, f"it has ended:\n{self.text}"
            assert time.monotonic() < end, f"not in time:\n{self.text}"
            time.sleep(0.02)

    def stop(self, sig=signal.SIGTERM):
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        try:
            return self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait(5)
            raise


class Gateway(Program):
    def __init__(self, d, *way, dns=None, args=()):
        self.args = ["--net", "public,host", "--ipv4", "on", "--ipv6", "on",
                     *(["--dns-nameserver", f"127.0.0.1:{dns}"] if dns else
                       []), *args]
        self.way = list(map(str, way))
        super().__init__(d / "gateway.log", GATEWAY, "run", *self.way,
                         *self.args)
        path = pathlib.Path(self.way[1])
        if self.way[0] == "--uds":
            path = path.with_name(path.name + "_1024")
        self.wait_for(path.exists)

    def env(self):
        """What the guest is to be told"""
        return subprocess.run(
            [GATEWAY, "env", "--cmdline", *self.way[:2], *self.args],
            check=True, stdout=subprocess.PIPE, text=True, timeout=10).stdout


# --- guests ------------------------------------------------------------------

def static(d, name):
    """A program for the guest, built from NAME.c"""
    out = d / name
    subprocess.run(
        [os.environ.get("MUSL_CC", "musl-gcc"), "-static", "-std=c11",
         "-D_GNU_SOURCE", "-isystem", BUILD / "guest/include", "-Os", "-s",
         "-Wall", "-Wextra", "-o", out, HERE / f"{name}.c"], check=True,
        timeout=60)
    return out


def dynamic(program, to):
    """{path in the guest: file} of a program of this machine, its libraries
    and its loader among them"""
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    files = {path.lstrip("/"): pathlib.Path(path) for path in
             re.findall(r"(?:=>|^)\s*(/\S+) \(0x", said, re.M)}
    return {to: pathlib.Path(program), **files}


def overlay(d, files):
    """A cpio archive with {path in the guest: file or text}"""
    tree = d / "overlay"
    shutil.rmtree(tree, ignore_errors=True)
    for name, what in files.items():
        to = tree / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, pathlib.Path):
            shutil.copy(what, to)
        else:
            to.write_text(what)
        to.chmod(0o755)
    out = d / "overlay.cpio.gz"
    subprocess.run(["sh", TOP / "rootfs/initramfs", "-t", tree, out],
                   check=True, timeout=60)
    return out


def script_files(d, script, variables):
    """What a guest needs to run guest/SCRIPT.sh as its workload"""
    return {"etc/msb/workload": HERE / f"guest/{script}.sh",
            "etc/msb/lib.sh": HERE / "guest/lib.sh",
            "usr/bin/helper": static(d, "helper"),
            "etc/msb/variables": "".join(
                f"{k}={v}\n" for k, v in variables.items())}


@dataclasses.dataclass
class Step:
    """What one step of the guest's script said, and how it ended"""
    name: str
    lines: list
    status: int = None
    ms: int = None

    @property
    def text(self):
        return "\n".join(self.lines)

    def keys(self):
        """Lines KEY=VALUE as a dict"""
        return dict(x.split("=", 1) for x in self.lines if "=" in x)

    def ok(self):
        assert self.status == 0, f"{self.name}: {self.status}\n{self.text}"
        return self


class Guest:
    """One boot by rootfs/run.

    @on: {word: function}, called in another thread when the guest says @!word
    """

    def __init__(self, d, *args, cmd=(), timeout=BOOT_S, on=None, env=None):
        self.dir, self.on, self.timeout = d, on or {}, timeout
        self.steps, self.out, self.errors = {}, [], []
        self.console = d / "console.log"
        self.hang_log = d / "hang.log"
        self.err = open(d / "run.err", "w+b")
        self.started = time.monotonic()
        self.proc = subprocess.Popen(
            ["sh", RUN, "--console-log", self.console, "--timeout",
             str(timeout), *map(str, args), *(["--", *cmd] if cmd else [])],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.err,
            env={**os.environ, "MSB_BUILD": str(BUILD),
                 "MSB_HANG_LOG": str(self.hang_log), **(env or {})})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for raw in self.proc.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            self.out.append(line)
            m = re.match(r"@(!|\w+)(\||=)?(.*)", line)
            if not m:
                continue
            name, kind, rest = m.groups()
            if name == "!":
                try:
                    self.on[rest]()
                except Exception as e:          # told by wait()
                    self.errors.append(e)
                continue
            step = self.steps.setdefault(name, Step(name, []))
            if kind == "|":
                step.lines.append(rest)
            elif kind == "=":
                step.status, step.ms = map(int, rest.split())

    def wait(self):
        """Ended; its exit status."""
        try:
            self.proc.wait(self.timeout + 30)
        except subprocess.TimeoutExpired:
            self.proc.terminate()
            self.proc.wait(10)
            raise AssertionError(f"rootfs/run is stuck\n{self.log()}")
        finally:
            self.took = time.monotonic() - self.started
            boots.append(self.took)
        self.reader.join(5)
        self.err.close()
        if self.hang_log.exists():
            hung.append(str(self.console))
            raise Hang(f"a guest hung in boot\n{self.log()}")
        assert not self.errors, self.errors
        return self.proc.returncode

    def step(self, name):
        s = self.steps.get(name)
        assert s and s.status is not None, f"no step {name}\n{self.log()}"
        return s

    def log(self):
        text = ["--- console"]
        with contextlib.suppress(OSError):
            text.append(self.console.read_text(errors="replace"))
        text.append("--- run")
        text.append((self.dir / "run.err").read_text(errors="replace"))
        return "\n".join(text)

    def end(self):
        """Ended if it has not by itself"""
        if self.proc.poll() is None:
            self.proc.terminate()
            self.proc.wait(10)
