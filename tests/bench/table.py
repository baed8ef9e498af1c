"""What came out: medians as a table, ratios, and marks against the budget."""
import statistics

ROWS = [
    ("up1.gbps", "TCP up, Gbit/s", 2), ("down1.gbps", "TCP down, Gbit/s", 2),
    ("up8.gbps", "TCP up, 8 streams", 2),
    ("down8.gbps", "TCP down, 8 streams", 2),
    ("up1.retr", "retransmissions up", 0),
    ("down1.retr", "retransmissions down", 0),
    ("up8.retr", "retransmissions up, 8 streams", 0),
    ("down8.retr", "retransmissions down, 8 streams", 0),
    ("up1.box_gb", "whole box up, CPU s/GB", 2),
    ("down1.box_gb", "whole box down, CPU s/GB", 2),
    ("up1.gw_gb", "gateway up, CPU s/GB", 2),
    ("down1.gw_gb", "gateway down, CPU s/GB", 2),
    ("up1.agent_gb", "agent up, CPU s/GB", 2),
    ("down1.agent_gb", "agent down, CPU s/GB", 2),
    ("rr1.p50_us", "request/response p50, us", 1),
    ("rr1.p99_us", "request/response p99, us", 1),
    ("rr16.per_s", "requests/s, 16 connections", 0),
    ("crr1.per_s", "connect-request-close/s", 0),
    ("crr16.per_s", "the same, 16 workers", 0),
    ("rr1.errors", "errors: request/response", 0),
    ("crr1.errors", "errors: connect-request-close", 0),
    ("crr16.errors", "errors: the same, 16 workers", 0),
    ("idle.rss_mib", "idle gateway, RSS MiB", 1),
    ("idle.pss_mib", "idle gateway, PSS MiB", 1),
]
# Rows of which the ratio is told
RATIOS = ["up1.gbps", "down1.gbps", "up8.gbps", "down8.gbps", "rr1.p50_us",
          "rr1.p99_us", "crr1.per_s", "crr16.per_s", "up1.box_gb",
          "down1.box_gb"]
LESS_IS_BETTER = ("_us", "_gb")

BULK = ["up1.gbps", "down1.gbps", "up8.gbps", "down8.gbps"]
CRR = ["crr1.per_s", "crr16.per_s"]
# column, rows, of what, at least or at most, how much of it
BUDGET = [
    ("ours-tap", BULK, "bridge", ">=", 0.85),
    ("ours-tap", BULK, "best peer", ">=", 3),
    ("ours", BULK, "bridge", ">=", 0.5),
    ("ours", BULK, "best peer", ">=", 2),
    ("ours-bare", BULK, "best peer", ">=", 1),
    ("ours", ["up1.box_gb", "down1.box_gb"], "best peer", "<=", 0.5),
    ("ours-tap", ["rr1.p50_us"], "bridge", "<=", 1.1),
    ("ours-tap", ["rr1.p99_us"], "best peer", "<=", 1),
    ("ours", ["rr1.p50_us"], "bridge", "<=", 1.4),
    ("ours-tap", CRR, "bridge", ">=", 0.75),
    ("ours-tap", CRR, "best peer", ">=", 1),
    ("ours", CRR, "best peer", ">=", 1),
]
RSS_MIB, START_MS = 6, 5


def medians(rounds):
    keys = {k for m in rounds for k in m}
    return {k: statistics.median(m[k] for m in rounds if k in m)
            for k in sorted(keys)}


class Result:
    """Medians of all columns, and what they are compared with."""

    def __init__(self, samples, peers, start_ms):
        self.value = {c: medians(r) for c, r in samples.items() if r}
        self.peers = [c for c in peers if c in self.value]
        self.start_ms = start_ms

    def best_peer(self, key):
        values = [self.value[c][key] for c in self.peers
                  if key in self.value[c]]
        if not values:
            return None
        return (min if key.endswith(LESS_IS_BETTER) else max)(values)

    def base(self, of, key):
        if of == "best peer":
            return self.best_peer(key)
        return self.value.get(of, {}).get(key)

    def ratio(self, column, key, of):
        have, base = self.value.get(column, {}).get(key), self.base(of, key)
        return have / base if have is not None and base else None

    def budget(self):
        """(text, pass or fail) of each mark for which there are numbers."""
        labels = {k: label for k, label, _ in ROWS}
        for column, keys, of, op, limit in BUDGET:
            for key in keys:
                r = self.ratio(column, key, of)
                if r is not None:
                    yield (f"{column}, {labels[key]}: {r:.2f} of the {of}'s, "
                           f"budget {op} {limit}",
                           r >= limit if op == ">=" else r <= limit)
        rss = self.value.get("ours", {}).get("idle.rss_mib")
        if rss is not None:
            yield (f"ours, idle, both processes: {rss:.1f} MiB resident, "
                   f"budget <= {RSS_MIB}", rss <= RSS_MIB)
        if self.start_ms is not None:
            yield (f"gateway, start to listening: {self.start_ms:.1f} ms of "
                   f"CPU, budget <= {START_MS}", self.start_ms <= START_MS)


def grid(head, lines):
    width = [max(len(x[i]) for x in [head, *lines]) for i in range(len(head))]
    out = []
    for n, x in enumerate([head, *lines]):
        cells = [x[0].ljust(width[0])] + [
            c.rjust(w) for c, w in zip(x[1:], width[1:])]
        out.append("| " + " | ".join(cells) + " |")
        if n == 0:
            out.append("|" + "|".join("-" * (w + 1) + (":" if i else "-")
                                      for i, w in enumerate(width)) + "|")
    return "\n".join(out)


def values(result):
    cols = list(result.value)
    lines = []
    for key, label, digits in ROWS:
        cells = [result.value[c].get(key) for c in cols]
        if any(c for c in cells) or (
                not key.endswith("errors") and any(c == 0 for c in cells)):
            lines.append([label] + ["-" if c is None else f"{c:.{digits}f}"
                                    for c in cells])
    return grid(["median of rounds"] + cols, lines)


def ratios(result):
    cols = list(result.value)
    labels = {k: label for k, label, _ in ROWS}
    lines = []
    for of in ("bridge", "best peer"):
        for key in RATIOS:
            cells = [result.ratio(c, key, of) for c in cols]
            if any(c is not None for c in cells):
                lines.append([f"{labels[key]}: of {of}"] + [
                    "-" if c is None else f"{c:.2f}" for c in cells])
    return grid(["ratio"] + cols, lines)


def text(result):
    out = [values(result), "", ratios(result), ""]
    if result.start_ms is not None:
        out.append(f"gateway, start to listening: {result.start_ms:.1f} ms of "
                   "CPU (both processes)")
    out += [f"{'pass' if ok else 'FAIL'}  {what}"
            for what, ok in result.budget()]
    return "\n".join(out)
