"""Streams over a path that loses: six cells of netem.py, which has them all."""
import pytest

import netem
import vm

# name: ms each way; those that only ours runs are there for its bytes
CELLS = [netem.Cell("l1d20", 2000, 1000),
         netem.Cell("l10d0", 1200, 800),
         netem.Cell("l5d100", 2000, 1000),
         netem.Cell("reorder", 1200, 800),
         netem.Cell("duplicate", 1200, 800),
         netem.Cell("corrupt", 1500, 1000)]


@pytest.fixture(scope="module")
def run(room):
    why = netem.missing()
    for column in ("ours", "pasta"):
        if column in why:
            pytest.skip(why[column])
    r = netem.Run(room("netem"), CELLS, ["ours", "pasta"])
    r.logs_text = "\n".join(f"--- {k}\n{v}" for k, v in r.logs.items())
    for line in netem.table(r, CELLS, ["ours", "pasta"]):
        vm.measure("netem", line)
    return r


@pytest.mark.parametrize("way", netem.WAYS)
@pytest.mark.parametrize("cell", [c.name for c in CELLS])
def test_bytes(run, cell, way):
    got = [s for s in run.streams if (s.cell, s.way) == (cell, way)]
    assert {s.column.split("-")[0] for s in got} == {"ours", "pasta"}
    for s in got:
        # What pasta makes of it is for the table
        if s.column != "pasta":
            s.check()


def test_damage_is_seen(run):
    """Both receivers refused segments by their checksum"""
    guest = [int(s.keys["csum_errors"]) for s in run.streams
             if s.column == "ours-bare"]
    assert guest[-1] > 0
    assert "drop_tcp_csum: " in run.logs["ours-bare"]
