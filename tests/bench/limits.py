"""What this machine can do at best: memcpy, socketpair, TAP, loopback TCP.

    python3 tests/bench/limits.py [--quick]

Measured beside the gateways, in the same run, since a busy machine has lower
limits.  Medians of interleaved rounds; build/bench/limits does the work.
"""
import json
import statistics
import subprocess
import sys

import place as p
from place import lab

COLUMN = "limit"
TOOL = lab.BUILD / "bench" / "limits"
# Row, field of the tool's answer, arguments
ROWS = [("limit_memcpy_gbps", "gbps", "memcpy", 64 << 10),
        ("limit_memcpy_64m_gbps", "gbps", "memcpy", 64 << 20),
        ("limit_socketpair_gbps", "gbps", "socketpair"),
        ("limit_tap_gbps", "gbps", "tap"),
        ("limit_tap_frames_per_s", "per_s", "tap"),
        ("limit_loopback_gbps", "gbps", "loopback")]


class Taps:
    """Two TAPs of a namespace, which forwards from the first to the second."""

    def __init__(self, ns):
        self.fds = [p.open_tap(ns, name, True, blocking=True)
                    for name in ("t0", "t1")]
        ns.run("sh", "-ec",
               "ip link set t0 address 02:00:00:00:00:01; "
               "ip addr add 10.9.1.1/24 dev t0; ip link set t0 up; "
               "ip addr add 10.9.2.1/24 dev t1; ip link set t1 up; "
               "ip neigh add 10.9.2.2 lladdr 02:00:00:00:00:02 dev t1")
        ns.sysctl("net.ipv4.ip_forward", "1")


def ask(ns, argv, secs, fds=()):
    r = subprocess.run(ns.cmd(TOOL, *argv, secs), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=secs + 30, pass_fds=fds)
    if r.returncode:
        raise AssertionError(f"limits {argv[0]}: {r.stderr.strip()}")
    return json.loads(r.stdout)


def rows(log, quick=False):
    """{row: {"limit": value}}; log is called with a line of text now and then."""
    secs, rounds = (0.2, 1) if quick else (1, 5)
    got = {}
    ns = p.namespace()
    try:
        taps = Taps(ns)
        for _ in range(rounds):
            for kind in dict.fromkeys(row[2:] for row in ROWS):
                fds = taps.fds if kind[0] == "tap" else ()
                got.setdefault(kind, []).append(
                    ask(ns, [*kind, *fds], secs, fds))
    finally:
        ns.close()
    out = {}
    for row, field, *kind in ROWS:
        value = statistics.median(x[field] for x in got[tuple(kind)])
        out[row] = {COLUMN: value}
        log(f"{row}: {value:.5g}")
    return out


def main():
    print(json.dumps(rows(lambda line: print(line, file=sys.stderr),
                          "--quick" in sys.argv[1:]), indent=1))


if __name__ == "__main__":
    main()
