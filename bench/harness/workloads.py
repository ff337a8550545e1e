"""The workloads: their sizes, and the figures each one yields."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number of a workload."""

    key: str
    # The table's column, with the unit.
    title: str
    digits: int = 0
    # Whether a larger number is the better one.
    more_is_better: bool = False


@dataclass(frozen=True)
class Workload:
    """Something that is done with every system."""

    name: str
    about: str
    sizes: dict
    quick: dict
    figures: tuple[Figure, ...]
    # Seconds after which a run is given up and reported as "> limit".
    limit: int = 300
    quick_limit: int = 90


WORKLOADS = [
    Workload(
        "enqueue-one",
        "jobs handed in one by one, 32 calls in flight, no worker running",
        {"n": 5_000},
        {"n": 300},
        (Figure("jobs_per_s", "one by one, jobs/s", more_is_better=True),),
    ),
    Workload(
        "enqueue-bulk",
        "20,000 jobs handed in by the bulk call, 1,000 per call, no worker running",
        {"n": 20_000},
        {"n": 2_000},
        (Figure("jobs_per_s", "bulk, jobs/s", more_is_better=True),),
    ),
    Workload(
        "drain",
        "20,000 waiting jobs that do nothing, 100 slots: from the worker's start until the store records the last as "
        "completed",
        {"n": 20_000, "slots": 100},
        {"n": 1_000, "slots": 100},
        (Figure("jobs_per_s", "drain, jobs/s", more_is_better=True),),
    ),
    Workload(
        "latency",
        "an idle system, 300 jobs 20 ms apart: from just before the call that hands a job in until its code starts",
        {"n": 300, "slots": 100, "apart": 20},
        {"n": 30, "slots": 100, "apart": 20},
        (
            Figure("p50_ms", "start p50, ms", 1),
            Figure("p95_ms", "p95", 1),
            Figure("p99_ms", "p99", 1),
        ),
    ),
    Workload(
        "slots",
        "6,000 waiting jobs of 50 ms at 100 slots, which no system can do faster than 2,000/s",
        {"n": 6_000, "slots": 100, "ms": 50},
        {"n": 500, "slots": 100, "ms": 50},
        (Figure("percent", "50 ms jobs, % of 2,000/s", more_is_better=True),),
    ),
    Workload(
        "recovery",
        "a worker that runs 10 jobs is killed with -9 and another is started at that moment: until all 10 run again",
        {"n": 10, "slots": 100},
        {"n": 3, "slots": 100},
        (Figure("all_s", "after kill -9, s", 1),),
        limit=90,
        quick_limit=10,
    ),
    Workload(
        "memory",
        "20,000 jobs through a worker that has warmed up on 2,000: by how much worker, store and disk grow per 1,000 "
        "finished jobs",
        {"n": 20_000, "slots": 100},
        {"n": 1_000, "slots": 100},
        (
            Figure("worker_idle_mb", "worker idle, MB", 0),
            Figure("worker_kb", "worker, kB per 1,000", 0),
            Figure("store_kb", "store, kB per 1,000", 0),
            Figure("disk_kb", "disk, kB per 1,000", 0),
        ),
    ),
    Workload(
        "fairness",
        "one tenant with 100,000 waiting jobs, ten that came later with 100 each, 100 slots: until the ten are done, and "
        "how many of the large tenant's jobs were done before that",
        {"big": 100_000, "small": 100, "tenants": 10, "slots": 100},
        {"big": 2_000, "small": 10, "tenants": 10, "slots": 100},
        (
            Figure("seconds", "small tenants done, s", 2),
            Figure("big_before", "large tenant's before", 0),
        ),
        limit=600,
    ),
]


def choose(names):
    """The workloads of these names; all without names."""
    known = {workload.name: workload for workload in WORKLOADS}
    for name in names:
        if name not in known:
            raise SystemExit(f"bench/run: no workload is called \"{name}\"; there are {', '.join(known)}")
    return [known[name] for name in names] if names else WORKLOADS
