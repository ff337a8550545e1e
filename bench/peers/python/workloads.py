"""What is measured, in terms of what every peer can do. A peer has

    enqueue(job)         returns when the store has accepted it
    enqueue_many(jobs)   the same for many, by the peer's bulk call where it has one
    work(slots, tally)   starts a worker in this process; a job tells tally.starts(job) and tally.ends(job)
    finished()           how many jobs the store records as completed

all of them coroutines. A job is a dictionary: i (its number), tenant (whose it is), ms (how long it takes).
"""

import asyncio
import json
import sys
import threading
import time

CHUNK = 1_000
IN_FLIGHT = 32
WARM_UP = 10
PAUSE = 0.5
FOREVER = 600


class Tally:
    """Counts jobs, from any thread, and tells when a number of them is through."""

    def __init__(self, on_start=None, counts=lambda job: True):
        self.loop = asyncio.get_running_loop()
        self.lock = threading.Lock()
        self.on_start = on_start
        self.counts = counts
        self.others = 0
        self.expect(0)

    def expect(self, n):
        self.left = n
        self.through = asyncio.Event()

    def starts(self, job):
        if self.on_start:
            self.on_start(job)

    def ends(self, job):
        with self.lock:
            if not self.counts(job):
                self.others += 1
                return
            self.left -= 1
            if self.left == 0:
                self.loop.call_soon_threadsafe(self.through.set)


def job(i, tenant=0, ms=0):
    return {"i": i, "tenant": tenant, "ms": ms}


def say(value):
    print(json.dumps(value), flush=True)


async def enqueue_all(peer, jobs):
    for at in range(0, len(jobs), CHUNK):
        await peer.enqueue_many(jobs[at : at + CHUNK])


async def recorded(peer, n):
    while await peer.finished() < n:
        await asyncio.sleep(0.002)


async def drain_all(peer, jobs, slots):
    await enqueue_all(peer, jobs)
    tally = Tally()
    tally.expect(len(jobs))
    began = time.perf_counter()
    await peer.work(slots, tally)
    await tally.through.wait()
    await recorded(peer, len(jobs))
    took = time.perf_counter() - began
    return {"seconds": took, "jobs_per_s": len(jobs) / took}


async def drain(peer, sizes):
    return await drain_all(peer, [job(i) for i in range(sizes["n"])], sizes["slots"])


async def slots(peer, sizes):
    return await drain_all(peer, [job(i, ms=sizes["ms"]) for i in range(sizes["n"])], sizes["slots"])


async def enqueue_one(peer, sizes):
    numbers = iter(range(sizes["n"]))

    async def one():
        for i in numbers:
            await peer.enqueue(job(i))

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return {"jobs_per_s": sizes["n"] / (time.perf_counter() - began)}


async def enqueue_bulk(peer, sizes):
    jobs = [job(i) for i in range(sizes["n"])]
    began = time.perf_counter()
    await enqueue_all(peer, jobs)
    return {"jobs_per_s": len(jobs) / (time.perf_counter() - began)}


async def latency(peer, sizes):
    n = sizes["n"]
    sent, waits = [0.0] * max(n, WARM_UP), [0.0] * max(n, WARM_UP)

    def on_start(one):
        waits[one["i"]] = (time.perf_counter() - sent[one["i"]]) * 1_000

    tally = Tally(on_start)
    tally.expect(WARM_UP)
    await peer.work(sizes["slots"], tally)
    # The worker is there when it has run something.
    await enqueue_all(peer, [job(i) for i in range(WARM_UP)])
    await tally.through.wait()
    tally.expect(n)
    await asyncio.sleep(PAUSE)
    began = time.perf_counter()
    sending = []
    for i in range(n):
        await asyncio.sleep(max(0.0, began + i * sizes["apart"] / 1_000 - time.perf_counter()))
        sent[i] = time.perf_counter()
        sending.append(asyncio.ensure_future(peer.enqueue(job(i))))
    await asyncio.gather(*sending)
    await tally.through.wait()
    return {"waits_ms": waits[:n]}


async def fairness(peer, sizes):
    await enqueue_all(peer, [job(i) for i in range(sizes["big"])])
    for tenant in range(1, sizes["tenants"] + 1):
        await enqueue_all(peer, [job(i, tenant) for i in range(sizes["small"])])
    tally = Tally(counts=lambda one: one["tenant"] > 0)
    tally.expect(sizes["small"] * sizes["tenants"])
    began = time.perf_counter()
    await peer.work(sizes["slots"], tally)
    await tally.through.wait()
    return {"seconds": time.perf_counter() - began, "big_before": tally.others}


async def memory(peer, sizes):
    """Between its stages it stands still until a line comes in, so that its memory can be read from outside."""

    async def stage(at):
        say({"at": at})
        await asyncio.to_thread(sys.stdin.readline)

    async def go(n, before):
        tally.expect(n)
        await enqueue_all(peer, [job(i) for i in range(n)])
        await tally.through.wait()
        await recorded(peer, before + n)

    n = sizes["n"]
    warm = -(-n // 10)
    tally = Tally()
    await peer.work(sizes["slots"], tally)
    await stage("idle")
    await go(warm, 0)
    await stage("warm")
    await go(n, warm)
    await stage("done")
    return {"jobs": n}


async def resume(peer, sizes):
    await peer.work(sizes["slots"], Tally(on_start=lambda one: say({"started": one["i"]})))
    await asyncio.sleep(FOREVER)


async def hold(peer, sizes):
    await enqueue_all(peer, [job(i, ms=FOREVER * 1_000) for i in range(sizes["n"])])
    await resume(peer, sizes)


ALL = {
    "enqueue-one": enqueue_one,
    "enqueue-bulk": enqueue_bulk,
    "drain": drain,
    "slots": slots,
    "latency": latency,
    "fairness": fairness,
    "memory": memory,
    "hold": hold,
    "resume": resume,
}
