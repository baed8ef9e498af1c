"""Results as files: JSON below build/, charts and tables that README shows."""
import json
import os
import pathlib
import platform
import time

import chart
import rows
import table

TOP = pathlib.Path(__file__).resolve().parents[2]
DOC = TOP / "doc" / "bench"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# Rows of README's table: what a reader asks first
SHOWN = (["tcp_up_1_mtu1500_gbps", "tcp_down_1_mtu1500_gbps",
          "tcp_up_8_mtu1500_gbps", "tcp_down_8_mtu1500_gbps"],
         ["tcp_up_1_mtu1500_cpu_box_s_per_gb",
          "tcp_down_1_mtu1500_cpu_box_s_per_gb"],
         ["rr_p50_us", "rr_p99_us", "rr_one_cpu_p50_us",
          "rr_two_cpus_p50_us", "crr_1_per_s", "crr_16_per_s"],
         ["udp_up_1400_pps", "udp_down_1400_pps"],
         ["mem_idle_rss_mib", f"mem_{rows.MANY}_pss_mib"])
SHOWN_CHARTS = ("tcp-mtu1500", "cpu-box-mtu1500", "rr", "crr", "udp")
NOISY = 10      # % of the CPUs that others use between two rounds
PREFIX = {"tcp": "TCP ", "cpu": "CPU of the whole box, ", "rr": "request and response, ",
          "crr": "connect, request, close, ", "udp": "UDP ", "memory": ""}


def machine():
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            model = next(x.split(":", 1)[1].strip() for x in f
                         if x.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": model, "cores": os.cpu_count(),
            "kernel": platform.release()}


def result(run, begun, complete, rounds, args):
    """All that is known of a run, as what JSON can say."""
    medians = run.medians()
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
        "seconds": round(time.time() - begun), "machine": machine(),
        "load": run.load, "others_percent": run.noise,
        "congestion": run.congestion, "rounds": rounds, "arguments": args,
        "complete": complete, "columns": run.columns(), "medians": medians,
        "spread": run.spread(), "samples": run.samples,
        "budgets": [x._asdict() for x in rows.evaluate(medians)],
        "beside": [x._asdict() for x in rows.evaluate(medians, rows.BESIDE)],
        "none": table.reasons(medians, run.why_not)}


def save(path, data):
    """A reader finds the old file or the new, never half of one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(data, indent=1) + "\n")
    new.replace(path)


def one_line(res):
    m, noise = res["machine"], res["others_percent"]
    quiet = f", others used {max(noise):.0f} % of it at most" if noise else ""
    return (f"{res['date'][:10]}; {m['cpu']}, {m['cores']} cores, Linux "
            f"{m['kernel']}{quiet}; " + (
                f"medians of {res['rounds']} interleaved rounds"
                if res["rounds"] > 1 else "one round"))


def beside(res):
    lines = table.verdicts([rows.Line(**x) for x in res["beside"]])
    return "\n".join(["Not counted: plain frames beside peers on the TAP, "
                      "latency with fixed CPUs", *lines] if lines else [])


def text(res):
    """What make bench prints."""
    spread, cols = res["spread"], res["columns"]
    parts = [table.values(spread, cols), table.ratios(res["medians"], cols),
             table.budget([rows.Line(**x) for x in res["budgets"]]),
             beside(res),
             "\n".join(res["none"]),
             f"{one_line(res)}, load before {res['load'][0]:.1f}, "
             f"{res['congestion'] or 'no TCP'}, "
             f"{res['seconds'] / 60:.1f} minutes"]
    if max(res["others_percent"], default=0) > NOISY:
        parts.append("This machine was not ours alone: trust no figure but "
                     "CPU of processes and memory")
    return "\n\n".join(p for p in parts if p)


# --- what is committed -----------------------------------------------------------

def label(row):
    group = rows.get(row).group
    more = {"rr-one-cpu": ", all on one CPU",
            "rr-two-cpus": ", guest and host on a CPU each"}.get(group, "")
    return PREFIX.get(group.split("-")[0], "") + rows.get(row).label + more


def readme_table(res):
    spread, cols = res["spread"], res["columns"]
    names = [r for part in SHOWN for r in part if r in spread]
    have = [c for c in cols if c in rows_columns(spread, names)]
    lines = []
    for r in names:
        unit = rows.get(r).unit
        lines.append([f"{label(r)}, {unit}"] + [
            table.cell(r, spread[r].get(c)) for c in have])
    return table.markdown(["MTU 1500"] + have, lines)


def rows_columns(spread, names):
    return {c for r in names for c in spread[r]}


def readme_part(res, charts):
    """What stands between the marks in README."""
    met = [x["met"] for x in res["budgets"]]
    out = [BEGIN, f"Measured {one_line(res)}.", "", readme_table(res), "",
           f"Of {len(met)} budgets, most of them ratios to the bridge with "
           f"offloads or to the best peer, {met.count(True)} are met and "
           f"{met.count(False)} missed: [all tables, with spread]"
           "(doc/bench/README.md).", ""]
    out += [f"![{title}](doc/bench/{name}.svg)" for name, title, _ in charts
            if name in SHOWN_CHARTS]
    return "\n".join(out + [END])


def budget_table(lines):
    return table.markdown(
        ["row", "column", "median", "compared with", "ratio", "budget", ""],
        [[f"`{x['row']}`", x["column"],
          table.number(x["have"], rows.get(x["row"]).digits),
          "-" if x["of"] is None else f"{x['of']}, " + table.number(
              x["base"], rows.get(x["row"]).digits),
          "-" if x["of"] is None or x["ratio"] is None
          else f"{x['ratio']:.2f}",
          f"{x['op']} {x['limit']:g}",
          {True: "met", False: "**missed**", None: "open"}[x["met"]]]
         for x in lines], 2)


def page(res, charts):
    """doc/bench/README.md: everything."""
    spread, cols = res["spread"], res["columns"]
    pictures = {name for name, _, _ in charts}
    out = ["# Measurements", "", f"{one_line(res)}. Written by `make bench "
           "BENCH=--publish`; the smallest and the largest value stand in "
           "brackets. What the columns are is said in `tests/bench/"
           "__main__.py`.", "", "## Budgets", ""]
    out.append(budget_table(res["budgets"]))
    if res["beside"]:
        out += ["", "Not counted, plain frames beside peers that sit on the "
                "TAP and need no second process, and latency with fixed CPUs, "
                "where the scheduler has no choice:", "", budget_table(res["beside"])]
    for g, names in table.groups(spread):
        if g.name.startswith(table.UNWORTHY) and not table.worthy(
                spread, names):
            continue
        out += ["", f"## {g.title}", ""]
        if g.name in pictures:
            out += [f"![{g.title}]({g.name}.svg)", ""]
        out.append(table.markdown_group(spread, names, cols,
                                        g.unit or "row"))
    if res["none"]:
        out += ["", "## No figure", ""] + [f"- {x}" for x in res["none"]]
    return "\n".join(out) + "\n"


def between(old, new):
    """README with the part between the marks replaced."""
    head, found, rest = old.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"README.md has no {BEGIN} ... {END}")
    return head + new + tail


def charts_of(res):
    return list(chart.all_charts(res["spread"], res["columns"],
                                 one_line(res)))


def draw(charts, where):
    """The charts as files."""
    where.mkdir(parents=True, exist_ok=True)
    for old in where.glob("*.svg"):
        old.unlink()
    for name, _, picture in charts:
        (where / f"{name}.svg").write_text(picture)


def publish(res):
    """Charts, tables and README as they are committed."""
    readme = TOP / "README.md"
    # Details need no picture
    charts = [c for c in charts_of(res) if not c[0].startswith(table.DETAILS)]
    new = between(readme.read_text(), readme_part(res, charts))
    draw(charts, DOC)
    (DOC / "README.md").write_text(page(res, charts))
    readme.write_text(new)
