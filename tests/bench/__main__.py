"""make bench: our gateway side by side with its peers, in one run.

A guest and a host in network namespaces, MTU 1500, TCP over IPv4.  Columns:
    veth        the kernel alone
    bridge      TAP to TAP through one process, with virtio-net offloads
    ours-tap    msb-gateway run --tap-fd on the guest's TAP
    ours        msb-init agent and msb-gateway over a Unix socket
    ours-bare   the same without offloads
    pasta, slirp4netns      the system's
    pasta-new   build/peers/pasta
Rounds are interleaved, so what else the machine does hits all columns alike;
the table has medians.  Trust ratios, never absolute numbers.  All samples go to
build/bench/result.json.

Environment:
    BENCH_SECONDS   of each throughput test; requests take half (2)
    BENCH_ROUNDS    (3)
    BENCH_ONLY      columns, by comma
    BENCH_MORE      1: also 8 streams, 16 connections, 16 workers
    BENCH_GATEWAY_ARGS      more flags for ours
    PASTA, PASTA_NEW, SLIRP4NETNS   other programs than those found
Marks are those of the budget, and change no exit code.
"""
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import columns
import measure
import place as places
from place import lab
import table


def setting(name, default, kind):
    text = os.environ.get(name, "")
    try:
        value = kind(text) if text else default
    except ValueError:
        value = 0
    if value <= 0:
        sys.exit(f"bench: {name}: a number above 0, not {text!r}")
    return value


def chosen(build):
    """The columns that can be measured, and a note on each that cannot."""
    names = [c.name for c in columns.ALL]
    only = [x for x in os.environ.get("BENCH_ONLY", "").split(",") if x]
    for x in only:
        if x not in names:
            sys.exit(f"bench: BENCH_ONLY: no column {x}, only "
                     + ", ".join(names))
    cols, notes = [], []
    for c in columns.ALL:
        if only and c.name not in only:
            continue
        why = c.missing(build)
        if why:
            notes.append(f"{c.name}: left out, {why}")
        else:
            cols.append(c)
    return cols, notes


def need(build):
    for path in (lab.GATEWAY, lab.INIT, build / "bench" / "nb",
                 build / "bench" / "bridge"):
        if not os.access(path, os.X_OK):
            sys.exit(f"bench: {path} has not been built")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        sys.exit("bench: /dev/net/tun cannot be opened")


def run(place, build, cols, rounds, jobs):
    samples, notes = {c.name: [] for c in cols}, []
    for n in range(rounds):
        for cls in cols:
            start = time.monotonic()
            col = cls(place, build)
            try:
                col.start()
                got, wrong = measure.one_round(col, jobs)
            except (AssertionError, OSError, subprocess.SubprocessError) as e:
                got, wrong = {}, [f"{cls.name}: {e}"]
            finally:
                col.stop()
            if got:
                samples[cls.name].append(got)
            notes += [f"round {n + 1}: {x}" for x in wrong]
            print(f"bench: round {n + 1} {cls.name}: "
                  f"{got.get('up1.gbps', 0):.1f} up, "
                  f"{got.get('down1.gbps', 0):.1f} down, "
                  f"{time.monotonic() - start:.0f} s", file=sys.stderr)
    return samples, notes


def main():
    if set(sys.argv[1:]) & {"-h", "--help"}:
        sys.exit(__doc__)
    build = pathlib.Path(os.environ.get("MSB_BUILD", "build")).resolve()
    secs = setting("BENCH_SECONDS", 2, float)
    rounds = setting("BENCH_ROUNDS", 3, int)
    need(build)
    cols, notes = chosen(build)
    for note in notes:
        print(f"bench: {note}", file=sys.stderr)
    place = places.Place(build)
    try:
        start_ms = measure.gateway_start(place)
        samples, wrong = run(place, build, cols, rounds,
                             measure.plan(secs, "BENCH_MORE" in os.environ))
        cc = place.host.congestion
    finally:
        place.close()
    result = table.Result(samples, [c.name for c in cols if c.peer], start_ms)
    out = build / "bench" / "result.json"
    out.write_text(json.dumps({
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(), "cpus": os.cpu_count(),
        "load": os.getloadavg(), "congestion": cc, "seconds": secs,
        "start_ms": start_ms, "samples": samples, "medians": result.value,
        "budget": [{"what": w, "pass": ok} for w, ok in result.budget()],
        "notes": notes + wrong}, indent=1) + "\n")
    print(table.text(result))
    for note in notes + wrong:
        print(f"note: {note}")
    print(f"{len(samples)} columns, {rounds} rounds, {secs:g} s, {cc}, load "
          f"{os.getloadavg()[0]:.1f}; {out}")


main()
