#!/usr/bin/env python3
"""soak.py - boot guests in a row, and count those that hang

usage: soak.py [N]

N boots (100), each with a gateway of its own, a ping and the agent's times.
Every one must end by itself with the status of its workload.  Prints how many
did, how many hung, and the least, median and greatest of each time.  Exits with
0 only if all ended well.
"""
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time

import vm

# One line of words, so that no archive has to be packed for each
SCRIPT = ("ping -c 1 -W 5 100.96.0.1 >/dev/null && "
          "sed s/^/@status\\|/ /run/msb/status && exit 42")


def one(d):
    """Boot once: (seconds, {key: ms}); raises AssertionError if it went wrong"""
    g = vm.Guest(d, cmd=["sh", "-c", SCRIPT], timeout=60)
    try:
        status = g.wait()
    finally:
        g.end()
    assert status == 42, f"status {status}\n{g.log()}"
    times = {k: int(v) / 1e6 for k, v in g.steps["status"].keys().items()
             if re.match(r"T_", k)}
    return g.took, times


def main():
    args = sys.argv[1:]
    if len(args) > 1 or args and not args[0].isdigit():
        print(__doc__.strip(), file=sys.stderr)
        return 2
    n = int(args[0]) if args else 100
    rows, bad = [], 0
    begin = time.monotonic()
    for i in range(1, n + 1):
        d = pathlib.Path(tempfile.mkdtemp(prefix="msb-soak-"))
        try:
            took, t = one(d)
            rows.append((took * 1000, t["T_START"],
                         t["T_ETH0"] - t["T_START"]))
            if i % 10 == 0:
                print(f"soak: {i} of {n}", flush=True)
        except AssertionError as e:     # vm.Hang is one, and counted there
            bad += 1
            print(f"soak: boot {i}: {e}")
        finally:
            shutil.rmtree(d, ignore_errors=True)
    print(f"soak: {n} boots in {time.monotonic() - begin:.0f} s: "
          f"{len(rows)} well, {bad} not, {len(vm.hung)} hung in boot")
    for name, values in zip(("start of QEMU to its end", "boot to agent",
                             "agent start to eth0 ready"), zip(*rows)):
        print(f"soak: {name}: min {min(values):.1f}, median "
              f"{statistics.median(values):.1f}, max {max(values):.1f} ms")
    return 0 if not bad and len(rows) == n else 1


if __name__ == "__main__":
    sys.exit(main())
