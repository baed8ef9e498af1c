"""Bar charts as SVG: a panel for each row, a bar for each column."""
from xml.sax.saxutils import escape

import rows
import table

# Ours are blue, peers are warm, and what does no TCP of its own is grey
COLOURS = {"ours": "#1b5fc1", "ours-tap": "#4a8fe7", "ours-bare": "#9cc3f5",
           "ours-stream": "#c3dbf9", "pasta": "#d9772b",
           "pasta-new": "#e8a468", "passt": "#d8a05f",
           "passt-new": "#e3b98f", "slirp4netns": "#b5533c",
           "bridge": "#b4bcc6", "bridge-offload": "#8a95a3", "veth": "#cfd5dc"}
OTHER = "#7f8c7a"
TEXT, FAINT, GRID = "#1f2328", "#656d76", "#e4e8ec"
FONT = "font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,sans-serif\""

BAR, GAP = 14, 6            # of a bar, and between two
NAME, VALUE = 96, 64        # room for names and figures
PLOT = 268                  # of the axis
PANEL = NAME + PLOT + VALUE + 24
TOP, HEAD, AXIS = 46, 26, 40
PER_LINE = 2
# One scale for all panels of these groups
SHARED = ("tcp-", "cpu-")


def ticks(most):
    """Round numbers from 0 to at least most."""
    if most <= 0:
        return [0, 1]
    step = 10.0 ** -9
    while True:
        for m in (1, 2, 2.5, 5):
            if most / (step * m) <= 5:
                n = int(-(-most // (step * m)))
                return [step * m * i for i in range(n + 1)]
        step *= 10


def words(value):
    """A tick's figure: 1200000 as 1.2M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:.6g}"


class Svg:
    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}" role="img" '
            f"{FONT}>",
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>']

    def text(self, x, y, text, size=11, fill=TEXT, anchor="start", bold=False):
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}"{weight}>{escape(text)}</text>')

    def rect(self, x, y, w, h, fill):
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{max(w, 0):.1f}" '
                          f'height="{h:g}" fill="{fill}" rx="1.5"/>')

    def line(self, x1, y1, x2, y2, stroke, width=1):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{stroke}" stroke-width="{width:g}"/>')

    def done(self):
        return "\n".join(self.parts + ["</svg>"]) + "\n"


def panel(svg, x, y, row, got, cols, marks, unit):
    """One row: its title, a bar for each column, and the axis."""
    info = rows.get(row)
    left, most = x + NAME, marks[-1] or 1
    bottom = y + HEAD + len(cols) * (BAR + GAP)
    svg.text(x + 8, y + 14, info.label, 12, bold=True)
    for m in marks:
        at = left + PLOT * m / most
        svg.line(at, y + HEAD - 4, at, bottom, GRID)
        svg.text(at, bottom + 13, words(m), 10, FAINT, "middle")
    hint = {"more": ", more is better", "less": ", less is better"}
    svg.text(left + PLOT / 2, bottom + 28,
             (unit or info.unit or "count") + hint.get(info.better, ""), 10, FAINT,
             "middle")
    for i, c in enumerate(cols):
        at, have = y + HEAD + i * (BAR + GAP), got.get(c)
        middle = at + BAR / 2
        svg.text(left - 6, middle + 4, c, 11, TEXT if have else FAINT, "end")
        if not have:
            svg.text(left + 4, middle + 4, "none", 10, FAINT)
            continue
        wide = PLOT * have["median"] / most
        svg.rect(left, at, wide, BAR, COLOURS.get(c, OTHER))
        lo, hi = (left + PLOT * have[k] / most for k in ("min", "max"))
        if hi - lo > 1:
            svg.line(lo, middle, hi, middle, TEXT)
            for end in (lo, hi):
                svg.line(end, middle - 3, end, middle + 3, TEXT)
        svg.text(max(left + wide, hi) + 5, middle + 4,
                 table.cell(row, have), 11)
    svg.line(left, y + HEAD - 4, left, bottom, FAINT)


def group(title, names, spread, cols, note, unit=""):
    """All rows of a group as one picture."""
    have = table.used(spread, names, cols)
    shared = rows.get(names[0]).group.startswith(SHARED)
    top = {r: max(s["max"] for s in spread[r].values()) for r in names}
    high = HEAD + len(have) * (BAR + GAP) + AXIS
    lines = -(-len(names) // PER_LINE)
    width = PANEL * min(PER_LINE, len(names)) + 8
    svg = Svg(max(width, PANEL * 2 + 8), TOP + lines * high + 22, title)
    svg.text(8, 24, title, 15, bold=True)
    for i, r in enumerate(names):
        panel(svg, i % PER_LINE * PANEL, TOP + i // PER_LINE * high, r,
              spread[r], have,
              ticks(max(top.values()) if shared else top[r]), unit)
    svg.text(8, TOP + lines * high + 8, note, 10, FAINT)
    return svg.done()


def all_charts(spread, cols, note):
    """(name, title, picture) of each group that has bars to compare."""
    for g, names in table.groups(spread):
        # One bar is no comparison, and nor are different units
        if g in rows.FOREIGN.values() or g.name.startswith(
                table.UNWORTHY) or len(table.used(spread, names, cols)) < 2:
            continue
        yield g.name, g.title, group(g.title, names, spread, cols, note,
                                     g.unit)
