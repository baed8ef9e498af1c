"""Streams over a path that loses: seven cells of netem.py, which has them all."""
import pytest

import netem
import vm

OURS = ("ours",)
# Beside pasta where that decides; the others are there for the bytes
CELLS = [netem.Cell("l1d20", 2000, 700, repeat=2),
         netem.Cell("l0d100", 2500, 700),
         netem.Cell("l10d0", 1200, 800, columns=OURS),
         netem.Cell("l5d100", 1800, 800, columns=OURS),
         netem.Cell("reorder", 1200, 800, columns=OURS),
         netem.Cell("duplicate", 1200, 800, columns=OURS),
         netem.Cell("corrupt", 1200, 800, columns=OURS),
         netem.Cell(netem.DAMAGE, 1000, 500, columns=OURS)]


@pytest.fixture(scope="module")
def run(room):
    why = netem.missing()
    for column in ("ours", "pasta"):
        if column in why:
            pytest.skip(why[column])
    r = netem.Run(room("netem"), CELLS, ["ours", "pasta"])
    r.logs_text = "\n".join(f"--- {k}\n{v}" for k, v in r.logs.items())
    for line in netem.table(r, CELLS[:-1], ["ours", "pasta"]):
        vm.measure("netem", line)
    return r


@pytest.mark.parametrize("way", netem.WAYS)
@pytest.mark.parametrize("cell", [c.name for c in CELLS])
def test_bytes(run, cell, way):
    got = [s for s in run.streams if (s.cell, s.way) == (cell, way)]
    assert got
    for s in got:
        # What pasta makes of it is for the table
        if s.column != "pasta":
            s.check()


def test_damage_is_seen(run):
    """Both receivers refused segments by their checksum"""
    guest = [int(s.keys["csum_errors"]) for s in run.streams
             if s.cell == netem.DAMAGE]
    assert guest[-1] > 0
    assert "drop_tcp_csum: " in run.logs["ours-bare"]


@pytest.mark.parametrize("way", netem.WAYS)
@pytest.mark.parametrize("cell", ["l1d20", "l0d100"])
def test_not_behind(run, cell, way):
    """At least what pasta makes of it, taken in turns: of 1 % and 20 ms, and of
    windows that a long path needs"""
    ours, pasta = (run.mbits(cell, way, c) for c in ("ours", "pasta"))
    assert ours >= pasta
