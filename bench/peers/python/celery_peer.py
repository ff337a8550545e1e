"""Celery: broker in Redis database 0, results in database 1; threads, because the jobs wait rather than compute."""

import asyncio
import logging
import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import redis
from celery import Celery, group, signals

app = Celery("bench", broker=f"{os.environ['BENCH_REDIS']}/0", backend=f"{os.environ['BENCH_REDIS']}/1")
# Its worker would turn what this program prints into log lines.
app.conf.worker_redirect_stdouts = False
tallies = []
wanted = threading.Event()
ready = threading.Event()
slots_wanted = []


@app.task(name="job")
def run(one):
    tallies[-1].starts(one)
    if one["ms"]:
        time.sleep(one["ms"] / 1_000)
    tallies[-1].ends(one)


@signals.worker_ready.connect
def on_ready(**_):
    ready.set()


def occupy_main_thread():
    wanted.wait()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    app.Worker(pool="threads", concurrency=slots_wanted[-1], quiet=True).start()


class Peer:
    def __init__(self, url):
        self.results = redis.Redis.from_url(f"{url}/1")
        self.callers = ThreadPoolExecutor(32)

    async def enqueue(self, one):
        await asyncio.get_running_loop().run_in_executor(self.callers, run.delay, one)

    async def enqueue_many(self, jobs):
        await asyncio.to_thread(lambda: group(run.s(one) for one in jobs).apply_async())

    async def work(self, slots, tally):
        tallies.append(tally)
        slots_wanted.append(slots)
        wanted.set()
        await asyncio.to_thread(ready.wait)

    async def finished(self):
        return self.results.dbsize()


async def connect(environment):
    return Peer(environment["BENCH_REDIS"])
