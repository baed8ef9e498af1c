"""make bench: what it makes of figures, and that it survives what goes wrong."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest

import lab as labs

TOP = pathlib.Path(__file__).resolve().parents[2]
BENCH = TOP / "tests" / "bench"
sys.path.insert(0, str(BENCH))
import chart        # noqa: E402
import columns      # noqa: E402
import measure      # noqa: E402
import place        # noqa: E402
import publish      # noqa: E402
import rows         # noqa: E402
import run as runs  # noqa: E402
import table        # noqa: E402

NAMES = [c.name for c in columns.ALL]


# --- names ---------------------------------------------------------------------

@pytest.mark.parametrize("name", [
    *(f"tcp_{way}_{n}_mtu{mtu}_gbps" for way in ("up", "down")
      for n in (1, 8) for mtu in (1500, 9000, 65520)),
    "tcp_up_1_mtu1500_cpu_box_s_per_gb", "rr_p50_us", "rr_p99_us",
    "rr_p999_us", "rr64_p50_us", "rr64_p99_us", "rr64_p999_us",
    "crr_1_per_s", "crr_16_per_s",
    *(f"udp_{way}_{size}_{what}" for way in ("up", "down")
      for size in (64, 512, 1400, 8900) for what in ("pps", "loss_pct")),
    "mem_idle_rss_mib", "mem_100_pss_mib", "mem_flows_1000_bytes_per_flow",
    "mem_flows_10000_bytes_per_flow", "start_cpu_ms"])
def test_row_is_there(name):
    assert name in rows.ROWS


def test_columns_are_those_of_the_design():
    assert NAMES == ["ours", "ours-tap", "ours-bare", "ours-stream", "pasta",
                     "pasta-new", "passt", "passt-new", "slirp4netns",
                     "bridge", "bridge-offload", "veth"]
    assert set(rows.PEERS) == {c.name for c in columns.ALL
                               if issubclass(c, columns.Peer)}
    assert rows.BRIDGE in NAMES
    assert set(rows.BARE_PEERS) < set(rows.PEERS)
    assert {c.name for c in columns.ALL} <= set(chart.COLOURS)
    for c in columns.ALL:
        for g in c.only:
            assert any(rows.matches(r, [g]) for r in rows.ROWS), g


def test_each_row_comes_from_one_job():
    made = [r for s in measure.plan(measure.Times(False)) for j in s.jobs
            for r in j.rows]
    assert len(made) == len(set(made))
    assert set(made) | set(measure.size_kib()) == set(rows.ROWS)


def test_rows_have_groups_and_budgets_have_rows():
    groups = [g.name for g in rows.GROUPS]
    assert len(groups) == len(set(groups))
    for name, row in rows.ROWS.items():
        assert re.fullmatch("[a-z0-9_]+", name)
        assert row.group in groups
        assert row.better in ("more", "less", "")
    for b in rows.BUDGETS:
        assert b.column in NAMES
        assert set(b.rows) <= set(rows.ROWS)
    for g in rows.QUICK:
        assert any(rows.matches(r, [g]) for r in rows.ROWS), g


@pytest.mark.parametrize("name,unit,better,group", [
    ("vu_instr_per_packet_up_gso", "instructions", "less", "vhost-user"),
    ("vu_up_cpu_s_per_gb", "s/GB", "less", "vhost-user"),
    ("limit_tap_frames_per_s", "/s", "more", "limits"),
    ("whatever", "", "", "other")])
def test_rows_of_others(name, unit, better, group):
    row = rows.get(name)
    assert (row.unit, row.better, row.group) == (unit, better, group)


# --- budgets -------------------------------------------------------------------

def verdicts(values):
    return {(x.column, x.row, x.of): x for x in rows.evaluate(values)}


@pytest.mark.parametrize("ours,met", [(4.9, False), (5, True), (8, True)])
def test_throughput_is_compared_with_bridge_and_best_peer(ours, met):
    row = "tcp_up_8_mtu1500_gbps"
    got = verdicts({row: {"ours": ours, "bridge-offload": 10, "pasta": 1,
                          "slirp4netns": 2.5}})
    x = got["ours", row, "bridge-offload"]
    assert (x.ratio, x.met) == (ours / 10, met)
    x = got["ours", row, "slirp4netns"]
    assert (x.base, x.ratio, x.met) == (2.5, ours / 2.5, ours >= 5)


def test_less_latency_is_the_better_peer():
    got = verdicts({"rr_p99_us": {"ours-tap": 90, "pasta": 80,
                                  "pasta-new": 100, "slirp4netns": None}})
    x = got["ours-tap", "rr_p99_us", "pasta"]
    assert (x.base, x.met) == (80, False)


def test_loss_is_that_of_whom_most_came_from():
    values = {"udp_up_64_pps": {"ours": 10, "pasta": 8, "slirp4netns": 1},
              "udp_up_64_loss_pct": {"ours": 30, "pasta": 40,
                                     "slirp4netns": 5}}
    assert verdicts(values)["ours", "udp_up_64_loss_pct", "pasta"].met
    values["udp_up_64_loss_pct"]["pasta"] = 0
    x = verdicts(values)["ours", "udp_up_64_loss_pct", "pasta"]
    assert (x.ratio, x.met) == (None, False)
    values["udp_up_64_loss_pct"]["ours"] = 0
    assert verdicts(values)["ours", "udp_up_64_loss_pct", "pasta"].met


@pytest.mark.parametrize("column", ["ours-bare", "ours-stream"])
def test_plain_frames_are_compared_with_plain_frames(column):
    row = "tcp_up_1_mtu1500_gbps"
    values = {row: {column: 5, "pasta": 9, "passt": 4, "passt-new": 3}}
    x, = rows.evaluate(values)
    assert (x.of, x.base, x.met) == ("passt", 4, True)
    beside = rows.evaluate(values, rows.BESIDE)
    assert [(x.of, x.met) for x in beside] == (
        [("pasta", False)] if column == "ours-bare" else [])
    values[row].update({"passt": None, "passt-new": 6})
    x, = rows.evaluate(values)
    assert (x.of, x.base, x.met) == ("passt-new", 6, False)
    del values[row]["passt-new"]
    x, = rows.evaluate(values)
    assert (x.of, x.met) == (rows.BARE, None)


def test_fixed_cpus_are_beside_the_budgets():
    assert {(b.column, b.rows[0], b.limit) for b in rows.BESIDE} >= {
        ("ours", "rr_one_cpu_p50_us", 1.4),
        ("ours-tap", "rr_two_cpus_p99_us", 1)}
    values = {"rr_two_cpus_p50_us": {"ours": 14.1, "bridge-offload": 10}}
    assert not rows.evaluate(values)
    line, = rows.evaluate(values, rows.BESIDE)
    assert (line.column, line.met) == ("ours", False)


@pytest.mark.parametrize("have,met", [(5.99, True), (6, True), (6.01, False)])
def test_fixed_budget(have, met):
    row = "mem_idle_rss_mib"
    assert verdicts({row: {"ours": have}})["ours", row, None].met is met


def test_what_cannot_be_compared_is_open():
    row = "crr_1_per_s"
    got = verdicts({row: {"ours-tap": 5, "bridge-offload": None}})
    assert {x.met for x in got.values()} == {None}
    assert "no figure" in table.budget(list(got.values()))
    assert not verdicts({row: {"ours-tap": None, "pasta": 1}})


# --- a run ---------------------------------------------------------------------

class Proc:
    def __init__(self, code=None):
        self.code = code

    def poll(self):
        return self.code


class Fake:
    """A column without anything behind it."""
    name, gateway, only = "ours", True, ()

    def __init__(self, place, build, *_):
        self.procs, self.helpers = [], []

    def start(self):
        pass

    def stop(self):
        pass

    def said(self, _):
        return "out of luck"


class Broken(Fake):
    name = "pasta"

    def start(self):
        raise AssertionError("no way")


class Mortal(Fake):
    name = "slirp4netns"


def jobs(*fns):
    return [measure.Job(n[0], n, fn, False) for n, fn in fns]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(measure, "settle", lambda: None)
    return runs.Run(None, [Fake, Broken, Mortal])


def test_what_fails_is_alone(run):
    def refuse(col):
        raise measure.Failed("refused")

    def die(col):
        col.procs.append(Proc(1))
        return {"crr_1_per_s": 7}
    one = jobs((["rr_p50_us"], refuse), (["crr_1_per_s"], die),
               (["crr_16_per_s"], lambda col: {"crr_16_per_s": 8}))
    setup = measure.Setup("MTU 1500", lambda col: col.start(), one, 1)
    for cls in (Broken, Mortal, Fake):
        run.setup(setup, cls)
    assert run.medians()["crr_1_per_s"] == {
        "ours": 7, "pasta": None, "slirp4netns": 7}
    assert run.medians()["crr_16_per_s"]["slirp4netns"] is None
    assert run.why_not("ours", "rr_p50_us") == "refused"
    assert run.why_not("pasta", "crr_16_per_s") == \
        "it does not start: no way"
    assert run.why_not("slirp4netns", "crr_16_per_s") == "it has ended before"
    assert run.why_not("ours", "agent_start_cpu_ms")


def test_a_column_is_asked_for_its_rows_only(run):
    class Brief(Fake):
        only = ("rr_*",)
    setup = measure.Setup("MTU 1500", lambda col: col.start(), jobs(
        (["rr_p50_us"], lambda col: {"rr_p50_us": 1}),
        (["crr_1_per_s"], lambda col: {"crr_1_per_s": 2})), 1)
    run.cols = [Brief]
    run.setup(setup, Brief)
    assert run.samples == {"rr_p50_us": {"ours": [1]}}
    assert run.why_not("ours", "crr_1_per_s") == "not asked of it"
    run.setup(setup._replace(jobs=setup.jobs[1:],
                             start=lambda col: pytest.fail("started")), Brief)


def test_what_never_works_is_given_up(run):
    tried = []

    def fails(col):
        tried.append(col)
        raise measure.Failed("again")
    setup = measure.Setup("MTU 1500", lambda col: col.start(),
                          jobs((["rr_p50_us"], fails)), 1)
    for _ in range(5):
        run.setup(setup, Fake)
    assert len(tried) == runs.TRIES


def test_what_worked_once_is_tried_on(run):
    results = [{"rr_p50_us": 3}, 1, 1, 1, {"rr_p50_us": 5}]

    def sometimes(col):
        got = results.pop(0)
        if got == 1:
            raise measure.Failed("now and then")
        return got
    setup = measure.Setup("MTU 1500", lambda col: col.start(),
                          jobs((["rr_p50_us"], sometimes)), 1)
    for _ in range(5):
        run.setup(setup, Fake)
    assert run.medians()["rr_p50_us"]["ours"] == 4
    assert run.spread()["rr_p50_us"]["ours"] == {
        "median": 4, "min": 3, "max": 5, "n": 2}


def test_rare_setups_and_rotation(run, monkeypatch):
    monkeypatch.setattr(run, "quiet", lambda: 0)
    seen = []
    monkeypatch.setattr(run, "setup", lambda s, cls: seen.append(
        (s.name, cls.name)))
    run.setups = [measure.Setup("MTU 1500", None, [], 1),
                  measure.Setup("10000 flows", None, [], 2),
                  measure.Setup("100 gateways", None, [], measure.ONCE)]
    for n in range(3):
        assert run.round(n, time.monotonic() + 60)
    names = [name for name, _ in seen]
    assert [names.count(s.name) for s in run.setups] == [9, 6, 3]
    assert [c for s, c in seen if s == "MTU 1500"][::3] == [
        "ours", "pasta", "slirp4netns"]
    assert not run.round(3, time.monotonic() - 1)


def test_little_is_still_a_speed(monkeypatch):
    end = {"sum_received": {"bytes": 1000, "bits_per_second": 8e3,
                            "seconds": 1}, "sum_sent": {}}
    col = Fake(None, None)
    col.mtu = 1500
    monkeypatch.setattr(measure, "iperf", lambda *_: (end, 0, 0, 1))
    assert measure.bulk(col, 1, 1, "up") == {
        "tcp_up_1_mtu1500_gbps": 8e-6, "tcp_up_1_mtu1500_retransmits": 0}
    end["sum_received"]["bytes"] = 0
    with pytest.raises(measure.Failed):
        measure.bulk(col, 1, 1, "up")


def test_part_of_a_job_counts(run):
    def half(col):
        raise measure.Partial({"mem_flows_1000_rss_mib": 5}, "at 10000: full")
    names = ["mem_flows_1000_rss_mib", "mem_flows_10000_rss_mib"]
    run.setup(measure.Setup("10000 flows", lambda col: col.start(),
                            jobs((names, half)), 1), Fake)
    assert run.medians()[names[0]]["ours"] == 5
    assert run.why_not("ours", names[1]) == "at 10000: full"


def test_only_what_was_asked_for(run):
    run.globs = ["rr_*"]
    run.add("ours", {"rr_p50_us": 1, "crr_1_per_s": 2})
    assert "crr_1_per_s" not in run.medians()
    only = runs.Run(None, [Fake], ["crr_1_*"])
    assert [j.name for s in only.setups for j in s.jobs] == ["crr_1_per_s"]


def test_broken_connections_are_no_latency():
    good = {"p50_us": 1, "p99_us": 2, "p999_us": 3, "per_s": 9, "errors": 0}
    assert measure.requests_rows("rr", [good])["rr_p999_us"] == 3
    with pytest.raises(measure.Failed):
        measure.requests_rows("rr", [good, dict(good, errors=1)])


# --- files ---------------------------------------------------------------------

@pytest.fixture
def result(run):
    for n, name in enumerate(NAMES):
        for row in rows.ROWS:
            for x in (1.0, 1.1, 1.5):
                run.add(name, {row: x * (n + 1) * 1000})
    run.add("limit", {"limit_memcpy_gbps": 80.0})
    del run.samples["rr_p50_us"]["pasta"]
    return publish.result(run, 0, True, 3, [])


def test_charts_are_well_formed(result):
    charts = publish.charts_of(result)
    assert {"tcp-mtu1500", "cpu-box-mtu1500", "rr", "rr64", "crr", "udp",
            "memory"} <= {name for name, _, _ in charts}
    for name, title, picture in charts:
        root = ET.fromstring(picture)
        wide, high = (float(root.get(k)) for k in ("width", "height"))
        for e in root.iter():
            x = float(e.get("x", 0)) + float(e.get("width", 0))
            y = float(e.get("y", 0)) + float(e.get("height", 0))
            assert x <= wide and y <= high, (name, e.attrib)
        words = [e.text for e in root.iter() if e.text]
        assert title in words and "ours-tap" in words


def test_chart_escapes():
    picture = chart.group("a<b", ["rr_p50_us"], {"rr_p50_us": {
        "x&y": {"median": 1, "min": 1, "max": 1, "n": 1}}}, ["x&y"], "<>")
    assert [e.text for e in ET.fromstring(picture).iter()].count("x&y") == 1


@pytest.mark.parametrize("most", [0, 1e-3, 0.99, 1, 7, 59.2, 1000, 3.4e6])
def test_ticks(most):
    marks = chart.ticks(most)
    assert marks[0] == 0 and marks == sorted(set(marks))
    assert marks[-1] >= most and 2 <= len(marks) <= 7


def test_table(result):
    text = publish.text(result)
    assert "pasta: rr_p50_us: none" in text
    assert re.search("limit_memcpy_gbps, Gbit/s +80.00", text)
    assert "What this machine can do at best" in text
    assert "budgets: " in text
    assert "1000-1500" in text
    assert "not ours alone" not in text
    assert "not ours alone" in publish.text(
        {**result, "others_percent": [1, 30]})
    wide = [x for x in text.splitlines() if x.startswith("median  ")]
    assert len(wide) >= 1 and "1100" in wide[0]


def test_nothing_lost_is_a_figure():
    medians = {"udp_up_64_loss_pct": {"ours": 0, "pasta": None, "veth": None}}
    assert table.reasons(medians, lambda *_: "so") == [
        "pasta, veth: udp_up_64_loss_pct: none, so"]


def test_latest_is_rows_of_columns(result):
    latest = json.loads(json.dumps(result["medians"]))
    assert set(rows.ROWS) <= set(latest)
    assert latest["rr_p50_us"]["pasta"] is None
    assert latest["limit_memcpy_gbps"] == {"limit": 80.0}
    assert "limit" not in latest["rr_p50_us"]
    for got in latest.values():
        assert all(v is None or isinstance(v, (int, float))
                   for v in got.values())


def test_published(result, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "TOP", tmp_path)
    monkeypatch.setattr(publish, "DOC", tmp_path / "doc" / "bench")
    readme = tmp_path / "README.md"
    old = (TOP / "README.md").read_text()
    readme.write_text(old)
    publish.publish(result)
    new = readme.read_text()
    head = old.split(publish.BEGIN)[0]
    tail = old.split(publish.END)[1]
    assert new.startswith(head) and new.endswith(tail)
    links = re.findall(r"\((doc/bench/[^)]*)\)", new)
    assert len([x for x in links if x.endswith(".svg")]) == len(
        publish.SHOWN_CHARTS)
    for link in links:
        assert (tmp_path / link).is_file()
    publish.publish(result)
    assert readme.read_text() == new
    with pytest.raises(ValueError):
        publish.between("no marks", new)


def test_readme_shows_what_is_there():
    text = (TOP / "README.md").read_text()
    assert publish.between(text, "x").count("x") > 0
    for link in re.findall(r"\((doc/bench/[^)]*)\)", text):
        assert (TOP / link).is_file(), link


# --- what stands for a VMM --------------------------------------------------------

MACS = bytes.fromhex("020000000002" "020000000001" "88b5")


class Vmm:
    """tapsock between a TAP in a namespace and our end of a socket."""

    def __init__(self, tmp_path):
        tool = labs.BUILD / "bench" / "tapsock"
        if not tool.exists():
            pytest.skip(f"{tool} has not been built")
        self.ns, self.log = labs.Ns(), tmp_path / "log"
        self.tap = place.open_tap(self.ns, "eth0", False, blocking=True,
                                  headers=False)
        self.ns.run("ip", "link", "set", "eth0", "mtu", 9000, "up")
        # Everything that crosses eth0, as the kernel of the guest sees it
        with self.ns.net():
            self.guest = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                       socket.htons(0x88b5))
        self.guest.bind(("eth0", 0x88b5))
        self.sock, theirs = socket.socketpair()
        for s in (self.guest, self.sock):
            s.settimeout(5)
        with theirs, open(self.log, "w") as f:
            fds = [self.tap, theirs.fileno()]
            self.proc = self.ns.popen(tool, *fds, pass_fds=fds, stderr=f)

    def close(self):
        place.stop(self.proc)
        self.guest.close()
        self.sock.close()
        os.close(self.tap)
        self.ns.close()

    def record(self):
        """The next frame of ours that came, behind its length."""
        def exactly(n):
            got = b""
            while len(got) < n:
                part = self.sock.recv(n - len(got))
                assert part
                got += part
            return got
        while True:
            frame = exactly(int.from_bytes(exactly(4), "big"))
            if frame[12:14] == MACS[12:]:       # and not a router's search
                return frame


@pytest.fixture
def vmm(tmp_path):
    v = Vmm(tmp_path)
    yield v
    v.close()


def framed(n, size):
    frame = MACS + bytes([n]) * (size - len(MACS))
    return frame, len(frame).to_bytes(4, "big") + frame


def test_frames_of_a_tap_reach_the_stream(vmm):
    sent = [framed(i, 60 + 40 * i)[0] for i in range(200)]
    for frame in sent:
        vmm.guest.send(frame)
    assert [vmm.record() for _ in sent] == sent


@pytest.mark.parametrize("pieces", [1, 3, 700, 1 << 20])
def test_frames_of_a_stream_reach_the_tap(vmm, pieces):
    sent = [framed(i, 60 + 400 * i) for i in range(20)]
    stream = b"".join(r for _, r in sent)
    for at in range(0, len(stream), pieces):
        vmm.sock.sendall(stream[at:at + pieces])
    assert [vmm.guest.recv(1 << 16) for _ in sent] == [f for f, _ in sent]


@pytest.mark.parametrize("end,said", [
    (lambda s: s.sendall(b"\xff" * 4), "Message too long"),
    # Which thread hears of it first, and with what unread, is chance
    (lambda s: s.close(), "it has ended|Broken pipe|Connection reset")])
def test_a_stream_ends(vmm, end, said):
    end(vmm.sock)
    assert vmm.proc.wait(5) == 1
    assert re.match(f"tapsock: socket: ({said})", vmm.log.read_text())


# --- the whole -----------------------------------------------------------------

def bench(out, *argv):
    for path in (labs.GATEWAY, labs.BUILD / "bench" / "nb",
                 labs.BUILD / "bench" / "bridge",
                 labs.BUILD / "bench" / "tapsock"):
        if not path.exists():
            pytest.skip(f"{path} has not been built")
    return subprocess.Popen(
        [sys.executable, BENCH, "--out", out, "--quick", *argv],
        env={**os.environ, "MSB_BUILD": str(labs.BUILD), "PASTA": "/nowhere",
             "TMPDIR": str(out)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_short_run(tmp_path):
    p = bench(tmp_path, "--rows", "rr_one_cpu_p50_us,udp_up_64_*,*start*",
              "--columns", "ours*,pasta,bridge")
    text = p.communicate(timeout=60)[0]
    assert p.returncode == 0, text
    latest = json.loads((tmp_path / "latest.json").read_text())
    assert latest["rr_one_cpu_p50_us"]["ours"] > 0, text
    assert latest["rr_one_cpu_p50_us"]["bridge"] > 0, text
    assert latest["udp_up_64_pps"]["ours-tap"] > 0, text
    assert latest["agent_start_cpu_ms"]["ours"] is not None, text
    assert "pasta: left out, /nowhere is not there" in text
    assert "bridge: start_cpu_ms: none, there is no gateway" in text


def test_streams_of_plain_frames(tmp_path):
    p = bench(tmp_path, "--rows", "rr_one_cpu_p50_us,mem_idle_rss_mib",
              "--columns", "ours-stream,passt*")
    text = p.communicate(timeout=60)[0]
    assert p.returncode == 0, text
    latest = json.loads((tmp_path / "latest.json").read_text())
    assert latest["rr_one_cpu_p50_us"]["ours-stream"] > 0, text
    assert re.search("^ours-stream.*: mem_idle_rss_mib: none, not asked of it",
                     text, re.M), text
    for peer in ("passt", "passt-new"):
        if f"{peer}: left out" not in text:     # it may not be here
            assert latest["rr_one_cpu_p50_us"][peer] > 0, text


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, sig):
    p = bench(tmp_path, "--rounds", "50", "--rows", "rr_one_cpu*", "--columns",
              "ours-tap")
    end = time.monotonic() + 30
    while "ours-tap: " not in p.stdout.readline():
        assert time.monotonic() < end
    p.send_signal(sig)
    text = p.communicate(timeout=20)[0]
    assert p.returncode not in (0, -sig), text
    got = json.loads((tmp_path / "result.json").read_text())
    assert not got["complete"] and got["samples"]["rr_one_cpu_p50_us"]
    assert not (tmp_path / "latest.json").exists()
    assert not list(tmp_path.glob("msb-bench-*"))
    # Gateways have been told where their socket or log is
    for cmd in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            assert str(tmp_path) not in cmd.read_text(errors="replace"), cmd
        except OSError:
            pass
