"""msb-init agent: files, CA, status and probe."""

import contextlib
import json
import subprocess

import pytest

from agentlab import (
    AGENT, NET, RESOLV, files, guest, peer, state, until)  # noqa: F401


# --- files -----------------------------------------------------------------

@pytest.mark.parametrize("before", [
    "echo old >/etc/resolv.conf",
    "ln -s ../run/nowhere/resolv.conf /etc/resolv.conf",
    "echo old >/run/other; ln -s /run/other /etc/resolv.conf",
    "echo old >/run/other; touch /etc/resolv.conf; "
    "mount --bind /run/other /etc/resolv.conf",
    "echo old >/etc/resolv.conf; touch /etc/hosts; mkdir -p /run/msb; "
    "mount -o remount,bind,ro /etc",
])
def test_resolv_conf(guest, before):
    guest.sh(before)
    for _ in range(2):
        agent = guest.once()
        assert agent.proc.returncode == 0, agent.log
        assert guest.read("/etc/resolv.conf") == RESOLV
        assert guest.sh("stat -c %a /etc/resolv.conf") == "644\n"
    mounts = guest.read("/proc/mounts").count(" /etc/resolv.conf ")
    assert mounts <= 1
    if "/run/other" in before and "mount" not in before:
        assert guest.read("/run/other") == "old\n"
    env = dict(NET, MSB_NET_IPV6="addr=fd42:6d73:62:1::2/64,"
               "gw=fd42:6d73:62:1::1")
    guest.once(env=env)
    assert guest.read("/etc/resolv.conf") == "nameserver 100.96.0.5\n"
    assert guest.read("/proc/mounts").count(" /etc/resolv.conf ") == mounts


def test_resolv_conf_is_a_directory(guest):
    guest.sh("mkdir /etc/resolv.conf")
    agent = guest.agent()
    agent.up()
    assert "warn" in agent.log and "/etc/resolv.conf" in agent.log


def test_hosts_keeps_foreign_lines(guest):
    guest.write("/etc/hosts", "10.1.1.1 mine\n")
    env = {**NET, "MSB_HOSTNAME": "w1"}
    guest.once(env=env)
    first = guest.read("/etc/hosts")
    assert first.startswith("10.1.1.1 mine\n")
    assert "127.0.0.1\tlocalhost w1\n" in first
    assert guest.read("/etc/hostname") == "w1\n"
    assert guest.run("uname", "-n") == "w1\n"
    guest.sh("echo 10.1.1.2 later >>/etc/hosts")
    guest.once(env={**env, "MSB_HOSTNAME": "w2"})
    second = guest.read("/etc/hosts")
    assert second == first.replace(" w1\n", " w2\n") + "10.1.1.2 later\n"


def make_ca(tmp, name="ca", ca=True):
    key, crt = tmp / f"{name}.key", tmp / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt,
         "-days", "30", "-subj", f"/CN={name}", "-addext",
         "basicConstraints=critical,CA:" + ("TRUE" if ca else "FALSE")],
        check=True, stderr=subprocess.DEVNULL)
    return key, crt


def test_ca_is_installed_replaced_and_removed(guest):
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    image = "# image\n-----BEGIN X-----\xe9\n-----END X-----\n"
    guest.write(bundle, image)
    pems = [make_ca(guest.tmp, n)[1].read_text() for n in ("one", "two")]
    for pem in pems + pems[1:]:
        guest.write("/etc/msb/ca.pem", pem)
        said = guest.once().hear("READY")
        assert said["CA_BUNDLE"] == bundle
        assert said["CA_FILE"] == "/run/msb/ca.pem"
        text = guest.read(bundle)
        assert text.startswith(image) and pem in text
        assert text.count("BEGIN CERTIFICATE") == 1
    guest.run("rm", "/etc/msb/ca.pem")
    assert "CA_BUNDLE" not in guest.once().hear("READY")
    assert guest.read(bundle) == image


def test_ca_without_a_bundle(guest):
    pem = make_ca(guest.tmp)[1].read_text()
    guest.write("/etc/msb/ca.pem", pem.replace("\n", "\r\n"))
    agent = guest.once()
    assert not agent.log
    assert pem in guest.read("/etc/ssl/certs/ca-certificates.crt")


def test_ca_with_a_key_is_refused(guest):
    key, crt = make_ca(guest.tmp)
    guest.write("/etc/msb/ca.pem", crt.read_text() + key.read_text())
    agent = guest.agent()
    assert "CA_BUNDLE" not in agent.up()
    assert "private key" in agent.log
    guest.run("test", "!", "-e", "/etc/ssl/certs/ca-certificates.crt")


# --- status, probe, life ---------------------------------------------------

def test_status(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    agent.hear("TOKEN")
    until(lambda: "LINK_STATE=up" in guest.read("/run/msb/status"))
    text = guest.run(AGENT, "status")
    assert "100.96.0.6/30" in text and "start to ready" in text
    got = json.loads(guest.run(AGENT, "status", "--json"))
    assert got["state"] == "ready" and got["link_state"] == "up"
    assert got["mtu"] == 1400 and "token" not in got


def test_status_without_an_agent(guest):
    out = subprocess.run(guest.cmd(AGENT, "status"), stderr=subprocess.PIPE)
    assert out.returncode == 3


@contextlib.contextmanager
def serving(guest, *argv, port):
    server = subprocess.Popen(guest.cmd(*argv), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        until(lambda: f":{port} " in guest.run("ss", "-ltn"))
        yield
    finally:
        server.kill()
        server.wait()


def probe(guest, *argv):
    out = subprocess.run(guest.cmd(AGENT, "probe", *argv), text=True,
                         stdout=subprocess.PIPE)
    return out.returncode, out.stdout


def test_probe_over_tls(guest):
    key, crt = make_ca(guest.tmp)
    other = make_ca(guest.tmp, "other")[1]
    leaf, req = guest.tmp / "leaf.pem", guest.tmp / "leaf.csr"
    ext = guest.tmp / "ext"
    ext.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    guest.tmp / "leaf.key", "-out", req, "-subj",
                    "/CN=localhost"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "x509", "-req", "-in", req, "-CA", crt,
                    "-CAkey", key, "-CAcreateserial", "-days", "9",
                    "-extfile", ext, "-out", leaf], check=True,
                   stderr=subprocess.DEVNULL)
    guest.write("/etc/msb/ca.pem", crt.read_text())
    url = "https://localhost:4433/"
    with serving(guest, "openssl", "s_server", "-accept", "4433", "-key",
                 str(guest.tmp / "leaf.key"), "-cert", str(leaf), "-www",
                 port=4433):
        agent = guest.agent(probe=url)
        agent.up()
        until(lambda: "PROBE=" in guest.read("/run/msb/status"))
        assert f"PROBE={url}: ok: status 200" in guest.read("/run/msb/status")
        code, out = probe(guest, url, "--json")
        got = json.loads(out)
        assert code == 0 and got["status"] == 200 and got["tls"] == "TLS 1.2"
        assert 0 < got["connect_us"] <= got["tls_us"] <= got["total_us"]
        assert got["ca_bundle"] == "/etc/ssl/certs/ca-certificates.crt"
        code, out = probe(guest, url, "--cacert", str(other))
        assert code == 5 and "remedy" in out and str(other) in out


def test_probe_of_nothing(guest):
    guest.agent(env={}, link=False).up()
    assert probe(guest, "http://127.0.0.1:9/")[0] == 4
    assert probe(guest, "http://name.invalid/")[0] == 3
    assert probe(guest)[0] == 2
    assert probe(guest, "gopher://127.0.0.1/")[0] == 2


def test_probe_of_http(guest):
    guest.agent(env={}, link=False).up()
    with serving(guest, "python3", "-m", "http.server", "8000", "-d",
                 str(guest.tmp), port=8000):
        code, out = probe(guest, "http://127.0.0.1:8000/")
        assert code == 0 and "200" in out
        code, out = probe(guest, "http://127.0.0.1:8000/none")
        assert code == 6 and "404" in out


def test_term_leaves_the_tap(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    before = state(guest)
    agent.proc.terminate()
    assert agent.proc.wait(2) == 0
    assert state(guest) == before


def test_deleted_tap_ends_the_agent(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    agent.hear("TOKEN")
    guest.run("ip", "link", "del", "eth0")
    assert agent.proc.wait(3) == 1


def test_ready_is_quick(guest, peer):
    said = guest.agent().up()
    took_ms = (int(said["T_ETH0"]) - int(said["T_START"])) / 1e6
    assert took_ms < 50                 # the budget is 3, on a quiet machine
