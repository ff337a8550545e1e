// What is measured, in terms of what every peer can do. A peer is
//
//   enqueue(job)            resolves when the store has accepted it
//   enqueueMany(jobs)       the same for many, by the peer's bulk call
//   work(slots, handler)    starts a worker in this process; handler(job) per job
//   finished()              how many jobs the store records as completed
//
// A job is { i, tenant, ms }: its number, whose it is, and how long it takes.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const CHUNK = 1_000;
const IN_FLIGHT = 32;
const WARM_UP = 10;
const PAUSE_MS = 500;

const seconds = (since) => (performance.now() - since) / 1_000;
const job = (i, extra = {}) => ({ i, tenant: 0, ms: 0, ...extra });
const jobs = (n, extra) => Array.from({ length: n }, (_, i) => job(i, extra));
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function enqueueAll(peer, all) {
  for (let at = 0; at < all.length; at += CHUNK) await peer.enqueueMany(all.slice(at, at + CHUNK));
}

// A handler that takes each job's time, and a promise for the moment when `n` jobs that `counts` are through.
function handlerFor(n, counts = () => true) {
  let left = n;
  let reached;
  const all = new Promise((resolve) => (reached = resolve));
  const handler = async (one) => {
    if (one.ms > 0) await sleep(one.ms);
    if (counts(one) && --left === 0) reached();
  };
  return { handler, all };
}

async function recorded(peer, n) {
  while ((await peer.finished()) < n) await sleep(2);
}

async function drainAll(peer, all, slots) {
  await enqueueAll(peer, all);
  const before = await peer.finished();
  const { handler, all: through } = handlerFor(all.length);
  const began = performance.now();
  await peer.work(slots, handler);
  await through;
  await recorded(peer, before + all.length);
  const took = seconds(began);
  return { seconds: took, jobs_per_s: all.length / took };
}

async function enqueueOne(peer, { n }) {
  let next = 0;
  const one = async () => {
    while (next < n) await peer.enqueue(job(next++));
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  return { jobs_per_s: n / seconds(began) };
}

async function enqueueBulk(peer, { n }) {
  const all = jobs(n);
  const began = performance.now();
  await enqueueAll(peer, all);
  return { jobs_per_s: n / seconds(began) };
}

async function latency(peer, { n, apart, slots }) {
  const sent = [];
  const waits = [];
  let { handler, all } = handlerFor(WARM_UP);
  await peer.work(slots, async (one) => {
    waits[one.i] = performance.now() - sent[one.i];
    await handler(one);
  });
  // The worker is there when it has run something.
  await enqueueAll(peer, jobs(WARM_UP));
  await all;
  ({ handler, all } = handlerFor(n));
  await sleep(PAUSE_MS);
  const began = performance.now();
  for (let i = 0; i < n; i++) {
    await sleep(Math.max(0, began + i * apart - performance.now()));
    sent[i] = performance.now();
    peer.enqueue(job(i));
  }
  await all;
  return { waits_ms: waits };
}

async function fairness(peer, { big, small, tenants, slots }) {
  await enqueueAll(peer, jobs(big));
  for (let tenant = 1; tenant <= tenants; tenant++) await enqueueAll(peer, jobs(small, { tenant }));
  const { handler, all } = handlerFor(small * tenants, (one) => one.tenant > 0);
  let others = 0;
  const began = performance.now();
  await peer.work(slots, async (one) => {
    await handler(one);
    if (one.tenant === 0) others++;
  });
  await all;
  return { seconds: seconds(began), big_before: others };
}

// Between its stages the program stands still until a line comes in, so that its memory can be read from outside.
async function memory(peer, { n, slots }) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const stage = async (at) => {
    say({ at });
    await lines.next();
  };
  const warm = Math.ceil(n / 10);
  let left = warm;
  let reached;
  await peer.work(slots, async () => {
    if (--left === 0) reached();
  });
  const go = async (count, before) => {
    left = count;
    const through = new Promise((resolve) => (reached = resolve));
    await enqueueAll(peer, jobs(count));
    await through;
    await recorded(peer, before + count);
    global.gc?.();
  };
  await stage("idle");
  await go(warm, 0);
  await stage("warm");
  await go(n, warm);
  await stage("done");
  return { jobs: n };
}

async function standing(peer, slots) {
  await peer.work(slots, async ({ i }) => {
    say({ started: i });
    await sleep(600_000);
  });
  await sleep(600_000);
  return {};
}

async function hold(peer, { n, slots }) {
  await enqueueAll(peer, jobs(n));
  return standing(peer, slots);
}

const resume = (peer, { slots }) => standing(peer, slots);

export const workloads = {
  "enqueue-one": enqueueOne,
  "enqueue-bulk": enqueueBulk,
  drain: (peer, { n, slots }) => drainAll(peer, jobs(n), slots),
  slots: (peer, { n, slots, ms }) => drainAll(peer, jobs(n, { ms }), slots),
  latency,
  fairness,
  memory,
  hold,
  resume,
};
