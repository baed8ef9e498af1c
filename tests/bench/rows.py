"""The rows of the benchmark: their names, what they mean, and the budgets.

Nothing here measures; tests/net/test_bench.py checks it.
"""
import collections
import fnmatch

# better: "more", "less" or "" (neither); group: the chart that shows it
Row = collections.namedtuple("Row", "name label unit digits better group")
Group = collections.namedtuple("Group", "name title unit")

MTUS = (1500, 9000, 65520)
STREAMS = (1, 8)
WAYS = {"up": "guest to host", "down": "host to guest"}
UDP_SIZES = (64, 512, 1400, 8900)
FLOWS = (1000, 10000)
MANY = 100

GROUPS, ROWS = [], {}


def _group(name, title, unit):
    GROUPS.append(Group(name, title, unit))
    return name


def _row(name, label, unit, digits, better, group):
    ROWS[name] = Row(name, label, unit, digits, better, group)


def bulk_name(way, streams, mtu):
    return f"tcp_{way}_{streams}_mtu{mtu}"


def _bulk_rows(suffix, unit, digits, better, group):
    """One row for each way and number of streams, at each MTU."""
    for mtu in MTUS:
        g = group(mtu)
        for way, words in WAYS.items():
            for n in STREAMS:
                _row(f"{bulk_name(way, n, mtu)}_{suffix}",
                     f"{words}, {n} stream{'s' if n > 1 else ''}", unit,
                     digits, better, g)


def _tcp():
    _bulk_rows("gbps", "Gbit/s", 2, "more", lambda mtu: _group(
        f"tcp-mtu{mtu}", f"TCP, MTU {mtu}", "Gbit/s"))
    for key, words in (("box", "the whole box"), ("gateway", "the gateway"),
                       ("agent", "the agent, or tapsock"), ("load", "iperf3, both ends")):
        _bulk_rows(f"cpu_{key}_s_per_gb", "s/GB", 3, "less",
                   lambda mtu: _group(
                       f"cpu-{key}-mtu{mtu}",
                       f"CPU of {words}, TCP, MTU {mtu}", "s/GB"))
    _bulk_rows("retransmits", "", 0, "", lambda mtu: _group(
        f"retransmits-mtu{mtu}", f"TCP retransmissions, MTU {mtu}", ""))


RR = {"rr": "1 connection", "rr64": "64 connections",
      "rr_one_cpu": "1 connection, everything on one CPU",
      "rr_two_cpus": "1 connection, the guest's processes on one CPU, the "
                     "host's on another"}


def _requests():
    for kind, words in RR.items():
        g = _group(kind.replace("_", "-"),
                   f"TCP request and response, {words}", "us")
        for p, text in (("p50", "median"), ("p99", "99 %"),
                        ("p999", "99.9 %")):
            _row(f"{kind}_{p}_us", text, "us", 1, "less", g)
    g = _group("rr-rate", "TCP request and response", "per second")
    for kind, words in RR.items():
        _row(f"{kind}_per_s", words, "/s", 0, "more", g)
    g = _group("crr", "TCP connect, request, response, close", "per second")
    for n in (1, 16):
        _row(f"crr_{n}_per_s", f"{n} worker{'s' if n > 1 else ''}", "/s", 0,
             "more", g)
    g = _group("crr-errors", "The same: errors", "")
    for n in (1, 16):
        _row(f"crr_{n}_errors", f"{n} worker{'s' if n > 1 else ''}", "", 0,
             "less", g)


def _udp():
    def each(group, suffix, unit, digits, better):
        for way, words in WAYS.items():
            for size in UDP_SIZES:
                _row(f"udp_{way}_{size}_{suffix}", f"{words}, {size} bytes",
                     unit, digits, better, group)
    each(_group("udp", "UDP flat out, received", "packets per second"),
         "pps", "/s", 0, "more")
    each(_group("udp-loss", "UDP flat out, lost", "%"), "loss_pct", "%", 1,
         "less")


def _memory():
    g = _group("memory", "Memory of the gateway", "MiB")
    for key in ("rss", "pss"):
        _row(f"mem_idle_{key}_mib", f"idle, {key.upper()}", "MiB", 2, "less",
             g)
    _row(f"mem_{MANY}_pss_mib", f"PSS of each of {MANY} idle", "MiB", 2,
         "less", g)
    for n in FLOWS:
        for key in ("rss", "pss"):
            _row(f"mem_flows_{n}_{key}_mib",
                 f"{n} idle TCP flows, {key.upper()}", "MiB", 2, "less", g)
    g = _group("flow-memory", "Memory for each idle TCP flow", "bytes")
    for n in FLOWS:
        _row(f"mem_flows_{n}_bytes_per_flow", f"of {n}", "bytes", 0, "less", g)


def _start():
    g = _group("start", "CPU to start", "ms")
    _row("start_cpu_ms", "gateway, to listening", "ms", 2, "less", g)
    _row("agent_start_cpu_ms", "agent, to eth0 up and connected", "ms", 2,
         "less", g)
    g = _group("size", "Size of msb-init, stripped", "KiB")
    _row("msb_init_kib", "msb-init", "KiB", 0, "less", g)


for _add in (_tcp, _requests, _udp, _memory, _start):
    _add()

# What a quick run measures unless it is told
QUICK = ["tcp_*_mtu1500_*", "rr_p*", "rr64_*", "crr_*", "udp_*_64_*",
         "udp_*_1400_*", "mem_idle_*", "*start*", "msb_init_kib"]


def matches(name, globs):
    return not globs or any(fnmatch.fnmatchcase(name, g) for g in globs)


# Groups of rows that another program brings: prefix -> group
FOREIGN = {"vu_": Group("vhost-user", "The vhost-user device, without a guest",
                        ""),
           "limit_": Group("limits", "What this machine can do at best", ""),
           "": Group("other", "Others", "")}
# end or part of a name -> unit, digits, what is better
UNITS = (("_instr_", "instructions", 0, "less"), ("_gbps", "Gbit/s", 2, "more"),
         ("_s_per_gb", "s/GB", 3, "less"), ("_us", "us", 1, "less"),
         ("_per_s", "/s", 0, "more"), ("_pps", "/s", 0, "more"))


def foreign(name):
    """A row that another program brought, and nobody has described here."""
    group = next(g for p, g in FOREIGN.items() if name.startswith(p))
    for part, unit, digits, better in UNITS:
        if part in name if part.endswith("_") else name.endswith(part):
            return Row(name, name, unit, digits, better, group.name)
    return Row(name, name, "", 2, "", group.name)


def get(name):
    return ROWS.get(name) or foreign(name)


# --- budgets -------------------------------------------------------------------

BRIDGE, PEER, BARE, THEIR, FIXED = ("bridge-offload", "best peer",
                                    "best peer over a stream", "best sender",
                                    None)
PEERS = ("pasta", "pasta-new", "passt", "passt-new", "slirp4netns")
# Plain frames through somebody else: pasta and slirp4netns sit on the TAP
BARE_PEERS = ("passt", "passt-new")

Budget = collections.namedtuple("Budget", "column rows op limit of")

_TCP = [f"{bulk_name(w, n, 1500)}_gbps" for w in WAYS for n in STREAMS]
_CPU = [f"{bulk_name(w, n, 1500)}_cpu_box_s_per_gb" for w in WAYS
        for n in STREAMS]
_CRR = ["crr_1_per_s", "crr_16_per_s"]
_UDP = [f"udp_{w}_{s}" for w in WAYS for s in (64, 1400)]

BUDGETS = [
    Budget("ours-tap", _TCP, ">=", 0.85, BRIDGE),
    Budget("ours-tap", _TCP, ">=", 3, PEER),
    Budget("ours", _TCP, ">=", 0.5, BRIDGE),
    Budget("ours", _TCP, ">=", 2, PEER),
    Budget("ours-bare", _TCP, ">=", 1, BARE),
    Budget("ours-stream", _TCP, ">=", 1, BARE),
    Budget("ours", _CPU, "<=", 0.5, PEER),
    Budget("ours-tap", _CPU, "<=", 0.5, PEER),
    Budget("ours-tap", ["rr_p50_us"], "<=", 1.1, BRIDGE),
    Budget("ours-tap", ["rr_p99_us"], "<=", 1, PEER),
    Budget("ours", ["rr_p50_us"], "<=", 1.4, BRIDGE),
    Budget("ours-tap", _CRR, ">=", 0.75, BRIDGE),
    Budget("ours-tap", _CRR, ">=", 1, PEER),
    Budget("ours", _CRR, ">=", 1, PEER),
    Budget("ours", [f"{x}_pps" for x in _UDP], ">=", 1, PEER),
    Budget("ours-tap", [f"{x}_pps" for x in _UDP], ">=", 1, PEER),
    # Whoever lets little through may lose little: of the best peer, its loss
    Budget("ours", [f"{x}_loss_pct" for x in _UDP], "<=", 1, THEIR),
    Budget("ours-tap", [f"{x}_loss_pct" for x in _UDP], "<=", 1, THEIR),
    Budget("ours", ["mem_idle_rss_mib"], "<=", 6, FIXED),
    Budget("ours", [f"mem_{MANY}_pss_mib"], "<=", 2, FIXED),
    Budget("ours", [f"mem_flows_{n}_bytes_per_flow" for n in FLOWS], "<=",
           1024, FIXED),
    Budget("ours", ["start_cpu_ms"], "<=", 5, FIXED),
    Budget("ours", ["agent_start_cpu_ms"], "<=", 3, FIXED),
    Budget("ours", ["msb_init_kib"], "<=", 700, FIXED),
]

# No budgets, but what those of latency would be without the scheduler's luck,
# and plain frames through two processes beside whoever needs one
BESIDE = [Budget("ours-bare", _TCP, ">=", 1, PEER)] + [b._replace(rows=[b.rows[0].replace("rr_", f"{kind}_")])
          for kind in ("rr_one_cpu", "rr_two_cpus") for b in BUDGETS
          if b.rows[0] in ("rr_p50_us", "rr_p99_us")]

Line = collections.namedtuple("Line", "column row have of base ratio op limit "
                              "met")


def best_peer(values, row, peers=PEERS):
    """The peer that is best in a row, and its figure; (None, None)."""
    have = [(v, c) for c, v in values.get(row, {}).items()
            if c in peers and v is not None]
    if not have:
        return None, None
    v, c = (max if get(row).better == "more" else min)(have)
    return c, v


def base_of(values, row, of):
    """What a budget compares with: its name and its figure."""
    if of in (PEER, BARE):
        return best_peer(values, row, PEERS if of == PEER else BARE_PEERS)
    if of == THEIR:
        peer, _ = best_peer(values, row.replace("_loss_pct", "_pps"))
        return peer, values.get(row, {}).get(peer)
    return of, values.get(row, {}).get(of)


def evaluate(values, budgets=None):
    """Each line of the budgets for which there is a figure of ours.

    values: {row: {column: median}}.  A line whose other side is missing is
    neither met nor missed (met is None), and says so.
    """
    lines = []
    for b in BUDGETS if budgets is None else budgets:
        for row in b.rows:
            have = values.get(row, {}).get(b.column)
            if have is None:
                continue
            if b.of is FIXED:
                name, base, ratio = None, b.limit, have / b.limit
                met = have <= b.limit
            else:
                name, base = base_of(values, row, b.of)
                ratio = have / base if base else None
                if ratio is not None:
                    met = (ratio >= b.limit if b.op == ">=" else
                           ratio <= b.limit)
                elif base == 0:
                    met = have <= 0 if b.op == "<=" else True
                else:
                    met = None
            lines.append(Line(b.column, row, have, name or b.of, base, ratio,
                              b.op, b.limit, met))
    return lines
