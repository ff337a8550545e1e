"""What was measured on, and with which versions."""

import json
import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path

from harness.install import BENCH, CACHE, ROOT


def describe():
    """The machine, in words and numbers."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    total_kb = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(total_kb.group(1)) / 1_048_576, 1),
        "kernel": platform.release(),
        "scratch": f"{tempfile.gettempdir()} ({file_system(tempfile.gettempdir())})",
        "load_before": os.getloadavg()[0],
    }


def file_system(folder):
    """The kind of file system a folder is on: with tmpfs, fsync costs nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    over = [(point, kind) for point, kind in mounts if Path(folder).is_relative_to(point)]
    return max(over, key=lambda mount: len(mount[0]))[1] if over else "unknown"


def versions(systems):
    """The versions of what is measured, by name."""
    found = {"Redis": first_line(["redis-server", "--version"], r"v=(\S+)")}
    if any("postgres" in system.stores for system in systems):
        found["Postgres"] = postgres()
    programs = {system.program for system in systems}
    if "gristmill" in programs:
        found["Gristmill"] = first_line(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], r"(\S+)")
    if "node" in programs:
        wanted = json.loads((BENCH / "peers" / "node" / "package.json").read_text())["dependencies"]
        found |= {name.replace("node", "Node.js") if name == "node" else name: version for name, version in wanted.items()}
    for name in ("celery", "arq"):
        if name in programs:
            found[name] = (BENCH / "peers" / "python" / f"{name}.txt").read_text().strip().partition("==")[2]
    if "rust" in programs:
        cargo = (BENCH / "peers" / "rust" / "Cargo.toml").read_text()
        found |= dict(re.findall(r'^(riverqueue|awa|apalis-redis) = "=(\S+)"', cargo, re.MULTILINE))
    return {name: version for name, version in sorted(found.items(), key=lambda pair: pair[0].lower()) if version}


def postgres():
    """The version of the private Postgres, which its folder in the cache is named for."""
    places = [Path("/var/cache/gristmill"), CACHE]
    names = [path.name for place in places if place.exists() for path in place.glob("postgres-*")]
    return max((name.split("-")[1] for name in names), default="")


def first_line(command, pattern):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except FileNotFoundError:
        return ""
    match = re.search(pattern, done.stdout)
    return match.group(1) if match else ""
