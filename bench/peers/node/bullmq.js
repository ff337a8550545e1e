// BullMQ, its queue in Redis. Finished jobs are kept, which is its default.
import { Queue, Worker } from "bullmq";

export async function open({ BENCH_REDIS }) {
  const connection = { url: BENCH_REDIS };
  const queue = new Queue("bench", { connection });
  await queue.waitUntilReady();
  let worker;
  return {
    enqueue: (job) => queue.add("job", job),
    enqueueMany: (jobs) => queue.addBulk(jobs.map((data) => ({ name: "job", data }))),
    finished: () => queue.getCompletedCount(),
    async work(slots, handler) {
      worker = new Worker("bench", (job) => handler(job.data), {
        connection: { ...connection, maxRetriesPerRequest: null },
        concurrency: slots,
      });
      worker.on("error", (error) => console.error(error.message));
      await worker.waitUntilReady();
    },
  };
}
