"""arq. It has no bulk call: many jobs are as many calls at once."""

import asyncio
import threading

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

forever = threading.Event()


def occupy_main_thread():
    forever.wait()


class Peer:
    def __init__(self, settings, pool):
        self.settings = settings
        self.pool = pool
        self.added = 0
        self.running = None

    async def enqueue(self, one):
        self.added += 1
        await self.pool.enqueue_job("job", one)

    async def enqueue_many(self, jobs):
        # Some at a time: each takes a connection of its own.
        for at in range(0, len(jobs), 50):
            await asyncio.gather(*(self.enqueue(one) for one in jobs[at : at + 50]))

    async def work(self, slots, tally):
        async def job(_, one):
            tally.starts(one)
            if one["ms"]:
                await asyncio.sleep(one["ms"] / 1_000)
            tally.ends(one)

        worker = Worker([func(job, name="job")], redis_settings=self.settings, max_jobs=slots, handle_signals=False)
        self.running = asyncio.ensure_future(worker.async_run())

    async def finished(self):
        return self.added - await self.pool.zcard("arq:queue")


async def connect(environment):
    settings = RedisSettings.from_dsn(environment["BENCH_REDIS"])
    return Peer(settings, await create_pool(settings))
