"""Certificates, a TLS server and root file systems for tests of the CA bundle.

The programs are those of the machine that runs the tests, in a guest's
namespaces (agentlab.py), with an /etc made here; for the rest there are trees
in the test's directory, into which the agent goes by chroot.
"""

import contextlib
import os
import shutil
import subprocess

from agentlab import AGENT, until

PORT = 4433
URL = f"https://localhost:{PORT}/"
DEBIAN = "/etc/ssl/certs/ca-certificates.crt"
LOCAL = "/usr/local/share/ca-certificates"
FEDORA = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
SUSE = "/var/lib/ca-certificates/ca-bundle.pem"
ARCH = "/etc/ca-certificates/extracted/tls-ca-bundle.pem"


def openssl(*argv, **kw):
    return subprocess.run(["openssl", *map(str, argv)], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          **kw).stdout


class Authority:
    """A CA, and a certificate of it for localhost."""

    def __init__(self, tmp, name="ca", ca=True, algo="P-256", days=30,
                 subject=None):
        self.key, self.pem = tmp / f"{name}.key", tmp / f"{name}.pem"
        self.leaf_key, self.leaf = tmp / f"{name}-l.key", tmp / f"{name}-l.pem"
        kind = {"P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
                "rsa5120": ["rsa:5120"]}.get(algo, [algo])
        openssl("req", "-x509", "-newkey", *kind, "-nodes", "-keyout",
                self.key, "-out", self.pem, "-days", str(days), "-subj",
                subject or f"/CN={name}", "-addext",
                f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}",
                # Python 3.13 wants what RFC 5280 says of a CA, all of it
                *(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
                  if ca else []))
        self.text = self.pem.read_text()
        self.der = openssl("x509", "-in", self.pem, "-outform", "DER")
        self.hash = openssl("x509", "-in", self.pem, "-noout",
                            "-subject_hash").decode().strip()

    def certify(self, tmp):
        req, ext = tmp / "leaf.csr", tmp / "leaf.ext"
        ext.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n"
                       "authorityKeyIdentifier=keyid\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                self.leaf_key, "-out", req, "-subj", "/CN=localhost")
        openssl("x509", "-req", "-in", req, "-CA", self.pem, "-CAkey",
                self.key, "-set_serial", "7", "-days", "9", "-extfile", ext,
                "-out", self.leaf)
        return self

    def crl(self, tmp):
        """A list of no certificates: something that keytool fetches."""
        (tmp / "index").write_text("")
        (tmp / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=x\n[x]\ndatabase={tmp}/index\n"
            "default_md=sha256\ndefault_crl_days=9\n")
        openssl("ca", "-gencrl", "-config", tmp / "ca.cnf", "-keyfile",
                self.key, "-cert", self.pem, "-out", tmp / "x.crl")


@contextlib.contextmanager
def serving(guest, ca, where):
    server = subprocess.Popen(
        guest.cmd("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh",
                  str(where), "openssl", "s_server", "-accept", str(PORT),
                  "-key", str(ca.leaf_key), "-cert", str(ca.leaf), "-WWW"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: f":{PORT} " in guest.run("ss", "-ltn"))
        yield
    finally:
        server.kill()
        server.wait()


def machine_etc(guest):
    """What is in the machine's /etc of certificates and programs."""
    names = ["ssl", "ca-certificates", "ca-certificates.conf", "alternatives",
             "debian_version", "ld.so.cache", "nsswitch.conf", "passwd",
             "group"]
    names += [n for n in os.listdir("/etc") if n.startswith("java")]
    names = [n for n in names if os.path.exists(f"/etc/{n}")]
    tar = subprocess.run(["tar", "-C", "/etc", "-cf", "-", *names],
                         check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(guest.cmd("tar", "-C", "/etc", "-xf", "-", "--no-same-owner"
                             ), check=True, input=tar)
    guest.sh("mount -t tmpfs -o mode=755 none /usr/local/share && "
             "mkdir /usr/local/share/ca-certificates; "
             "ip link set lo up; rm -f /etc/ssl/certs/*.msb* ")


class Tree:
    """A root file system with the agent in it, and nothing to run."""

    def __init__(self, path, files):
        self.path = path
        shutil.rmtree(path, ignore_errors=True)
        for name in ("dev", "proc", "run", "tmp", "etc/msb"):
            (path / name).mkdir(parents=True)
        shutil.copy(AGENT, path / "msb-init")
        for name, text in files.items():
            self.put(name, text)

    def at(self, name):
        return self.path / name.lstrip("/")

    def put(self, name, text):
        self.at(name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            self.at(name).write_bytes(text)
        elif text.startswith("-> "):
            self.at(name).symlink_to(text[3:])
        else:
            self.at(name).write_text(text)

    def get(self, name):
        return self.at(name).read_bytes()

    def agent(self, guest, *before, check=True, env=None):
        run = subprocess.run(
            guest.cmd(*before, "chroot", str(self.path), "/msb-init", "agent",
                      "--once", "--pid1"), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"],
                                           **(env or {})})
        assert not check or run.returncode == 0, run.stdout
        return run

    def verb(self, guest, *argv):
        run = subprocess.run(
            guest.cmd("chroot", str(self.path), "/msb-init", *argv),
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return run.returncode, run.stdout

    def state(self):
        """All files and links but those that no CA has to do with."""
        out = {}
        for top, dirs, files in os.walk(self.path):
            for name in files + [d for d in dirs
                                 if os.path.islink(os.path.join(top, d))]:
                full = os.path.join(top, name)
                rel = os.path.relpath(full, self.path)
                if rel in ("msb-init", "etc/hosts", "etc/msb/ca.pem",
                           "run/msb/status"):
                    continue
                if os.path.islink(full):
                    out[rel] = "-> " + os.readlink(full)
                else:
                    with open(full, "rb") as f:
                        out[rel] = f.read()
        return out
