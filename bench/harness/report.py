"""From runs to medians, and from medians to a Markdown table."""

import statistics

from harness.systems import SYSTEMS
from harness.workloads import WORKLOADS

# The table is read in parts: side by side it would not fit a page.
PARTS = [
    ("Throughput", ["enqueue-one", "enqueue-bulk", "drain", "slots"]),
    ("Delay, crashes, fairness", ["latency", "recovery", "fairness"]),
    ("Memory", ["memory"]),
]


def median(runs):
    """The median of each figure. Where half of the runs were given up, or failed, that is the result."""
    over = [run for run in runs if "over_s" in run]
    failed = [run for run in runs if "error" in run]
    if failed and 2 * len(failed) >= len(runs):
        return failed[0]
    if over and 2 * len(over) >= len(runs):
        return over[0]
    good = [run for run in runs if "over_s" not in run and "error" not in run]
    return {key: statistics.median(run[key] for run in good) for key in good[0]}


def cell(result, figure):
    """One number as the table shows it."""
    if result is None:
        return "–"
    if "error" in result:
        return "failed"
    if "over_s" in result:
        return f"> {result['over_s']:g}"
    if figure.key not in result:
        return "–"
    return f"{result[figure.key]:,.{figure.digits}f}"


def markdown(results):
    """The whole report."""
    machine, versions = results["machine"], results["versions"]
    lines = [
        "# Side by side",
        "",
        f"{results['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Linux "
        f"{machine['kernel']}; scratch on {machine['scratch']}. Medians of {results['repeat']}. "
        f"The load of the machine before it began was {machine['load_before']:.2f}.",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
        "Made by `bench/run`; `bench/README.md` says what exactly is measured, with which settings, and how to run it.",
        "",
    ]
    if results["quick"]:
        lines += ["**A quick run, for trying the programs: its figures mean nothing.**", ""]
    for title, names in PARTS:
        lines += part(results["runs"], title, [workload for workload in WORKLOADS if workload.name in names])
    lines += notes(results["runs"])
    return "\n".join(lines)


def part(runs, title, workloads):
    workloads = [workload for workload in workloads if any(workload.name in by_name for by_name in runs.values())]
    if not workloads:
        return []
    columns = [(workload, figure) for workload in workloads for figure in workload.figures]
    head = ["", "kept in", *(figure.title for _, figure in columns)]
    rows = []
    for system in SYSTEMS:
        done = {name: median(all_runs) for name, all_runs in runs.get(system.name, {}).items()}
        if any(workload.name in done for workload in workloads):
            label = f"**{system.label}**" if system.ours else system.label
            rows.append([label, system.kept_in, *(cell(done.get(workload.name), figure) for workload, figure in columns)])
    align = ["---", "---", *("---:" for _ in columns)]
    table = [f"| {' | '.join(row)} |" for row in (head, align, *rows)]
    return [f"## {title}", "", *table, ""]


def notes(runs):
    """What the cells cannot hold: failures, runs that were given up."""
    found = []
    for system in SYSTEMS:
        for workload in WORKLOADS:
            result = median(runs.get(system.name, {}).get(workload.name) or [{}])
            if "error" in result:
                found.append(f"- {system.label}, {workload.name}: {result['error']}")
            elif "restarted" in result:
                found.append(f"- {system.label}, {workload.name}: {result['restarted']} jobs ran again within "
                             f"{result['over_s']} s")
    return ["## Notes", "", *found, ""] if found else []
