"""One run: a fresh store, one program, its figures. What was not to be had in time or went wrong is a figure too."""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time

from harness import stores

# What a developer's shell points at is nobody's business here.
LEFT_OUT = {"DATABASE_URL", "REDIS_URL", "S3_BUCKET", "NODE_OPTIONS", "PYTHONPATH", "RUST_LOG"}


class Program:
    """A program that measures, with its lines of JSON as they come."""

    def __init__(self, command, environment):
        env = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        env |= {"NODE_ENV": "production", "PYTHONDONTWRITEBYTECODE": "1"} | environment
        self.complaints = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.complaints, start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith(b"{"):
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def next(self, deadline):
        """The next line. TimeoutError when none came by the deadline, Died when the program has ended."""
        try:
            line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            self.process.wait()
            raise Died(self.last_words())
        return line

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self):
        """Kills it with -9, and all that it started: they are a session of their own."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def last_words(self):
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"ended with {self.process.returncode}"


class Died(Exception):
    """A program ended before it had measured."""


def run(system, workload, sizes, limit, commands):
    """The figures of one run: a dictionary, with over_s where the limit was met and error where it failed."""
    with stores.fresh(system.stores, commands["postgres"]) as fresh:
        started = []

        def start(task, sizes):
            words = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
            program = Program([*commands[system.program], system.name, task, *words], fresh.environment)
            started.append(program)
            return program

        measure = {"recovery": recovery, "memory": memory}.get(workload.name, timed)
        try:
            return measure(start, workload.name, sizes, limit, fresh)
        except TimeoutError:
            return {"over_s": limit}
        except Died as why:
            return {"error": str(why)}
        finally:
            for program in started:
                program.kill()


def timed(start, name, sizes, limit, _):
    figures = start(name, sizes).next(time.monotonic() + limit)
    waits = sorted(figures.pop("waits_ms", []))
    if waits:
        figures |= {f"p{p}_ms": waits[min(len(waits) - 1, len(waits) * p // 100)] for p in (50, 95, 99)}
    if name == "slots":
        figures["percent"] = 100 * figures["jobs_per_s"] / (sizes["slots"] * 1_000 / sizes["ms"])
    return figures


def recovery(start, _, sizes, limit, __):
    program = start("hold", sizes)
    await_starts(program, sizes["n"], time.monotonic() + limit)
    program.kill()
    killed = time.monotonic()
    again = start("resume", {"slots": sizes["slots"]})
    seen = set()
    try:
        await_starts(again, sizes["n"], killed + limit, seen)
    except TimeoutError:
        return {"over_s": limit, "restarted": len(seen)}
    return {"all_s": time.monotonic() - killed}


def await_starts(program, n, deadline, seen=None):
    seen = set() if seen is None else seen
    while len(seen) < n:
        seen.add(program.next(deadline)["started"])


def memory(start, name, sizes, limit, fresh):
    deadline = time.monotonic() + limit
    program = start(name, sizes)
    readings = {}
    for stage in ("idle", "warm", "done"):
        at = program.next(deadline)["at"]
        if at != stage:
            raise Died(f"expected stage {stage}, was {at}")
        readings[at] = (stores.memory_kb(program.process.pid), fresh.memory_kb(), fresh.disk_kb())
        program.go_on()
    thousands = sizes["n"] / 1_000
    worker, store, disk = zip(readings["warm"], readings["done"])
    figures = {
        "worker_idle_mb": readings["idle"][0] / 1_024,
        "worker_kb": (worker[1] - worker[0]) / thousands,
        "store_kb": (store[1] - store[0]) / thousands,
    }
    if disk[0] is not None:
        figures["disk_kb"] = (disk[1] - disk[0]) / thousands
    return figures
