"""Installs peers and builds programs, on first use, outside the clone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill"


def say(text):
    print(f"bench/run: {text}", file=sys.stderr, flush=True)


def programs(systems, profile, gristmill):
    """The beginning of the command line of every program that is needed, by the program's name."""
    needed = {system.program for system in systems}
    commands = {}
    if "node" in needed:
        commands["node"] = node()
    for name in ("celery", "arq"):
        if name in needed:
            commands[name] = python(name)
    if "rust" in needed:
        target = {"CARGO_TARGET_DIR": str(CACHE / "bench-target")}
        built = build(BENCH / "peers" / "rust", [], profile, target)
        commands["rust"] = [built["bench-peers"]]
    wanted = []
    if gristmill is None and any("postgres" in system.stores for system in systems):
        wanted += ["--package", "gristmill-cli"]
    if "gristmill" in needed:
        wanted += ["--package", "gristmill-bench"]
    over_http = any(system.name == "gristmill-http" for system in systems)
    if over_http:
        wanted += ["--package", "gristmill-api"]
    built = build(ROOT, wanted, profile, {}) if wanted else {}
    if "gristmill" in needed:
        commands["gristmill"] = [built["gristmill-bench"], *(["--api", built["api"]] if over_http else [])]
    commands["postgres"] = [gristmill or built.get("gristmill", ""), "postgres", "--data-dir"]
    return commands


def node():
    """Node.js of its own among the packages: two of the peers need a newer one than many machines have."""
    home = CACHE / "bench" / "node"
    shutil.copytree(BENCH / "peers" / "node", home, dirs_exist_ok=True)
    binary = home / "node_modules" / "node" / "bin" / "node"
    if stale(home / "installed.json", home / "package.json") or not binary.exists():
        say(f"installing the Node.js peers into {home}, once")
        quiet(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], home)
        shutil.copy(home / "package.json", home / "installed.json")
    return [str(binary), "--expose-gc", str(home / "measure.js")]


def python(name):
    """A virtual environment for each peer: they want different versions of the same client."""
    home = CACHE / "bench" / name
    wanted = BENCH / "peers" / "python" / f"{name}.txt"
    if stale(home / "installed.txt", wanted):
        say(f"installing {name} into {home}, once")
        quiet([sys.executable, "-m", "venv", "--clear", str(home)], ROOT)
        quiet([str(home / "bin" / "pip"), "install", "--quiet", "--requirement", str(wanted)], ROOT)
        shutil.copy(wanted, home / "installed.txt")
    return [str(home / "bin" / "python"), str(BENCH / "peers" / "python" / "measure.py")]


def build(folder, packages, profile, environment):
    """Builds with cargo and returns the executables' paths by name."""
    say(f"building {' '.join(packages[1::2]) or 'the Rust peers'} ({profile})")
    command = ["cargo", "build", "--quiet", "--bins", "--message-format=json-render-diagnostics", *packages]
    if profile == "release":
        command.append("--release")
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("bench/run: the build failed")
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    found = (Path(message["executable"]) for message in messages if message.get("executable"))
    return {path.name: str(path) for path in found}


def stale(installed, wanted):
    return not installed.exists() or installed.read_text() != wanted.read_text()


def quiet(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout[-3_000:], file=sys.stderr)
        raise SystemExit(f"bench/run: {command[0]} failed")
