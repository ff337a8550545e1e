"""A fresh Redis, a fresh Postgres: started for one run, empty, gone after it."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 120


class Stores:
    """The stores of one run: what a program is told of them, and what they cost."""

    def __init__(self):
        self.environment = {}
        self.roots = []
        self.tables = None

    def memory_kb(self):
        return sum(memory_kb(pid) for pid in self.roots)

    def disk_kb(self):
        """The tables and indexes of Postgres; None without it."""
        if self.tables is None:
            return None
        sizes = (path.stat(follow_symlinks=False).st_blocks for path in self.tables.rglob("*"))
        return sum(sizes) * 512 / 1024


@contextlib.contextmanager
def fresh(kinds, postgres):
    """The stores of these kinds; `postgres` is the command that runs a Postgres in the folder that is appended."""
    stores = Stores()
    with contextlib.ExitStack() as stack:
        scratch = tempfile.TemporaryDirectory(prefix="gristmill-bench-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(scratch))
        # Postgres may run as another account, which has to get through.
        folder.chmod(0o711)
        if "redis" in kinds:
            stack.enter_context(redis(stores, folder))
        if "postgres" in kinds:
            stack.enter_context(private_postgres(stores, folder, postgres))
        yield stores


@contextlib.contextmanager
def redis(stores, folder):
    """Redis without persistence, which flatters those who keep their jobs in it."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
               "--dir", str(folder), "--loglevel", "warning"]
    with open(folder / "redis.log", "wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"bench/run: redis-server does not start: {(folder / 'redis.log').read_text()[-500:]}")
            time.sleep(0.02)
        stores.environment["BENCH_REDIS"] = f"redis://127.0.0.1:{port}"
        stores.roots.append(server.pid)
        yield
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def private_postgres(stores, folder, command):
    """The Postgres that `gristmill postgres` runs: one version and one set of settings for everybody."""
    home = folder / "postgres"
    with open(folder / "postgres.log", "wb") as log:
        server = subprocess.Popen([*command, str(home)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                  start_new_session=True, text=True)
    try:
        url = server.stdout.readline().strip()
        if not url.startswith("postgres"):
            raise SystemExit(f"bench/run: Postgres does not start: {(folder / 'postgres.log').read_text()[-1_000:]}")
        stores.environment["BENCH_POSTGRES"] = url
        stores.roots.append(int((home / "cluster" / "postmaster.pid").read_text().split()[0]))
        stores.tables = home / "cluster" / "base"
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def memory_kb(root):
    """Proportional resident memory of a process and all below it: what they share is counted once."""
    total = 0
    for pid in family(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def family(root):
    """A process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                # The name in brackets may hold anything.
                after = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(after[1]), []).append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, rest = [], [root]
    while rest:
        pid = rest.pop()
        found.append(pid)
        rest += parents.get(pid, [])
    return found
