"""msb-init agent: the CA bundle, in the layouts of distributions."""

import base64
import os
import shutil
import subprocess

import pytest

from agentlab import AGENT, guest  # noqa: F401
from calab import (
    ARCH, DEBIAN, FEDORA, LOCAL, PORT, SUSE, URL, Authority, Tree,
    machine_etc, openssl, serving)

CURL = ["curl", "-sS", URL + "x.crl"]
NODE = (f"fetch('{URL}x.crl').then(r => r.text()).then("
        "t => console.log(t)).catch(e => { console.log('' + e.cause);"
        " process.exit(1) })")
PROGRAMS = {
    "curl": CURL,
    "wget": ["wget", "-q", "-O", "-", URL + "x.crl"],
    "python3": ["/usr/bin/python3", "-c",
                "import urllib.request as u, sys; "
                f"sys.stdout.buffer.write(u.urlopen('{URL}x.crl').read())"],
    # It gets as far as missing a repository
    "git": ["sh", "-c", f"git ls-remote {URL}x.git 2>&1 | tee /dev/stderr | "
            "grep -q -e 'not found' -e 'not valid' && echo CRL"],
    "openssl": ["sh", "-c", f"printf 'GET /x.crl HTTP/1.0\\r\\n\\r\\n' | "
                f"openssl s_client -quiet -verify_return_error -connect "
                f"localhost:{PORT} 2>/dev/null"],
    "node": ["node", "-e", NODE],
    # As Debian builds it; others have roots of their own compiled in
    "node of debian": ["node", "--use-openssl-ca", "-e", NODE],
    "java": ["keytool", "-printcrl", "-file", URL + "x.crl"],
}
NEEDS_VARIABLES = {"node", "java"}
PROFILE = "/etc/profile.d/msb-init-ca.sh"


def trusts(guest, name, variables):
    """Whether a program accepts the server."""
    argv = list(PROGRAMS[name])
    if variables:
        argv = ["sh", "-c", f". {PROFILE} && exec \"$@\"", "sh", *argv]
    env = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "LANG": "C"}
    run = subprocess.run(guest.cmd(*argv), env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=60)
    return run.returncode == 0 and "CRL" in run.stdout, run.stdout


@pytest.fixture
def ca(tmp_path):
    a = Authority(tmp_path).certify(tmp_path)
    a.crl(tmp_path)
    return a


@pytest.mark.skipif(not os.path.exists("/etc/debian_version"),
                    reason="the programs are not those of Debian")
def test_programs_of_debian(guest, ca, tmp_path):
    machine_etc(guest)
    names = [n for n in PROGRAMS if shutil.which(
        "git" if n == "git" else PROGRAMS[n][0])]
    assert {"curl", "python3", "openssl"} <= set(names)
    with serving(guest, ca, tmp_path):
        guest.once(env={}, link=False)
        for name in names:
            assert not trusts(guest, name, False)[0], name
        guest.write("/etc/msb/ca.pem", ca.text)
        said = guest.once(env={}, link=False).hear("READY")
        assert said["CA_BUNDLE"] == DEBIAN
        for name in names:
            for variables in (False, True):
                if name in NEEDS_VARIABLES and not variables:
                    continue
                ok, text = trusts(guest, name, variables)
                assert ok, (name, variables, text)
        assert guest.run(AGENT, "ca", "--verify") == ""
        # The distribution's own tool keeps it
        if shutil.which("update-ca-certificates"):
            guest.sh("update-ca-certificates 2>&1")
            assert "# BEGIN msb-init" not in guest.read(DEBIAN)
            for name in set(names) & {"curl", "python3", "openssl"}:
                ok, text = trusts(guest, name, False)
                assert ok, (name, text)
            guest.once(env={}, link=False)
            assert ca.text in guest.read(DEBIAN)
            assert guest.run(AGENT, "ca", "--verify") == ""
        guest.run("rm", "/etc/msb/ca.pem")
        guest.once(env={}, link=False)
        for name in names:
            assert not trusts(guest, name, False)[0], name
    assert "msb" not in guest.sh("ls -lR /etc/ssl /usr/local/share")
    assert "msb" not in guest.read(DEBIAN)
    guest.run("test", "!", "-e", PROFILE)


# --- layouts ---------------------------------------------------------------

ODD = b"# Autorit\xe9 de certification\n"      # Latin-1, as some bundles have


def layouts(roots):
    """Files of a distribution; its bundles; its anchors and hashed links."""
    text = ODD + roots
    return {
        "debian": ({DEBIAN: text, "/etc/debian_version": "12.0\n",
                    "/usr/share/ca-certificates/x.crt": "x"},
                   [DEBIAN], [LOCAL], ["/etc/ssl/certs"]),
        "alpine": ({DEBIAN: text, "/etc/alpine-release": "3.20\n",
                    "/etc/ssl/cert.pem": "-> certs/ca-certificates.crt"},
                   [DEBIAN, "/etc/ssl/cert.pem"], [LOCAL],
                   ["/etc/ssl/certs"]),
        "alpine, cert.pem of its own": (
            {DEBIAN: text, "/etc/alpine-release": "3.20\n",
             "/etc/ssl/cert.pem": text.rstrip()},
            [DEBIAN, "/etc/ssl/cert.pem"], [LOCAL], ["/etc/ssl/certs"]),
        "fedora": ({FEDORA: text, "/etc/redhat-release": "Fedora\n",
                    "/etc/pki/tls/certs/ca-bundle.crt": "-> " + FEDORA,
                    "/etc/pki/tls/cert.pem": "-> certs/ca-bundle.crt",
                    "/etc/pki/ca-trust/extracted/pem/directory-hash/"
                    "12345678.0": "x",
                    "/etc/ssl/certs": "-> ../pki/tls/certs"},
                   [FEDORA, "/etc/pki/tls/certs/ca-bundle.crt",
                    "/etc/pki/tls/cert.pem"],
                   ["/etc/pki/ca-trust/source/anchors"],
                   ["/etc/pki/tls/certs",
                    "/etc/pki/ca-trust/extracted/pem/directory-hash"]),
        "suse": ({SUSE: text, "/etc/pki/trust/anchors/.keep": "",
                  "/etc/ssl/ca-bundle.pem": "-> " + SUSE,
                  "/var/lib/ca-certificates/pem/12345678.0": "x",
                  "/var/lib/ca-certificates/openssl/12345678.0": "x",
                  "/etc/ssl/certs": "-> /var/lib/ca-certificates/pem"},
                 [SUSE, "/etc/ssl/ca-bundle.pem"],
                 ["/etc/pki/trust/anchors"],
                 ["/var/lib/ca-certificates/pem",
                  "/var/lib/ca-certificates/openssl"]),
        "arch": ({ARCH: text, "/etc/arch-release": "",
                  DEBIAN: "-> ../../ca-certificates/extracted/"
                  "tls-ca-bundle.pem",
                  "/etc/ssl/cert.pem": "-> ../ca-certificates/extracted/"
                  "tls-ca-bundle.pem"},
                 [ARCH, DEBIAN, "/etc/ssl/cert.pem"],
                 ["/etc/ca-certificates/trust-source/anchors"],
                 ["/etc/ssl/certs"]),
        "slim debian": ({"/etc/debian_version": "12.0\n"}, [DEBIAN],
                        [LOCAL], ["/etc/ssl/certs"]),
        "slim fedora": ({"/etc/redhat-release": "Fedora\n"}, [FEDORA],
                        ["/etc/pki/ca-trust/source/anchors"], []),
        "nothing": ({}, [DEBIAN], [], ["/etc/ssl/certs"]),
    }


def real(tree, path):
    """Where a path leads inside the tree."""
    for _ in range(8):
        part = tree.path
        for name in path.strip("/").split("/"):
            part = part / name
            if part.is_symlink():
                to = os.readlink(part)
                rest = path.strip("/")[len(str(part.relative_to(
                    tree.path))):]
                path = (to if to.startswith("/") else os.path.normpath(
                    "/" + str(part.relative_to(tree.path).parent) + "/" +
                    to)) + rest
                break
        else:
            return part
    raise AssertionError(path)


@pytest.mark.parametrize("name", list(layouts(b"")))
def test_layout(guest, ca, tmp_path, name):
    root = Authority(tmp_path, "public")
    files, bundles, anchors, hashed = layouts(root.text.encode())[name]
    tree = Tree(tmp_path / "root", files)
    before = tree.state()
    tree.put("/etc/msb/ca.pem", ca.text)
    states = []
    for _ in range(3):
        tree.agent(guest)
        states.append(tree.state())
    assert states[0] == states[1] == states[2]
    for path in bundles:
        file = real(tree, path)
        assert file.read_bytes().count(ca.text.encode()) == 1
        openssl("verify", "-CAfile", file, ca.leaf)
        if files:
            assert ODD in file.read_bytes() or "slim" in name
    for path in anchors:
        file, = real(tree, path).glob("msb-init-*.crt")
        assert file.read_text() == ca.text
    for path in hashed:
        assert (real(tree, path) / f"{ca.hash}.0").is_symlink()
        openssl("verify", "-no-CAfile", "-CApath", real(tree, path), ca.leaf)
    code, text = tree.verb(guest, "ca", "--verify")
    assert (code, text) == (0, "")
    code, text = tree.verb(guest, "ca")
    assert code == 0 and "0 of 1" not in text and all(
        x in text for x in bundles + anchors), text
    tree.at("/etc/msb/ca.pem").unlink()
    tree.agent(guest)
    assert tree.state() == before
    assert tree.verb(guest, "ca", "--verify")[0] == 3


def test_bundle_of_the_distribution_s_tool(guest, ca, tmp_path):
    """What the tool makes of our anchor goes when the anchor goes."""
    root = Authority(tmp_path, "public")
    tree = Tree(tmp_path / "root", layouts(root.text.encode())["fedora"][0])
    before = tree.state()
    tree.put("/etc/msb/ca.pem", ca.text)
    tree.agent(guest)
    tree.put(FEDORA, ODD + ca.text.encode() + root.text.encode())
    for _ in range(2):
        tree.agent(guest)
        assert tree.get(FEDORA).count(b"BEGIN CERTIFICATE") == 2
        assert b"msb-init" not in tree.get(FEDORA)
        assert list(tree.at("/etc/pki/ca-trust/source/anchors").iterdir())
    # Another CA of the same name: only that
    new = Authority(tmp_path, "new", subject="/CN=ca")
    assert new.hash == ca.hash
    tree.put("/etc/msb/ca.pem", new.text)
    tree.agent(guest)
    assert ca.text.encode() not in tree.get(FEDORA)
    assert tree.get(FEDORA).count(new.text.encode()) == 1
    assert tree.get(f"/etc/pki/tls/certs/{ca.hash}.0").decode() == new.text
    assert len(list(tree.at("/etc/pki/ca-trust/source/anchors").iterdir()
                    )) == 1
    tree.at("/etc/msb/ca.pem").unlink()
    tree.agent(guest)
    assert tree.state() == before


def test_image_has_it_already(guest, ca, tmp_path):
    """By DER, whatever the text; and it stays when we do not supply it."""
    body = "".join(ca.text.split("\n")[1:-2])
    text = ("-----BEGIN CERTIFICATE-----\r\n" + "".join(
        body[i:i + 50] + "\r\n" for i in range(0, len(body), 50)) +
        "-----END CERTIFICATE-----\r\n").encode()
    tree = Tree(tmp_path / "root", {DEBIAN: text, "/etc/debian_version": "1"})
    for pem in (ca.text, ""):
        if pem:
            tree.put("/etc/msb/ca.pem", pem)
        else:
            tree.at("/etc/msb/ca.pem").unlink()
        tree.agent(guest)
        assert tree.get(DEBIAN) == text
        assert not tree.at(LOCAL).exists()


def test_refused_and_unjudged(guest, ca, tmp_path):
    leaf = Authority(tmp_path, "leaf", ca=False)
    ed = Authority(tmp_path, "ed", algo="ed25519")
    big = Authority(tmp_path, "big", algo="rsa5120")
    torn = ca.text[:200] + "\n"
    tree = Tree(tmp_path / "root", {DEBIAN: ""})
    tree.put("/etc/msb/ca.pem", torn + leaf.text + ed.text + big.text +
             ca.text)
    tree.put("/etc/key.pem", leaf.text + leaf.key.read_text())
    tree.put("/etc/more.pem", ca.text)
    log = tree.agent(guest, env={
        "MSB_CA": "/etc/key.pem,/etc/none.pem,/etc/more.pem"}).stdout
    got = tree.get(DEBIAN).decode()
    assert got.count("BEGIN CERTIFICATE") == 3
    assert all(x.text in got for x in (ed, big, ca))
    for what in ("certificate 1 (?): it is cut off",
                 "certificate 2 (leaf): it is not that of a CA",
                 "/etc/key.pem: it holds a private key",
                 "/etc/none.pem: No such file"):
        assert what in log, log
    status = tree.get("/run/msb/status").decode()
    assert "CA_REFUSED=4\n" in status and "CA_UNJUDGED=2\n" in status
    assert "CA=3 certificates from /etc/msb/ca.pem and others in" in status


def test_variables_of_the_image_stay(guest, ca):
    guest.write(DEBIAN, ODD.decode("latin-1"))
    guest.write("/etc/msb/ca.pem", ca.text)
    said = guest.once(env={}, link=False).hear("READY")

    def shell(first=""):
        return guest.run("env", "-i", "sh", "-ec", f"{first} . {PROFILE}; echo"
                         " $SSL_CERT_FILE $PIP_CERT $NODE_EXTRA_CA_CERTS"
                         ).split()

    assert said["CA_FILE"] == "/run/msb/ca.pem"
    assert guest.read("/run/msb/ca.pem") == ca.text
    assert shell() == [DEBIAN, DEBIAN, "/run/msb/ca.pem"]
    assert shell("PIP_CERT=mine;")[1] == "mine"
    guest.once(env={"MSB_CA_ENV": "replace"}, link=False)
    assert shell("PIP_CERT=mine;")[1] == DEBIAN
    guest.once(env={"MSB_CA_ENV": "off"}, link=False)
    guest.run("test", "!", "-e", PROFILE)


@pytest.mark.parametrize("how", ["mounted file", "read-only", "no way"])
def test_bundle_that_cannot_be_replaced(guest, ca, tmp_path, how):
    image = ODD + b"no end of line"
    tree = Tree(tmp_path / "root", {DEBIAN: image, "/other": image})
    tree.put("/etc/msb/ca.pem", ca.text)
    t = tree.path
    if how == "mounted file":
        guest.sh(f"mount --bind {t}/other {t}{DEBIAN}")
    else:
        guest.sh(f"mount --bind {t}/etc {t}/etc; mount -t tmpfs none {t}/run;"
                 f"mount -o remount,bind,ro {t}/etc")
    wrap = ["setpriv", "--bounding-set", "-sys_admin"] if how == "no way" \
        else []
    seen = []
    for _ in range(3):
        tree.agent(guest, *wrap)
        status = guest.read(f"{t}/run/msb/status")
        bundle, = [x[10:] for x in status.split("\n")
                   if x.startswith("CA_BUNDLE=")]
        raw = guest.run("base64", "-w0", f"{t}{bundle}")
        seen.append((bundle, raw))
    assert len(set(seen)) == 1
    text = base64.b64decode(raw)
    assert text.startswith(image) and text.count(ca.text.encode()) == 1
    assert (bundle == DEBIAN) == (how != "no way")
    assert tree.get("/other") == image                  # not written through
    assert guest.read("/proc/mounts").count(f"{t}{DEBIAN} ") <= 2


# --- power cuts ------------------------------------------------------------

CALLS = ("write", "rename", "fchmod", "unlink", "symlink", "mkdir", "close")


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
@pytest.mark.parametrize("what", ["install", "replace", "remove"])
def test_killed_at_every_call(guest, ca, tmp_path, what):
    """Each file is the old one or the new one, and the next boot mends all."""
    old = Authority(tmp_path, "old")
    root = Authority(tmp_path, "public")
    tree = Tree(tmp_path / "root", layouts(root.text.encode())["debian"][0])
    if what != "install":
        tree.put("/etc/msb/ca.pem", old.text)
        tree.agent(guest)
    before = tree.state()
    save = tmp_path / "save"
    shutil.copytree(tree.path, save, symlinks=True)
    if what == "remove":
        tree.at("/etc/msb/ca.pem").unlink()
    else:
        tree.put("/etc/msb/ca.pem", ca.text)
    tree.agent(guest)
    after = tree.state()
    assert before != after
    kills = 0
    for call in CALLS:
        for n in range(1, 200):
            shutil.rmtree(tree.path)
            shutil.copytree(save, tree.path, symlinks=True)
            if what == "remove":
                tree.at("/etc/msb/ca.pem").unlink()
            else:
                tree.put("/etc/msb/ca.pem", ca.text)
            run = tree.agent(
                guest, "strace", "-f", "-o", "/dev/null", "-e",
                f"trace={call}", "-e",
                f"inject={call}:signal=KILL:when={n}", check=False)
            if run.returncode == 0:
                assert tree.state() == after
                break
            assert run.returncode in (-9, 137), run.stdout
            kills += 1
            for name, text in tree.state().items():
                if name.startswith("run/") or name.endswith(".msb-new"):
                    continue
                assert text in (before.get(name), after.get(name)), (
                    call, n, name)
            tree.agent(guest)
            assert tree.state() == after, (call, n)
        else:
            raise AssertionError(f"{call}: no end")
    assert kills > 20
