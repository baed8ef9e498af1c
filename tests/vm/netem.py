#!/usr/bin/env python3
"""netem.py - our gateway and pasta beside each other over a path that loses

usage: netem.py [--seconds S] [--repeat N] [--columns NAME,...] [CELL...]

Boots one guest, in which all gateways run in namespaces (see guest/netem.sh),
and sends a stream each way through each of them, in one cell after the other;
every byte is checked.  Prints Mbit/s, and how many times pasta's ours is.

Cells are named l<LOSS>d<DELAY>: per cent of the segments lost, and the delay in
ms, both in each direction.  In `reorder`, 25 % of them overtake those that take
20 ms; in `duplicate`, 5 % come twice, and in `corrupt` 0.1 % are damaged, over a
delay of 20 ms.  There ours refuses offloads as pasta does (`ours-bare`): every
frame then has its checksum before it is damaged, and not after.

The processor is emulated: without loss and delay it is what limits all columns.
In build/netem/streams.txt, busy= says how busy it was, in per cent.
"""
import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import vm

LOSSES = ("0", "0.1", "1", "5", "10")
DELAYS = (0, 20, 100)
CELLS = {f"l{loss}d{delay}": f"delay {delay}ms loss {loss}%"
         for delay in DELAYS for loss in LOSSES}
CELLS |= {"reorder": "delay 20ms reorder 25%",
          "duplicate": "delay 20ms duplicate 5%",
          "corrupt": "delay 20ms corrupt 0.1%"}
# For a test that cannot wait for one in a thousand
DAMAGE = "damage"
WAYS = ("up", "down")
PEERS = vm.BUILD / "peers/root"
BOOT_S = 60             # for a guest with all its gateways to stand
SETUP_S = 3             # of a stream, beside its own time


@dataclasses.dataclass
class Stream:
    """What both ends of one stream said"""
    cell: str
    way: str
    column: str
    keys: dict
    run_ms: int

    @property
    def mbits(self):
        return int(self.keys["bytes"]) * 8 / self.run_ms / 1000

    def check(self):
        """All that came was right, and its end is where the sender ended"""
        k, who = self.keys, f"{self.cell} {self.way} {self.column}"
        assert k["exit"] == "0", f"{who}: {k}"
        assert k["bad"] == "-1", f"{who}: wrong byte at {k['bad']}"
        total, sent = int(k["total"]), int(k["sent"])
        assert 0 < total <= sent, f"{who}: {k}"
        if k["eof"] == "1":
            assert total == sent, f"{who}: {k}"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of the table, @repeat times; @columns instead of the run's"""
    name: str
    run_ms: int
    drain_ms: int
    repeat: int = 1
    columns: tuple = ()

    def lines(self, columns):
        columns = self.columns or columns
        if self.name in ("corrupt", DAMAGE):
            columns = ["ours-bare" if c == "ours" else c for c in columns
                       if c != "ours-reno"]
        netem = CELLS.get(self.name, "corrupt 3%")
        return [f"{self.name} {','.join(WAYS)} {','.join(columns)} "
                f"{self.run_ms} {self.drain_ms} {netem}\n"
                ] * self.repeat


def missing():
    """{column: why it cannot be measured}"""
    why = {}
    for tool in ("ip", "tc", "ethtool"):
        if not _which(tool):
            why["ours"] = f"{tool} is not installed"
    if not _which("pasta"):
        why["pasta"] = "pasta is not installed"
    if not (PEERS / "usr/bin/passt").exists():
        why["pasta-new"] = f"no {PEERS}: run tests/peers"
    return why


def _which(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def _files(d, columns, cells):
    env = dict(x.split("=", 1) for x in subprocess.run(
        [vm.GATEWAY, "env", "--ipv4", "on", "--ipv6", "off"], check=True,
        stdout=subprocess.PIPE, text=True).stdout.splitlines())
    lines = [x for cell in cells for x in cell.lines(columns)]
    up = sorted({c for x in lines for c in x.split()[2].split(",")})
    files = vm.script_files(d, "netem", {
        "INNER_NET": env["MSB_NET"], "INNER_NET4": env["MSB_NET_IPV4"],
        "COLUMNS_UP": f"'{' '.join(up)}'"})
    files["etc/msb/cells"] = "".join(lines)
    files["etc/msb/reno.json"] = '{"tcp": {"congestion": "reno"}}'
    files["usr/bin/netem_stream"] = vm.static(d, "netem_stream")
    files |= vm.dynamic(vm.GATEWAY, "usr/bin/msb-gateway")
    for tool in ("ip", "tc", "ethtool"):
        files |= vm.dynamic(_which(tool), f"usr/local/sbin/{tool}")
    if "pasta" in up:
        files |= vm.dynamic(_which("pasta"), "usr/local/bin/pasta")
    if "pasta-new" in up:
        lib = PEERS / "usr/lib/x86_64-linux-gnu"
        files |= {"opt/new/ld.so": lib / "ld-linux-x86-64.so.2",
                  "opt/new/libc.so.6": lib / "libc.so.6",
                  "opt/new/passt": PEERS / "usr/bin/passt"}
    return files


def _streams(step, run_ms):
    out = []
    for line in step.lines:
        cell, way, column, *rest = line.split()
        out.append(Stream(cell, way, column, dict(
            x.split("=", 1) for x in rest if "=" in x), run_ms[cell]))
    return out


class Run:
    """One boot: @streams in order, @logs of the gateways by column"""

    def __init__(self, d, cells, columns):
        ms = sum(len(line.split()[2].split(",")) * len(WAYS)
                 * (x.run_ms + x.drain_ms + 1000 * SETUP_S)
                 for x in cells for line in x.lines(columns))
        # A machine that is busy makes all of it slow
        timeout = BOOT_S + 2 * ms // 1000
        self.guest = vm.Guest(
            d, "--no-net", "--overlay", vm.overlay(
                d, _files(d, columns, cells)), "--mem", "512",
            timeout=timeout)
        try:
            status = self.guest.wait()
        finally:
            self.guest.end()
        assert status == 0, self.guest.log()
        for name, step in self.guest.steps.items():
            assert name.startswith("log_") or step.status == 0, step.text
        self.streams = _streams(self.guest.step("netem"),
                                {x.name: x.run_ms for x in cells})
        self.logs = {name[4:].replace("_", "-"): step.text for name, step in
                     self.guest.steps.items() if name.startswith("log_")}

    def mbits(self, cell, way, column):
        """Of all repetitions, or None"""
        got = [x.mbits for x in self.streams
               if (x.cell, x.way, x.column) == (cell, way, column)
               and "bytes" in x.keys]
        return sum(got) / len(got) if got else None


def table(run, cells, columns):
    """Lines of text"""
    head = ["cell", "way", *columns, "ours/pasta"]
    rows = [head]
    for cell in cells:
        for way in WAYS:
            v = {c: run.mbits(cell.name, way, c) for c in columns}
            if cell.name == "corrupt":
                v["ours"] = run.mbits(cell.name, way, "ours-bare")
            ratio = (v["ours"] / v["pasta"]
                     if v.get("ours") and v.get("pasta") else None)
            rows.append([cell.name, way, *(
                "-" if v[c] is None else f"{v[c]:.2f}" for c in columns),
                "-" if ratio is None else f"{ratio:.1f}"])
    wide = [max(len(r[i]) for r in rows) for i in range(len(head))]
    return ["  ".join(x.ljust(w) if i < 2 else x.rjust(w) for i, (x, w) in
                      enumerate(zip(r, wide))) for r in rows]


def main():
    p = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1][7:])
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--repeat", type=int, default=1)
    p.add_argument("--columns", default="ours,pasta,ours-reno,pasta-new")
    p.add_argument("cells", nargs="*", metavar="CELL")
    a = p.parse_args()
    if unknown := [x for x in a.cells if x not in CELLS]:
        p.error(f"no cell {unknown[0]}; there are {' '.join(CELLS)}")
    why = missing()
    columns = [c for c in a.columns.split(",") if c not in why]
    for c, reason in why.items():
        print(f"netem: {c} is left out: {reason}")
    ms = int(a.seconds * 1000)
    cells = [Cell(x, ms, min(ms // 2, 3000), a.repeat) for x in a.cells or CELLS]
    d = pathlib.Path(tempfile.mkdtemp(prefix="msb-netem-"))
    try:
        run = Run(d, cells, columns)
        (vm.BUILD / "netem").mkdir(exist_ok=True)
        (vm.BUILD / "netem/streams.txt").write_text(
            run.guest.step("netem").text + "\n")
        print("\n".join(["netem: Mbit/s", *table(run, cells, columns)]))
        for c, text in run.logs.items():
            (vm.BUILD / f"netem/{c}.log").write_text(text + "\n")
    finally:
        if not os.environ.get("MSB_KEEP"):
            shutil.rmtree(d, ignore_errors=True)
    ours, peers = 0, 0
    for s in run.streams:
        try:
            s.check()
        except AssertionError as e:
            # What a peer makes of its stream is told, and no failure of ours
            ours += s.column.startswith("ours")
            peers += not s.column.startswith("ours")
            print(f"netem: {e}")
    print(f"netem: {len(run.streams)} streams; wrong: {ours} of ours, {peers} "
          "of others")
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
