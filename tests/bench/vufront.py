"""The vhost-user device without a guest: throughput, instructions per packet.

    python3 tests/bench/vufront.py [--quick]

build/bench/vufront is guest and VMM: it drives `msb-gateway run --vhost-user`
with prepared rings, one flow, to a server of its own on the loopback of a
namespace.  Throughput and CPU are measured under isolation, as users run it.
Instructions are those of the packet process in user space, counted by callgrind
with --no-isolation: valgrind needs system calls of its own.  Each is the
difference between a run and one twice as long, so start and end count nothing.

build/bench/instr-NAME.txt has the functions that cost most, by themselves, with
what the compiler put into them.
"""
import collections
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import place as p
from place import lab

COLUMN = "ours"
TOOLS = lab.BUILD / "bench"
TOP = 15
TRIES = 3

# Name, what vufront is asked, {row: field of its answer}
FLOWS = [
    ("up", ["up"], {"vu_up_gbps": "gbps", "vu_up_frames_per_s": "frames_per_s",
                    "vu_up_cpu_s_per_gb": "cpu_s_per_gb"}),
    ("down", ["down"], {"vu_down_gbps": "gbps",
                        "vu_down_frames_per_s": "frames_per_s",
                        "vu_down_cpu_s_per_gb": "cpu_s_per_gb"}),
    ("up_mtu1500", ["up", "-s", 1448, "-p", 32],
     {"vu_up_mtu1500_gbps": "gbps",
      "vu_up_mtu1500_frames_per_s": "frames_per_s"}),
    ("rr", ["rr"], {"vu_rr_p50_us": "p50_us", "vu_rr_p99_us": "p99_us"}),
    ("udp64", ["udp", "-p", 32], {"vu_udp64_per_s": "frames_per_s"}),
]

# Row, what vufront is asked, how many frames: what is counted is of one frame
# in that direction, with all that comes of it; rr counts a whole round trip
COUNTS = [
    ("vu_instr_per_packet_up_mtu1500", ["up", "-s", 1448], 10000),
    # As msb-init agent sends them, when many come at once
    ("vu_instr_per_packet_up_mtu1500_x32", ["up", "-s", 1448, "-p", 32], 10000),
    # Without offloads: the gateway verifies the checksum
    ("vu_instr_per_packet_up_mtu1500_csum", ["up", "-s", 1448, "-c"], 10000),
    ("vu_instr_per_packet_up_gso", ["up"], 2000),
    ("vu_instr_per_packet_down_gso", ["down"], 2000),
    ("vu_instr_per_round_trip_rr", ["rr"], 2000),
    ("vu_instr_per_packet_udp64", ["udp"], 10000),
]

ROWS = [row for _, _, got in FLOWS for row in got] + [x[0] for x in COUNTS]


@contextlib.contextmanager
def gateway(ns, tmp, *prefix, args=(), env=None):
    """msb-gateway as a vhost-user device: its process and its socket."""
    sock = tmp + "/vhost.sock"
    with open(tmp + "/gateway.log", "w+") as log:
        proc = ns.popen(*prefix, lab.GATEWAY, "run", "--vhost-user", sock,
                        "--ipv4", "on", "--ipv6", "off", "--net", "all", *args,
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        env={**os.environ, **(env or {})})
        try:
            p.until(lambda: os.path.exists(sock) or proc.poll() is not None,
                    "the gateway does not listen", 60)
            yield proc, sock
            assert proc.poll() is None, "the gateway has ended"
        except AssertionError as e:
            log.seek(0)
            raise AssertionError(f"{e}\n{log.read()[-2000:]}") from None
        finally:
            p.stop(proc, 60)            # callgrind writes at the end
            with contextlib.suppress(OSError):
                os.unlink(sock)


def vufront(ns, sock, mode, *args, timeout=60):
    r = subprocess.run(ns.cmd(TOOLS / "vufront", mode, sock, *args),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=timeout)
    assert r.returncode == 0, f"vufront {mode}: {r.stderr.strip()}"
    return json.loads(r.stdout)


# --- throughput --------------------------------------------------------------

def one_flow(ns, tmp, argv, secs):
    with gateway(ns, tmp) as (proc, sock):
        p.until(lambda: p.isolated(proc), "the gateway is not isolated")
        used = p.cpu_s([proc])
        j = vufront(ns, sock, *argv, "-t", secs)
        used = p.cpu_s([proc]) - used
    if j["bytes"]:
        j["cpu_s_per_gb"] = used / (j["bytes"] / 1e9)
    return j


def flows(ns, tmp, log, secs, rounds):
    got = collections.defaultdict(list)
    for n in range(rounds):
        for name, argv, _ in FLOWS:
            j = one_flow(ns, tmp, argv, secs)
            got[name].append(j)
            again = f", went back {j['again']} times" if j["again"] else ""
            log(f"vhost-user {n + 1}/{rounds} {name}: {j['gbps']:.3g} Gbit/s, "
                f"{j['frames_per_s']:.0f} frames/s{again}")
    return {row: {COLUMN: statistics.median(j[key] for j in got[name])}
            for name, _, fields in FLOWS for row, key in fields.items()}


# --- instructions ------------------------------------------------------------

def functions(path):
    """{function: instructions}, what was inlined into it included."""
    text = subprocess.run(
        ["callgrind_annotate", "--threshold=100", "--auto=no", path],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    out = collections.Counter()
    for count, where in re.findall(
            r"^ *([\d,]+) +(?:\( *[\d.]+%\) +)?(\S*:\S.*)$", text, re.M):
        name = re.sub(r" \[.*\]$", "", where).rsplit(":", 1)[1]
        name = re.sub(r"\.(isra|part|constprop|cold)\b.*", "", name)
        out[name] += int(count.replace(",", ""))
    return out


def packet_process(tmp):
    """The file of the process that callgrind has seen to carry packets."""
    for name in sorted(os.listdir(tmp)):
        path = os.path.join(tmp, name)
        if name.startswith("cg."):
            with open(path, errors="replace") as f:
                head = f.read(4096)
            if re.search(r"^cmd: .* packet$", head, re.M):
                return path
    raise AssertionError("callgrind has not seen the packet process")


def counted(ns, argv, frames):
    """Of a run: what vufront said, frames, {function: instructions}."""
    with tempfile.TemporaryDirectory(prefix="msb-vu-") as tmp:
        with gateway(ns, tmp, "valgrind", "--tool=callgrind",
                     "--trace-children=yes",
                     f"--callgrind-out-file={tmp}/cg.%p",
                     args=("--no-isolation",),
                     env={"LD_PRELOAD": str(TOOLS / "vg_exec.so")}
                     ) as (_, sock):
            j = vufront(ns, sock, *argv, "-n", frames, timeout=300)
        # What was lost behind the gateway went through it all the same
        return j, j["sent"] or j["frames"], functions(packet_process(tmp))


def clean(ns, argv, frames):
    """As counted(), of a run in which nothing was sent twice.

    On a machine that is busy for a second a timer fires: that run is no measure.
    """
    for _ in range(TRIES):
        j, n, functions_of = counted(ns, argv, frames)
        if not j["again"]:
            return n, functions_of
    raise AssertionError(f"{argv}: {j['again']} retransmissions")


def instructions(ns, row, argv, frames):
    one, few = clean(ns, argv, frames)
    two, many = clean(ns, argv, 2 * frames)
    many.subtract(few)
    per = 1 / (two - one)
    total = sum(many.values()) * per
    lines = [f"{row}: {total:.0f}",
             f"vufront {' '.join(map(str, argv))}: {one} and {two} frames",
             ""]
    for name, count in many.most_common(TOP):
        lines.append(f"{count * per:8.1f} {100 * count * per / total:5.1f} % "
                     f" {name}")
    (TOOLS / f"instr-{row.rsplit('_per_', 1)[1]}.txt").write_text(
        "\n".join(lines) + "\n")
    return total


def rows(log, quick=False):
    """{row: {"ours": value}}; log is called with a line of text now and then."""
    ns = p.namespace()
    try:
        with tempfile.TemporaryDirectory(prefix="msb-vu-") as tmp:
            out = flows(ns, tmp, log, *((0.5, 1) if quick else (2, 5)))
        if not shutil.which("valgrind"):
            log("vhost-user: no valgrind: instructions are not counted")
            return out
        for row, argv, frames in COUNTS:
            n = instructions(ns, row, argv, frames // (5 if quick else 1))
            out[row] = {COLUMN: n}
            log(f"{row}: {n:.0f}")
    finally:
        ns.close()
    return out


def main():
    print(json.dumps(rows(lambda line: print(line, file=sys.stderr),
                          "--quick" in sys.argv[1:]), indent=1))


if __name__ == "__main__":
    main()
