"""Runs one workload on one peer and prints one line of JSON: measure.py PEER WORKLOAD [--name number]…

The workload runs in a thread of its own: Celery's worker insists on the main one.
"""

import asyncio
import importlib
import json
import os
import sys
import threading
import traceback

import workloads


async def measure(module, workload, sizes):
    peer = await module.connect(os.environ)
    return await workloads.ALL[workload](peer, sizes)


def drive(module, workload, sizes):
    try:
        print(json.dumps(asyncio.run(measure(module, workload, sizes))), flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    # Peers keep connections and threads; nothing of them is of interest any more.
    os._exit(0)


def main():
    name, workload, *rest = sys.argv[1:]
    sizes = {key.removeprefix("--"): int(value) for key, value in zip(rest[::2], rest[1::2], strict=True)}
    module = importlib.import_module(f"{name}_peer")
    threading.Thread(target=drive, args=(module, workload, sizes), daemon=True).start()
    module.occupy_main_thread()


if __name__ == "__main__":
    main()
