"""The systems that are measured, and the command line of each."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class System:
    """One line of the table."""

    name: str
    label: str
    # Which program measures it: node, celery, arq, rust or gristmill.
    program: str
    # What it needs: "redis", "postgres" or both.
    stores: tuple[str, ...]
    # What the table says about where its jobs are kept.
    kept_in: str
    # The only workloads that make sense for it; None for all.
    only: frozenset[str] | None = None
    skips: frozenset[str] = field(default_factory=frozenset)

    @property
    def ours(self):
        return self.program == "gristmill"

    def does(self, workload):
        return (self.only is None or workload in self.only) and workload not in self.skips


POSTGRES = "Postgres, fsync"
REDIS = "Redis, memory only"

SYSTEMS = [
    System("gristmill-memory", "Gristmill, in one process", "gristmill", ("postgres",), POSTGRES),
    System("gristmill-redis", "Gristmill with Redis", "gristmill", ("postgres", "redis"), POSTGRES),
    System("gristmill-apalis-redis", "Gristmill with apalis-redis", "gristmill", ("postgres", "redis"), POSTGRES),
    System("gristmill-http", "Gristmill over HTTP", "gristmill", ("postgres", "redis"), POSTGRES,
           only=frozenset({"enqueue-one", "enqueue-bulk"})),
    System("bullmq", "BullMQ", "node", ("redis",), REDIS),
    System("pg-boss", "pg-boss", "node", ("postgres",), POSTGRES),
    System("graphile-worker", "Graphile Worker", "node", ("postgres",), POSTGRES),
    System("celery", "Celery", "celery", ("redis",), REDIS),
    System("arq", "arq", "arq", ("redis",), REDIS, skips=frozenset({"enqueue-bulk"})),
    System("river", "River (Rust)", "rust", ("postgres",), POSTGRES),
    System("river-tuned", "River, fetching every 2 ms", "rust", ("postgres",), POSTGRES),
    System("awa", "awa", "rust", ("postgres",), POSTGRES),
    System("apalis-redis", "apalis-redis alone", "rust", ("redis",), REDIS),
]


def choose(only):
    """The systems whose names begin with one of the words; all without words."""
    if not only:
        return SYSTEMS
    unknown = [word for word in only if not any(system.name.startswith(word) for system in SYSTEMS)]
    if unknown:
        names = ", ".join(system.name for system in SYSTEMS)
        raise SystemExit(f"bench/run: no system begins with \"{unknown[0]}\"; there are {names}")
    return [system for system in SYSTEMS if any(system.name.startswith(word) for word in only)]
