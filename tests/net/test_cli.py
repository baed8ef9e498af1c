"""msb-init net, status and --dry-run: one network asked for, and looked at."""

import json
import os
import re
import subprocess

import pytest

from agentlab import (
    AGENT, MAC, NET, RESOLV, files, guest, peer, state, until)  # noqa: F401

NIC = {**NET, "MSB_LINK": "nic", "MSB_HOSTNAME": "w1"}
TAP = {**NET, "MSB_LINK": "unix:/run/gw.sock", "MSB_HOSTNAME": "w1"}


def cli(guest, *argv, env=None):
    """Its exit status, what it printed, and what it logged."""
    p = subprocess.run(guest.cmd(AGENT, *argv), text=True,
                       env={"PATH": os.environ["PATH"], **(env or {})},
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return p.returncode, p.stdout, p.stderr


def nic(guest, name="eth0", mac="02:00:00:00:00:99"):
    """A veth stands in for virtio-net."""
    guest.sh(f"ip link add {name} address {mac} type veth peer name host0; "
             "ip link set host0 up")


# --- net ---------------------------------------------------------------------

def test_net_configures_once(guest):
    nic(guest)
    assert cli(guest, "net", env=NIC)[0] == 0
    text = state(guest)
    assert "inet 100.96.0.6/30" in text and MAC in text
    assert "default via fd42:6d73:62:1::1" in text
    assert guest.read("/etc/resolv.conf") == RESOLV
    before, old = text, files(guest)
    assert cli(guest, "net", env=NIC)[0] == 0
    assert state(guest) == before and files(guest) == old


def test_net_makes_a_tap_that_an_agent_takes_over(guest, peer):
    assert cli(guest, "net", env=NET | {"MSB_LINK": f"unix:{guest.sock}"}
               )[0] == 0
    before = state(guest)
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    assert state(guest) == before


def test_net_reads_the_kernel_command_line(guest):
    """An initramfs hook has nothing in its environment"""
    nic(guest)
    line = " ".join(f"{k}={v}" for k, v in NIC.items())
    guest.write("/run/cmdline", f"quiet {line} -- MSB_NET=x\n")
    guest.sh("mount --bind /run/cmdline /proc/cmdline")
    assert cli(guest, "net")[0] == 0
    assert "inet 100.96.0.6/30" in state(guest)
    assert checks(guest)["hostname"]["asked"] == "w1"


def test_a_probe_that_is_too_long_is_told(guest):
    nic(guest)
    rc, _, log = cli(guest, "agent", "--dry-run",
                     env=NIC | {"MSB_NET_PROBE": "http://" + "x" * 1024})
    assert rc == 0
    assert "MSB_NET_PROBE: longer than 1023 bytes: nothing is probed" in log


def test_stage_times(guest):
    nic(guest)
    log = cli(guest, "net", env=NIC | {"MSB_VERBOSE": "1"})[2]
    m = re.fullmatch(r"msb-init: info: boot \(ns\): T_START=(\d+) "
                     r"T_LINK=(\d+) T_ETH0=(\d+) CPU=(\d+)\n", log)
    times = [int(x) for x in m.groups()[:3]]
    assert times == sorted(times) and 0 < int(m[4])
    assert not cli(guest, "net", env=NIC)[2]


@pytest.mark.parametrize("env, want, says", [
    ({}, 0, ""),
    ({"MSB_NET": "  "}, 0, ""),
    ({**NIC, "MSB_NET": "iface=eth0,mac=zz"}, 3, "MSB_NET: "),
    ({**NIC, "MSB_NET_IPV4": "addr=10.0.0.2"}, 3, "MSB_NET_IPV4: "),
    ({**NIC, "MSB_NET": "iface=none,mac=02:0:0:0:0:1"}, 4, "none called none"),
    ({**NIC, "MSB_NET": f"iface=lo0,mac={MAC},mtu=1500"}, 4, "no NIC"),
])
def test_net_exit_status(guest, env, want, says):
    code, out, log = cli(guest, "net", env=env)
    assert code == want and not out
    assert says in log, log
    # lo is there in any case
    assert "inet 127.0.0.1/8" in guest.sh("ip addr show dev lo")


def test_net_that_the_kernel_refuses(guest):
    """A TAP's frames have 65535 bytes at most, and 14 of them are a header"""
    env = {"MSB_NET": f"iface=eth0,mac={MAC},mtu=65535",
           "MSB_LINK": "unix:/run/x"}
    code, _, log = cli(guest, "net", env=env)
    assert code == 1 and "cannot set MTU 65535" in log
    code, out, _ = cli(guest, "status")
    assert code == 1
    assert ("mtu: asked 65535, is 1500: eth0: cannot set MTU 65535: "
            "Invalid argument" in out)


def test_net_that_cannot_rename(guest):
    nic(guest, "eth9", MAC)
    guest.sh("ip link add eth0 type veth peer name host1")
    code, _, log = cli(guest, "net", env=NIC)
    assert code == 0 and "cannot rename it to eth0" in log
    code, out, _ = cli(guest, "status")
    assert code == 1
    assert "interface: asked eth0, is eth9: eth9: cannot rename" in out
    assert "1 of" in out


@pytest.mark.parametrize("argv", [
    ["net", "more"], ["net", "--nonsense"], ["agent", "more"],
    ["status", "more"], ["net", "--log-level", "loud"]])
def test_wrong_usage(guest, argv):
    code, out, log = cli(guest, *argv)
    assert code == 2 and not out and log


def test_help(guest):
    for verb in ("net", "agent", "status"):
        code, out, log = cli(guest, verb, "--help")
        assert code == 0 and f"usage: msb-init {verb}" in out and not log


# --- --dry-run ---------------------------------------------------------------

def snapshot(guest):
    # Link-local addresses come and become usable by themselves
    return guest.sh("ip addr show scope global; "
                    "ip link | sed 's/<[^>]*>//; s/state [A-Z]*//'; "
                    "ip route; ip -6 route | grep -v fe80 || :; hostname; "
                    "find /etc /run | sort; cat /etc/* 2>/dev/null || :; "
                    "cat /proc/sys/net/ipv[46]/conf/*/* 2>/dev/null || :")


def requests(log):
    """What an agent that logs all has sent"""
    mark = "msb-init: debug: "
    return [x[len(mark):] for x in log.splitlines() if x.startswith(mark) and
            x[len(mark):].split()[0] in ("ioctl", "netlink", "write", "mkdir",
                                         "open", "sethostname", "mknod")]


@pytest.mark.parametrize("env, before", [
    (TAP, ""),
    (NIC, "nic"),
    (NIC, "nic; ip link set eth0 mtu 1400; ip link set eth0 up; "
          "ip addr add 100.96.0.6/30 broadcast + dev eth0"),
    # Up, with another MAC: it goes down, and loses what goes with that
    (NIC, "nic; ip link set eth0 up; ip addr add 100.96.0.6/30 dev eth0; "
          "ip addr add fd42:6d73:62:1::2/64 nodad dev eth0; "
          "ip route add default via 100.96.0.5 proto static"),
    # With the MAC, but another name
    (NIC, f"nic ens3 {MAC}; ip link set ens3 up"),
    (NIC, "nic; ip link set lo up; mkdir -p /run/msb; "
          "ln -s ../run/none/resolv.conf /etc/resolv.conf"),
    ({**TAP, "MSB_NET_IPV4": "addr=10.0.0.2/32,gw=10.9.9.9"}, ""),
    # What a new interface begins with is not always the kernel's own choice
    (TAP, "echo 0 >/proc/sys/net/ipv6/conf/default/accept_ra; "
          "echo 1 >/proc/sys/net/ipv4/conf/default/arp_ignore"),
    ({}, ""),
])
def test_dry_run_is_what_is_done(guest, env, before):
    if before.startswith("nic"):
        head, _, before = before.partition(";")
        nic(guest, *head.split()[1:])
    guest.sh(before or ":")
    was = snapshot(guest)
    code, plan, log = cli(guest, "net", "--dry-run", env=env)
    assert code == 0 and not log
    assert snapshot(guest) == was
    assert cli(guest, "net", "--dry-run", env=env)[1] == plan
    code, _, log = cli(guest, "net", "--log-level", "debug", env=env)
    assert code == 0
    assert plan.splitlines() == requests(log)
    assert "ioctl SIOCSIFFLAGS lo up" in plan or "lo up" in before
    # And then nothing is left to do but to open a TAP, and to report
    again = cli(guest, "net", "--dry-run", env=env)[1].splitlines()
    assert [x for x in again if "TUN" not in x and "/net/tun" not in x] == [
        "write /run/msb/status, mode 0644"]


def test_dry_run_words(guest):
    nic(guest)
    guest.sh("ln -s ../run/none /etc/resolv.conf")
    plan = cli(guest, "net", "--dry-run", env=NIC)[1].splitlines()
    for line in (
            f"ioctl SIOCSIFHWADDR eth0 {MAC}",
            "ioctl SIOCSIFMTU eth0 1400",
            "netlink RTM_NEWADDR 100.96.0.6/30 dev eth0 broadcast 100.96.0.7"
            " flags CREATE|REPLACE",
            "netlink RTM_NEWADDR fd42:6d73:62:1::2/64 dev eth0 nodad"
            " flags CREATE|REPLACE",
            "netlink RTM_NEWROUTE default via 100.96.0.5 dev eth0"
            " proto static flags CREATE|REPLACE",
            "write /proc/sys/net/ipv6/conf/eth0/accept_ra 0",
            "sethostname w1",
            "write /etc/resolv.conf, mode 0644, in place of the link to"
            " ../run/none"):
        assert line in plan, line
    order = [plan.index(f"ioctl SIOCSIFMTU eth0 1400"),
             plan.index("ioctl SIOCSIFFLAGS eth0 up")]
    assert order == sorted(order)


def test_dry_run_of_the_agent(guest):
    """It would connect, and fetch; and it tells its parent nothing"""
    agent = guest.agent("--dry-run", probe="http://127.0.0.1:1/")
    assert agent.proc.wait(5) == 0, agent.log
    lines = agent.log.splitlines()
    assert f"connect unix:{guest.sock}, and forward" in lines
    assert lines[-1] == "fetch http://127.0.0.1:1/"
    assert "READY" not in agent.text
    guest.run("test", "!", "-e", "/run/msb")


def test_dry_run_fails_as_the_run_would(guest):
    code, plan, log = cli(guest, "net", "--dry-run", env=NIC)
    assert code == 4 and "no NIC" in log
    assert "eth0" not in plan


# --- status ------------------------------------------------------------------

def checks(guest):
    code, out, _ = cli(guest, "status", "--json")
    got = json.loads(out)
    assert got["same"] == all(x["same"] for x in got["checks"])
    assert code == (0 if got["same"] and got["state"] == "ready" else 1)
    return {x["item"]: x for x in got["checks"]}


def test_status_of_what_is_as_asked(guest):
    nic(guest)
    assert cli(guest, "net", env=NIC)[0] == 0
    code, out, log = cli(guest, "status")
    assert code == 0 and "as asked        yes\n" in out and not log
    got = checks(guest)
    assert all(x["same"] for x in got.values())
    assert set(got) == {"interface", "mac", "mtu", "link", "ipv4", "route4",
                        "ipv6", "route6", "resolver", "hosts", "hostname"}


@pytest.mark.parametrize("change, item, now", [
    ("ip link set eth0 mtu 1300", "mtu", "1300"),
    ("ip link set eth0 address 02:0:0:0:0:1", "mac", "02:00:00:00:00:01"),
    ("ip addr del 100.96.0.6/30 dev eth0", "ipv4", "missing"),
    ("ip addr del fd42:6d73:62:1::2/64 dev eth0", "ipv6", "missing"),
    ("ip addr del 100.96.0.6/30 dev eth0; "
     "ip addr add 100.96.0.6/24 dev eth0", "ipv4", "missing"),
    ("ip route del default", "route4", "missing"),
    ("ip -6 route del default", "route6", "missing"),
    ("ip route replace default dev lo", "route4", "missing"),
    ("echo search x >>/etc/resolv.conf", "resolver", "other content"),
    ("rm /etc/resolv.conf", "resolver", "other content"),
    ("sed -i /host.microsandbox/d /etc/hosts", "hosts", "other content"),
    ("hostname w2", "hostname", "w2"),
    ("ip link set eth0 down", "link", "down"),
    ("ip link set eth0 name eth7", "interface", "missing"),
    ("ip link del eth0", "interface", "missing"),
])
def test_status_tells_what_differs(guest, change, item, now):
    nic(guest)
    assert cli(guest, "net", env=NIC)[0] == 0
    guest.sh(change)
    was = snapshot(guest)
    got = checks(guest)
    assert not got[item]["same"] and got[item]["is"] == now
    assert got[item]["why"] == "it has been changed since"
    code, out, _ = cli(guest, "status")
    assert code == 1
    assert f"differs         {item}: asked " in out
    assert snapshot(guest) == was       # to look changes nothing
    if item != "interface":
        assert cli(guest, "net", env=NIC)[0] == 0
        assert cli(guest, "status")[0] == 0


def test_status_leaves_alone_what_nobody_asked_for(guest):
    nic(guest)
    assert cli(guest, "net", env=NIC)[0] == 0
    guest.sh("ip addr add 10.1.1.1/24 dev eth0; echo 10.1.1.2 x >>/etc/hosts;"
             "ip route add 10.2.0.0/16 via 10.1.1.2")
    assert cli(guest, "status")[0] == 0


@pytest.mark.parametrize("env, item, why", [
    ({**NIC, "MSB_NET_IPV4": "addr=10.0.0.2"}, "interface", "MSB_NET_IPV4: "),
    (NIC, "interface", "no NIC with the MAC"),
])
def test_status_says_why_it_failed(guest, env, item, why):
    assert cli(guest, "net", env=env)[0] != 0
    got = checks(guest)
    assert got[item]["is"] == "missing" and got[item]["why"].startswith(why)


def test_status_says_why_there_is_no_ipv6(guest):
    nic(guest)
    guest.sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; "
             "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; "
             "echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
    assert cli(guest, "net", env=NIC)[0] == 0
    got = checks(guest)
    for item in ("ipv6", "route6"):
        assert "IPv6" in got[item]["why"] and not got[item]["same"]
    assert got["ipv4"]["same"] and got["route4"]["same"]


def test_status_of_the_ca(guest):
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    key, pem = guest.tmp / "key", guest.tmp / "pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", pem,
         "-days", "30", "-subj", "/CN=x", "-addext",
         "basicConstraints=critical,CA:TRUE"],
        check=True, stderr=subprocess.DEVNULL)
    guest.write("/etc/msb/ca.pem", pem.read_text())
    nic(guest)
    assert cli(guest, "net", env=NIC)[0] == 0
    assert checks(guest)["ca"]["same"]
    guest.sh(f"echo '# empty' >{bundle}")
    got = checks(guest)["ca"]
    assert not got["same"] and got["asked"] == "/etc/msb/ca.pem"
    guest.write("/etc/msb/ca.pem", pem.read_text() + key.read_text())
    got = checks(guest)["ca"]
    assert got["is"] == "refused" and "private key" in got["why"]


def test_status_of_an_agent(guest, peer):
    agent = guest.agent()
    peer.accept().hello()
    agent.up()
    until(lambda: cli(guest, "status")[0] == 0)
    assert checks(guest)["agent"]["same"]
    agent.kill()
    got = checks(guest)["agent"]
    assert got["is"] == "ended" and str(agent.proc.pid) in got["why"]
    assert cli(guest, "status")[0] == 1


def test_status_of_any_file(guest):
    for text in ("", "STATE=ready", "MSB_NET=x\nSTATE=ready\n",
                 "\0\0\n=\n=x\n", "MODE=agent\nPID=0\n", "IFACE=" + "x" * 300,
                 f"MSB_NET={NET['MSB_NET']}\nIFACE=\x01\nSTATE=ready\n"):
        guest.write("/run/msb/status", text)
        code, out, _ = cli(guest, "status", "--json")
        assert code in (0, 1)
        json.loads(out)
