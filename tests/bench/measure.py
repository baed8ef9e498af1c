"""How it is measured: jobs, each of which gives a few rows of one column.

A job of a setup runs on a column that has been started for it: an MTU, or so
many flows.  Whatever goes wrong ends that job alone, with a line that says why.
"""
import collections
import contextlib
import json
import os
import resource
import statistics
import subprocess

import place as p
import rows
from place import lab

IPERF_PORT, ECHO_PORT, UDP_PORT = 5001, 5002, 5003
SLICES = 8      # of one connection: the scheduler places each client anew

# rows: what run(col) may return; gateway: only of columns that have flows
Job = collections.namedtuple("Job", "name rows run gateway")


class Failed(Exception):
    """A measurement that could not be made, in a line."""


class Partial(Failed):
    """Failed, but some rows are good."""

    def __init__(self, good, why):
        super().__init__(why)
        self.good = good


class Times:
    """How long each kind of measurement takes, seconds."""

    def __init__(self, quick):
        self.tcp = 1                        # iperf3 takes whole ones
        self.requests = 0.5 if quick else 1.0
        self.connects = 0.5 if quick else 0.8
        self.udp = 0.3 if quick else 0.5
        self.flows = 20


def client(ns, *argv, timeout):
    """What a program in a namespace printed, as JSON."""
    try:
        r = subprocess.run(ns.cmd(*argv), stdin=subprocess.DEVNULL, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"nothing within {timeout:g} s") from None
    return parse(r.stdout, r.stderr)


def parse(out, err):
    try:
        return json.loads(out)
    except ValueError:
        line = (err or out).strip().splitlines() or ["without a word"]
        raise Failed(line[-1][:160]) from None


@contextlib.contextmanager
def server(col, ns, *argv):
    proc = col.place.spawn(ns, *argv, log=col.place.log("server"))
    try:
        yield proc
    finally:
        p.stop(proc)


def listening(ns, port, kind="t"):
    p.until(lambda: f":{port} " in ns.run("ss", f"-Hln{kind}"),
            f"nobody listens on {port}")


# --- TCP as fast as it goes ----------------------------------------------------

def iperf(col, secs, streams, way):
    argv = ["iperf3", "-c", col.target, "-p", IPERF_PORT, "-t", secs, "-P",
            streams, "-J", "--connect-timeout", "3000", "-C",
            col.guest.congestion]
    with server(col, col.place.host, "iperf3", "-s", "-1", "-p", IPERF_PORT):
        listening(col.place.host, IPERF_PORT)
        used, helped, busy = (p.cpu_s(col.procs), p.cpu_s(col.helpers),
                              p.busy_s())
        j = client(col.guest, *argv, *(["-R"] if way == "down" else []),
                   timeout=secs + 10)
        used, helped, busy = (p.cpu_s(col.procs) - used,
                              p.cpu_s(col.helpers) - helped,
                              p.busy_s() - busy)
    if "error" in j:
        raise Failed(j["error"])
    return j["end"], used, helped, busy


def bulk(col, secs, streams, way):
    """Gbit/s, retransmissions, and CPU seconds for each gigabyte."""
    name = rows.bulk_name(way, streams, col.mtu)
    end, used, helped, busy = iperf(col, secs, streams, way)
    got, sent = end["sum_received"], end["sum_sent"]
    gb = got["bytes"] / 1e9
    m = {f"{name}_gbps": got["bits_per_second"] / 1e9,
         f"{name}_retransmits": sent.get("retransmits", 0)}
    if not gb:
        raise Failed("not a byte came")
    if gb < 0.01:
        return m        # too little to share CPU among
    cpu = end["cpu_utilization_percent"]
    load = (cpu["host_total"] + cpu["remote_total"]) / 100 * got["seconds"]
    m[f"{name}_cpu_box_s_per_gb"] = busy / gb
    m[f"{name}_cpu_load_s_per_gb"] = load / gb
    if col.procs:
        m[f"{name}_cpu_gateway_s_per_gb"] = used / gb
    if col.helpers:
        m[f"{name}_cpu_agent_s_per_gb"] = helped / gb
    return m


# --- requests ------------------------------------------------------------------

def nb(col, kind, secs, n, prefix=()):
    j = client(col.guest, *prefix, col.place.tools / "nb", kind, col.target,
               ECHO_PORT, secs, n, timeout=secs + 10)
    if not j["n"]:
        raise Failed("no answer at all")
    return j


def requests_rows(kind, slices):
    """Of a few slices, each of another client: the medians."""
    m = {f"{kind}_{key}": statistics.median(x[key] for x in slices)
         for key in ("p50_us", "p99_us", "p999_us", "per_s")}
    wrong = sum(x["errors"] for x in slices)
    if wrong:
        raise Failed(f"{wrong} connections broke")
    return m


@contextlib.contextmanager
def echo(col):
    with server(col, col.place.host, col.place.tools / "nb", "server",
                "0.0.0.0", ECHO_PORT) as proc:
        listening(col.place.host, ECHO_PORT)
        yield proc


def rr(col, kind, secs, conns, slices):
    with echo(col):
        return requests_rows(kind, [nb(col, "rr", secs / slices, conns)
                                    for _ in range(slices)])


def rr_pinned(col, kind, secs, cpus):
    """The guest's processes on the first CPU, the host's on the last.

    If that is the same, none is ever woken: what the way itself costs.
    """
    where = sorted(os.sched_getaffinity(0))[:cpus]
    if len(where) < cpus:
        raise Failed("there is one CPU only")
    with echo(col) as proc, p.on_cpu(where[0], col.helpers), p.on_cpu(
            where[-1], [proc, *col.procs]):
        return requests_rows(kind, [nb(col, "rr", secs, 1, [
            "taskset", "-c", where[0]])])


def crr(col, secs, workers):
    with echo(col):
        j = nb(col, "crr", secs, workers)
    return {f"crr_{workers}_per_s": j["per_s"],
            f"crr_{workers}_errors": j["errors"]}


# --- datagrams -----------------------------------------------------------------

def udp(col, secs, way, size):
    """Received per second, and the part of what was sent that was lost."""
    host, guest, tool = col.place.host, col.guest, col.place.tools / "nb"
    most = secs + 4
    near = ["udprx", "0.0.0.0", UDP_PORT, most, size]
    far = ["udptx", col.target, UDP_PORT, secs, size]
    if way == "down":
        near = ["udpsrv", "0.0.0.0", UDP_PORT, secs, size]
        far = ["udpask", col.target, UDP_PORT, most, size]
    proc = host.popen(tool, *near, stdin=subprocess.DEVNULL, text=True,
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        listening(host, UDP_PORT, "u")
        one = client(guest, tool, *far, timeout=most + 5)
        other = parse(*proc.communicate(timeout=most + 5))
    except subprocess.TimeoutExpired:
        raise Failed("the end does not come") from None
    finally:
        p.stop(proc)
        for f in (proc.stdout, proc.stderr):
            f.close()
    sent, got = (one, other) if way == "up" else (other, one)
    if not got["n"]:
        raise Failed(f"none of {sent['sent']} datagrams came")
    return {f"udp_{way}_{size}_pps": got["per_s"],
            f"udp_{way}_{size}_loss_pct":
                max(0, 100 * (1 - got["n"] / sent["sent"]))}


# --- memory and start ----------------------------------------------------------

def resident(col):
    """RSS and PSS of a gateway's processes, MiB."""
    m = {}
    for key in ("Rss", "Pss"):
        kib = p.memory_kib(col.procs, key)
        if kib is not None:
            m[key.lower()] = kib / 1024
    return m


def idle(col):
    if not col.procs:
        return {}
    p.nap(0.3)
    return {f"mem_idle_{k}_mib": v for k, v in resident(col).items()}


def started(col):
    """What starting took, without the programs that started it."""
    return {f"{k}_cpu_ms": max(0, v - col.place.wrapped) * 1e3
            for k, v in col.cpu.items()}


def flows(col, secs):
    """Memory with a thousand flows and more, all idle."""
    p.nap(0.3)
    base, m, have = resident(col), {}, 0
    with echo(col), contextlib.ExitStack() as stack:
        for n in rows.FLOWS:
            proc = col.guest.popen(
                col.place.tools / "nb", "flows", col.target, ECHO_PORT, secs,
                n - have, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True)
            for f in (proc.stdin, proc.stdout):
                stack.callback(f.close)
            stack.callback(p.stop, proc)
            line = proc.stdout.readline()       # it is bounded by its time
            try:
                have += parse(line, "")["n"]
            except Failed as e:
                raise Partial(m, f"at {n} flows, each may have {limit()} "
                              f"descriptors: {e}") from None
            p.nap(0.5)
            now = resident(col)
            for key, mib in now.items():
                m[f"mem_flows_{n}_{key}_mib"] = mib
            m[f"mem_flows_{n}_bytes_per_flow"] = (
                now["rss"] - base["rss"]) * 2**20 / n
    return m


def limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def many(col):
    p.nap(0.3)
    ended = [x for x in col.procs if x.poll() is not None]
    if ended:
        raise Failed(f"{len(ended)} have ended: {col.said(ended[0])}")
    m = resident(col)
    if "pss" not in m:
        raise Failed("PSS may not be read")
    return {f"mem_{rows.MANY}_pss_mib": m["pss"] / rows.MANY}


# --- the plan ------------------------------------------------------------------

# What a column is started for, every so many rounds: memory varies little
Setup = collections.namedtuple("Setup", "name start jobs every")
ONCE = 1000


def mtu_jobs(mtu, t):
    jobs = []

    def add(names, fn, *args, gateway=False):
        jobs.append(Job(names[0], names, lambda col: fn(col, *args), gateway))
    if mtu == 1500:
        add(["start_cpu_ms", "agent_start_cpu_ms"], started, gateway=True)
        add(["mem_idle_rss_mib", "mem_idle_pss_mib"], idle)
    for way in rows.WAYS:
        for n in rows.STREAMS:
            name = rows.bulk_name(way, n, mtu)
            add([x for x in rows.ROWS if x.startswith(name + "_")], bulk,
                t.tcp, n, way)
    if mtu == 1500:
        for kind, n, slices in (("rr", 1, SLICES), ("rr64", 64, 1)):
            add([f"{kind}_{x}" for x in ("p50_us", "p99_us", "p999_us",
                                         "per_s")],
                rr, kind, t.requests, n, slices)
        for kind, cpus in (("rr_one_cpu", 1), ("rr_two_cpus", 2)):
            add([f"{kind}_{x}" for x in ("p50_us", "p99_us", "p999_us",
                                         "per_s")],
                rr_pinned, kind, t.requests / 2, cpus)
        for n in (1, 16):
            add([f"crr_{n}_per_s", f"crr_{n}_errors"], crr, t.connects, n)
    for way in rows.WAYS:
        for size in rows.UDP_SIZES:
            # 8900 bytes are for who has frames as large
            if mtu == (9000 if size > 1472 else 1500):
                add([f"udp_{way}_{size}_pps", f"udp_{way}_{size}_loss_pct"],
                    udp, t.udp, way, size)
    return jobs


def plan(times):
    """All setups, each with its jobs."""
    setups = [Setup(f"MTU {mtu}", lambda col: col.start(),
                    mtu_jobs(mtu, times), 1) for mtu in rows.MTUS]
    # Names that no run of another length of FLOWS could have
    names = [x for x in rows.ROWS if x.startswith("mem_flows_")]
    setups.append(Setup(f"{max(rows.FLOWS)} flows", lambda col: col.start(), [
        Job(names[0], names, lambda col: flows(col, times.flows), True)], 2))
    names = [f"mem_{rows.MANY}_pss_mib"]
    setups.append(Setup(
        f"{rows.MANY} gateways", lambda col: col.start_many(rows.MANY),
        [Job(names[0], names, many, True)], ONCE))
    return setups


def size_kib():
    return {"msb_init_kib": {"ours": os.path.getsize(lab.INIT) / 1024}}


def settle():
    """Neighbours are found, and what has started is idle."""
    p.nap(0.3)


def cannot(cls, row):
    """Why a column has no such row, and never will."""
    ours = cls.name.startswith("ours")
    if not rows.matches(row, cls.only):
        return "not asked of it"
    if row == "start_cpu_ms" and cls.name.startswith("passt"):
        return "unshare is in it"
    if "_cpu_agent_" in row or row == "agent_start_cpu_ms":
        return "there is no agent"
    if row == "msb_init_kib":
        return "msb-init is not in it" if not ours else "as ours"
    if not cls.gateway:
        return "there is no gateway"
    return "not measured"
