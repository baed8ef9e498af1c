"""What came out as text: medians with their spread, ratios, budgets."""
import rows

# Groups of which the ratio to the bridge and to the best peer is told
RATIOS = ("tcp-mtu1500", "cpu-box-mtu1500", "rr", "rr64", "rr-one-cpu",
          "rr-two-cpus", "crr", "udp")
# Groups that only the files have: a terminal has an end
DETAILS = ("cpu-gateway-mtu9000", "cpu-gateway-mtu65520", "cpu-agent-mtu9000",
           "cpu-agent-mtu65520", "cpu-load", "retransmits")
UNWORTHY = ("retransmits", "crr-errors", "udp-loss")


def number(value, digits):
    if value is None:
        return "-"
    if abs(value) >= 10 ** (4 - digits) and digits:
        digits -= 1         # 0.123, 1.23, 12.3, but 5432
    return f"{value:.{digits}f}"


def cell(row, got):
    """The median of a row in a column, got from spread()."""
    return number(got["median"], rows.get(row).digits) if got else "-"


def span(row, got):
    """Between which values it was, if that says anything."""
    if not got or got["n"] < 2:
        return ""
    d = rows.get(row).digits
    return f"{number(got['min'], d)}-{number(got['max'], d)}"


def grid(head, lines, gap="  "):
    """Columns to the right but the first."""
    width = [max(len(x[i]) for x in [head, *lines]) for i in range(len(head))]
    return "\n".join(gap.join(
        [x[0].ljust(width[0])] + [c.rjust(w) for c, w in
                                  zip(x[1:], width[1:])]).rstrip()
        for x in [head, *lines])


def groups(spread):
    """(group, its rows of which there is something), then the rest."""
    for g in rows.GROUPS:
        names = [r for r, row in rows.ROWS.items()
                 if row.group == g.name and r in spread]
        if names:
            yield g, names
    for g in rows.FOREIGN.values():
        names = [r for r in spread if r not in rows.ROWS
                 and rows.get(r).group == g.name]
        if names:
            yield g, names


def used(spread, names, cols):
    """The columns that have anything in these rows."""
    return [c for c in cols if any(c in spread[r] for r in names)]


def worthy(spread, names):
    """Errors that never happened need no table."""
    return any(s["median"] or s["max"] for r in names
               for s in spread[r].values())


def values(spread, cols):
    out = []
    for g, names in groups(spread):
        if g.name.startswith(DETAILS) or (
                g.name.startswith(UNWORTHY) and not worthy(spread, names)):
            continue
        have = used(spread, names, cols)
        lines = []
        for r in names:
            unit = rows.get(r).unit
            unit = f", {unit}" if unit and not g.unit else ""
            lines.append([rows.get(r).label + unit] +
                         [cell(r, spread[r].get(c)) for c in have])
            spans = [span(r, spread[r].get(c)) for c in have]
            if any(spans):
                lines.append([""] + spans)
        out.append(grid([g.title + (f", {g.unit}" if g.unit else "")] + have,
                        lines))
    return "\n\n".join(out)


def ratios(medians, cols):
    """Each column's part of the bridge's figure, and of the best peer's."""
    lines = []
    for r, row in rows.ROWS.items():
        if row.group not in RATIOS or r not in medians:
            continue
        for of in (rows.BRIDGE, rows.PEER):
            name, base = rows.base_of(medians, r, of)
            cells = [number(medians[r][c] / base, 2)
                     if base and medians[r].get(c) is not None else "-"
                     for c in cols]
            if base:
                lines.append([f"{r} of {name}"] + cells)
    return grid(["ratio"] + cols, lines) if lines else ""


def verdict(line):
    return {True: "met", False: "MISSED", None: "open"}[line.met]


def compared(line):
    """What a line of the budgets says, without its verdict."""
    row = rows.get(line.row)
    have = number(line.have, row.digits)
    limit = f"budget {line.op} {line.limit:g}"
    if line.of is None:
        return f"{have} {row.unit}, {limit}"
    if line.base is None:
        return f"{have} {row.unit}, no figure of {line.of}, {limit}"
    base = number(line.base, row.digits)
    ratio = "-" if line.ratio is None else f"{line.ratio:.2f}"
    return f"{have} to {base} {row.unit} of {line.of}: {ratio}, {limit}"


def verdicts(lines):
    return [f"{verdict(x):6}  {x.column:9} {x.row}: {compared(x)}"
            for x in lines]


def budget(lines):
    if not lines:
        return ""
    out = verdicts(lines)
    count = {k: sum(1 for x in lines if x.met is k)
             for k in (True, False, None)}
    out.append(f"budgets: {count[True]} met, {count[False]} missed" + (
        f", {count[None]} open" if count[None] else ""))
    return "\n".join(out)


def reasons(medians, why_not):
    """One line for each reason why there is no figure."""
    said = {}
    for row, got in medians.items():
        for column, value in got.items():
            if value is None:
                said.setdefault((column, why_not(column, row)),
                                []).append(row)
    alike = {}
    for (column, why), names in said.items():
        alike.setdefault((tuple(names), why), []).append(column)
    return [f"{', '.join(cols)}: {names[0]}" + (
                f" and {len(names) - 1} more" if len(names) > 1 else "") +
            f": none, {why}" for (names, why), cols in alike.items()]


# --- as markdown ---------------------------------------------------------------

def markdown(head, lines, text=1):
    """The first columns are text, the others figures."""
    out = ["| " + " | ".join(head) + " |",
           "|" + "---|" * text + "---:|" * (len(head) - text)]
    out += ["| " + " | ".join(x) + " |" for x in lines]
    return "\n".join(out)


def markdown_group(spread, names, cols, title, spans=True):
    have = used(spread, names, cols)
    lines = []
    for r in names:
        unit = rows.get(r).unit
        cells = []
        for c in have:
            got = spread[r].get(c)
            more = span(r, got) if spans else ""
            cells.append(cell(r, got) + (f" ({more})" if more else ""))
        lines.append([rows.get(r).label + (f", {unit}" if unit else "")]
                     + cells)
    return markdown([title] + have, lines)
