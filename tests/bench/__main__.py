"""make bench: our gateway side by side with its peers, in one run.

A guest and a host in network namespaces, IPv4.  Columns:
    ours            msb-init agent and msb-gateway over a Unix socket, as in a VM
    ours-tap        msb-gateway run --tap-fd on the guest's TAP
    ours-bare       as ours, without offloads
    ours-stream     plain frames over a stream socket, as from QEMU's -netdev
                    stream: tapsock, which stands for the VMM, and msb-gateway
    pasta, slirp4netns      the system's, on a TAP of theirs
    passt           the system's, as ours-stream
    pasta-new, passt-new    today's, fetched by tests/peers
    bridge          TAP to TAP through one process, plain frames
    bridge-offload  the same with virtio-net offloads: the ceiling for us
    veth            the kernel alone
Rounds are interleaved, so what else the machine does hits all columns alike.
Trust ratios, never absolute numbers.  With one connection and few cores, latency
has two modes, which differ by a factor of five: the next process runs on the same
CPU, or on another that must be woken, as the scheduler happens to place them.  So
rr_* is the median over eight clients a round, is told with its spread, and stands
beside rr_one_cpu_* (all processes of every column on one CPU) and rr_two_cpus_*
(those of the guest on one, those of the host on the other, as with a VM).

Everything is counted while it runs: CPU of processes by the scheduler's clock,
of the whole box (whoever uses it) by /proc/stat.  UDP is sent flat out, 8900
bytes at MTU 9000, the rest at 1500; what is lost is told beside it.

Results: a table, build/bench/latest.json ({"row": {"column": median}}),
build/bench/result.json (spread, samples, machine), build/bench/*.svg.
What a column cannot do is null, and the reason is printed.

Environment: PASTA, PASTA_NEW, PASST, PASST_NEW, SLIRP4NETNS name other
programs than those found.
Marks are those of the budget, and change no exit code.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import signal
import sys
import time

import columns
import publish
import rows
import run as runs
from place import lab


NOFILE = 65536


def number(text):
    value = int(text)
    if value <= 0:
        raise ValueError
    return value


number.__name__ = "number above 0"


def arguments(argv):
    p = argparse.ArgumentParser(
        prog="make bench BENCH=...", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=number,
                   help="how often everything is measured (5; quick: 1)")
    p.add_argument("--quick", action="store_true",
                   help="the chief rows only, and shorter")
    p.add_argument("--rows", action="append", default=[], metavar="GLOB,...",
                   help="only rows whose names match, such as 'tcp_*_gbps'")
    p.add_argument("--columns", action="append", default=[],
                   metavar="GLOB,...", help="only these columns")
    p.add_argument("--minutes", type=number, default=40,
                   help="begin nothing after these (40)")
    p.add_argument("--gateway-args", default="", metavar="ARGS",
                   help="more flags for msb-gateway")
    p.add_argument("--out", type=pathlib.Path, metavar="DIR",
                   help="where results go (build/bench)")
    p.add_argument("--publish", action="store_true",
                   help="write charts and tables of README.md and doc/bench")
    p.add_argument("--from", dest="source", metavar="FILE",
                   help="measure nothing: show, or publish, a result.json")
    p.add_argument("--list", action="store_true",
                   help="names of all rows and columns")
    a = p.parse_args(argv)
    for key in ("rows", "columns"):
        setattr(a, key, [g for x in getattr(a, key) for g in x.split(",")
                         if g])
    if a.quick and not a.rows:
        a.rows = list(rows.QUICK)
    a.rounds = a.rounds or (1 if a.quick else 5)
    return a


def chosen(globs, build):
    """The columns that can be measured."""
    names = [c.name for c in columns.ALL]
    cols = [c for c in columns.ALL if rows.matches(c.name, globs)]
    if not cols:
        sys.exit("bench: no such column, only " + ", ".join(names))
    for c in cols:
        if c.missing(build):
            runs.say(f"{c.name}: left out, {c.missing(build)}")
    return [c for c in cols if not c.missing(build)]


def need(build):
    tools = (build / "bench" / x for x in ("nb", "bridge", "tapsock"))
    for path in (lab.GATEWAY, lab.INIT, *tools):
        if not os.access(path, os.X_OK):
            sys.exit(f"bench: {path} has not been built")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        sys.exit("bench: /dev/net/tun cannot be opened")


def descriptors():
    """A flow takes a peer two: whoever is root may raise the limit for all."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (max(hard, NOFILE), hard):
        with contextlib.suppress(OSError, ValueError):
            return resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def measured(a, build):
    """Run; the result, and whether the run is whole."""
    need(build)
    descriptors()
    begun, end = time.time(), time.monotonic() + 60 * a.minutes
    run = runs.Run(build, chosen(a.columns, build), a.rows, a.quick,
                   a.gateway_args.split())
    complete = False

    def save():
        res = publish.result(run, begun, complete, a.rounds, sys.argv[1:])
        publish.save(a.out / "result.json", res)
        return res
    try:
        run.foreign()
        complete = run.rounds(a.rounds, end, save)
    except KeyboardInterrupt:
        runs.say("interrupted")
    return save()


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    a = arguments(sys.argv[1:])
    if a.list:
        print("\n".join([c.name for c in columns.ALL] + [""] +
                        list(rows.ROWS)))
        return
    build = pathlib.Path(os.environ.get("MSB_BUILD", "build")).resolve()
    a.out = a.out or build / "bench"
    a.out.mkdir(parents=True, exist_ok=True)
    if a.source:
        res = json.loads(pathlib.Path(a.source).read_text())
    else:
        signal.signal(signal.SIGTERM, interrupted)
        res = measured(a, build)
    print(publish.text(res))
    if not res["complete"]:
        sys.exit("bench: the run is not whole; latest.json stays as it was")
    if not a.source:
        publish.save(a.out / "latest.json", res["medians"])
        publish.draw(publish.charts_of(res), a.out)
        print(f"\n{a.out}: latest.json, result.json, charts")
    if a.publish:
        publish.publish(res)
        print("README.md and doc/bench have been written")
    else:
        print("to put this run into README.md and doc/bench: "
              f"make bench BENCH='--publish --from {a.out}/result.json'")


main()
