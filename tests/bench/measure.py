"""How it is measured: one column, one round, as a dict of numbers."""
import contextlib
import json
import statistics
import subprocess

import place as p
from place import lab

IPERF_PORT, ECHO_PORT = 5001, 5002
STARTS = 7


class Failed(Exception):
    """A measurement that could not be made, in a line."""


def client(ns, *argv, timeout):
    """What a program in a namespace printed, as JSON."""
    r = subprocess.run(ns.cmd(*argv), stdin=subprocess.DEVNULL, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=timeout)
    try:
        return json.loads(r.stdout)
    except ValueError:
        raise Failed(f"{argv[0]}: {(r.stderr or r.stdout).strip()[:200]}")


@contextlib.contextmanager
def server(col, ns, *argv):
    proc = col.place.spawn(ns, *argv, log=col.place.log("server"))
    try:
        yield proc
    finally:
        p.stop(proc)


def listening(ns, port):
    p.until(lambda: f":{port} " in ns.run("ss", "-Htln"),
            f"nobody listens on {port}")


def bulk(col, secs, streams, down):
    """TCP as fast as it goes: Gbit/s, retransmissions, CPU seconds per GB."""
    host, guest = col.place.host, col.guest
    with server(col, host, "iperf3", "-s", "-1", "-p", IPERF_PORT):
        listening(host, IPERF_PORT)
        used, helped, busy = p.cpu_s(col.procs), p.cpu_s(col.helpers), \
            p.busy_s()
        j = client(guest, "iperf3", "-c", col.target, "-p", IPERF_PORT, "-t",
                   secs, "-P", streams, "-J", "--connect-timeout", "3000",
                   "-C", guest.congestion,
                   *(["-R"] if down else []), timeout=secs + 15)
        used = p.cpu_s(col.procs) - used
        helped = p.cpu_s(col.helpers) - helped
        busy = p.busy_s() - busy
    if "error" in j:
        raise Failed(j["error"])
    got, sent = j["end"]["sum_received"], j["end"]["sum_sent"]
    gb = got["bytes"] / 1e9
    m = {"gbps": got["bits_per_second"] / 1e9,
         "retr": sent.get("retransmits", 0)}
    if gb > 0.05:
        m.update(box_gb=busy / gb)
        if col.procs:
            m.update(gw_gb=used / gb)
        if col.helpers:
            m.update(agent_gb=helped / gb)
    return m


def requests(col, secs, kind, n):
    j = client(col.guest, col.place.tools / "nb", kind, col.target, ECHO_PORT,
               secs, n, timeout=secs + 15)
    if not j["n"]:
        raise Failed(f"{kind}: no answer at all")
    return {k: j[k] for k in ("per_s", "p50_us", "p99_us", "errors")}


def memory(col):
    m = {}
    if col.procs:
        for key in ("Rss", "Pss"):
            kib = p.memory_kib(col.procs, key)
            if kib is not None:
                m[key.lower() + "_mib"] = kib / 1024
    return m


def plan(secs, more):
    """Name, function and arguments of each measurement of a round."""
    jobs = [("up1", bulk, secs, 1, False), ("down1", bulk, secs, 1, True),
            ("rr1", requests, secs / 2, "rr", 1),
            ("crr1", requests, secs / 2, "crr", 1)]
    if more:
        jobs += [("up8", bulk, secs, 8, False), ("down8", bulk, secs, 8, True),
                 ("rr16", requests, secs / 2, "rr", 16),
                 ("crr16", requests, secs / 2, "crr", 16)]
    return jobs


def one_round(col, jobs):
    """Everything of one column once: numbers, and what went wrong."""
    m, notes = {}, []
    host = col.place.host
    p.nap(0.3)
    m.update({f"idle.{k}": v for k, v in memory(col).items()})
    with server(col, host, col.place.tools / "nb", "server", "0.0.0.0",
                ECHO_PORT):
        listening(host, ECHO_PORT)
        for name, fn, *args in jobs:
            try:
                got = fn(col, *args)
            except (Failed, AssertionError,
                    subprocess.TimeoutExpired) as e:
                notes.append(f"{col.name} {name}: {e}")
                continue
            m.update({f"{name}.{k}": v for k, v in got.items()})
    return m, notes


def gateway_start(place):
    """CPU from exec to listening of both processes, ms: median of a few."""
    times = []
    for _ in range(STARTS):
        log = place.log("start")
        with place.host.net(), open(log, "w") as f:
            proc = subprocess.Popen(
                [lab.GATEWAY, "run", "--ipv4", "on", "--ipv6", "on", "--unix",
                 place.tmp / "start.sock"], stdin=subprocess.DEVNULL,
                stdout=f, stderr=f)
        try:
            p.until(lambda: p.isolated(proc), "the gateway does not start")
            p.nap(0.02)
            times.append(sum(map(p.run_ns, p.tree(proc.pid))) / 1e6)
        except (OSError, AssertionError):
            return None
        finally:
            p.stop(proc)
    return statistics.median(times)
