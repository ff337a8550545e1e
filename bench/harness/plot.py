"""The figures as one SVG: a panel per workload, a line per system."""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from harness.report import median
from harness.systems import SYSTEMS
from harness.workloads import WORKLOADS

WIDTH, MARGIN, GAP = 1120, 32, 48
PANEL = (WIDTH - 2 * MARGIN - GAP) // 2
NAMES, VALUES = 190, 84
ROW, HEAD, FOOT = 20, 52, 48
INK, QUIET, RULE, PAPER = "#1f2430", "#6b7280", "#e5e7eb", "#fcfcfa"
OURS, THEIRS, OVER = "#b4541a", "#9aa7b8", "#d8dde5"
FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a bar, or on a logarithmic scale a point; with two keys the way from one to the other."""

    workload: str
    title: str
    unit: str
    keys: tuple[str, ...]
    more_is_better: bool = False
    logarithmic: bool = False
    digits: int = 0


PANELS = [
    Panel("enqueue-one", "Handed in one by one, 32 in flight", "jobs/s", ("jobs_per_s",), more_is_better=True),
    Panel("enqueue-bulk", "Handed in 1,000 at a time", "jobs/s", ("jobs_per_s",), more_is_better=True),
    Panel("drain", "20,000 jobs that do nothing, to recorded completion", "jobs/s", ("jobs_per_s",), more_is_better=True),
    Panel("slots", "Jobs of 50 ms at 100 slots", "% of the possible 2,000/s", ("percent",), more_is_better=True),
    Panel("latency", "Idle system: handed in until started, p50 to p99", "ms", ("p50_ms", "p99_ms"), logarithmic=True,
          digits=1),
    Panel("recovery", "Worker killed with -9: until its jobs run again", "s", ("all_s",), digits=1),
    Panel("fairness", "Ten small tenants behind 100,000 jobs of another: done after", "s", ("seconds",),
          logarithmic=True, digits=2),
    Panel("memory", "Memory of the store per 1,000 finished jobs", "kB", ("store_kb",)),
]


def svg(results):
    """The plot of `results`, as text."""
    shown = [(panel, rows(panel, results["runs"])) for panel in PANELS]
    shown = [(panel, found) for panel, found in shown if found]
    pairs = [shown[at : at + 2] for at in range(0, len(shown), 2)]
    parts, y = [], 100
    for pair in pairs:
        for column, (panel, found) in enumerate(pair):
            parts += draw(panel, found, MARGIN + column * (PANEL + GAP), y)
        y += HEAD + FOOT + ROW * max(len(found) for _, found in pair)
    machine = results["machine"]
    what = f"{results['date']} · {machine['cores']} cores, {machine['cpu']} · medians of {results['repeat']}"
    what += " · a quick run: these figures mean nothing" if results["quick"] else ""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
        f'font-family="{FONT}" role="img" aria-label="Gristmill and its peers side by side">',
        f'<rect width="{WIDTH}" height="{y}" fill="{PAPER}"/>',
        text(MARGIN, 44, "Gristmill and its peers, side by side", 22, INK, weight=600),
        text(MARGIN, 68, what, 13, QUIET),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def rows(panel, runs):
    """(system, values or None, what is written beside it, whether it was given up) for every system that was measured."""
    found = []
    for system in SYSTEMS:
        all_runs = runs.get(system.name, {}).get(panel.workload)
        if not all_runs:
            continue
        result = median(all_runs)
        if "error" in result:
            found.append((system, None, "failed", False))
        elif "over_s" in result:
            # Given up after so many seconds, whatever the panel's unit.
            values = (result["over_s"],) if panel.unit == "s" else None
            found.append((system, values, f"> {result['over_s']:g} s", True))
        else:
            values = tuple(result[key] for key in panel.keys)
            found.append((system, values, " – ".join(number(value, panel.digits) for value in values), False))
    return found


def draw(panel, found, x, y):
    left, right = x + NAMES, x + PANEL - VALUES
    place, ticks = scale(panel, [value for _, values, _, _ in found for value in values or ()], left, right)
    direction = "more is better" if panel.more_is_better else "less is better"
    direction += ", logarithmic" if panel.logarithmic else ""
    parts = [
        text(x, y + 14, panel.title, 14, INK, weight=600),
        text(x, y + 32, f"{panel.unit}, {direction}", 12, QUIET),
    ]
    bottom = y + HEAD + ROW * len(found)
    for value, label in ticks:
        at = place(value)
        parts.append(f'<path d="M{at:.1f} {y + HEAD - 4}V{bottom}" stroke="{RULE}"/>')
        parts.append(text(at, bottom + 14, label, 10.5, QUIET, anchor="middle"))
    for index, (system, values, label, over) in enumerate(found):
        middle = y + HEAD + ROW * index + ROW / 2
        colour = OURS if system.ours else THEIRS
        weight = 600 if system.ours else 400
        parts.append(text(left - 10, middle + 4, system.label, 12, INK, anchor="end", weight=weight))
        if values:
            parts += mark(panel, [place(value) for value in values], left, middle, OVER if over else colour)
        end = max([place(value) for value in values or ()], default=left)
        parts.append(text(end + 8, middle + 4, label, 11.5, INK if values else QUIET, weight=weight))
    return parts


def mark(panel, places, left, middle, colour):
    if not panel.logarithmic:
        width = max(1.0, places[0] - left)
        return [f'<rect x="{left}" y="{middle - 6}" width="{width:.1f}" height="12" rx="2" fill="{colour}"/>']
    line = f'<path d="M{places[0]:.1f} {middle}H{places[-1]:.1f}" stroke="{colour}" stroke-width="4" stroke-linecap="round"/>'
    return [line, *(f'<circle cx="{place:.1f}" cy="{middle}" r="5" fill="{colour}"/>' for place in places)]


def scale(panel, values, left, right):
    """Where a value is, and the ticks."""
    if panel.logarithmic:
        positive = [value for value in values if value > 0] or [1]
        low = math.floor(math.log10(min(positive)))
        high = max(low + 1, math.ceil(math.log10(max(positive))))
        ticks = [(10**power, number(10**power, max(0, -power))) for power in range(low, high + 1)]
        share = lambda value: (math.log10(max(value, 10**low)) - low) / (high - low)  # noqa: E731
    else:
        step = nice(max([*values, 0]) / 4)
        top = max(step * math.ceil(max([*values, step]) / step), step)
        ticks = [(step * i, number(step * i, 0 if step == int(step) else 1 if step > 1 else 2)) for i in range(round(top / step) + 1)]
        share = lambda value: max(0.0, value) / top  # noqa: E731
    return (lambda value: left + share(value) * (right - left)), ticks


def nice(step):
    """The next round number."""
    if step <= 0:
        return 1
    power = 10 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step)


def number(value, digits):
    return f"{value:,.{digits}f}"


def text(x, y, words, size, colour, anchor="start", weight=400):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(words)}</text>')


# A panel names a workload and its figures; a slip here would show as an empty panel.
assert all(any(panel.workload == workload.name for workload in WORKLOADS) for panel in PANELS)
