// Graphile Worker with the batching of its performance page: a local queue of 500, completions written together.
// A finished job is a deleted row.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

export async function open({ BENCH_POSTGRES }) {
  const quiet = new Logger(() => (level, message) => level === "error" && console.error(message));
  const utils = await makeWorkerUtils({ connectionString: BENCH_POSTGRES, logger: quiet });
  await utils.migrate();
  const looking = new pg.Pool({ connectionString: BENCH_POSTGRES, max: 1 });
  let added = 0;
  return {
    async enqueue(job) {
      added++;
      await utils.addJob("job", job);
    },
    async enqueueMany(jobs) {
      added += jobs.length;
      await utils.addJobs(jobs.map((payload) => ({ identifier: "job", payload })));
    },
    async finished() {
      const count = "SELECT count(*)::int AS n FROM graphile_worker._private_jobs";
      return added - (await looking.query(count)).rows[0].n;
    },
    work: (slots, handler) =>
      run({
        taskList: { job: (payload) => handler(payload) },
        preset: {
          worker: {
            connectionString: BENCH_POSTGRES,
            logger: quiet,
            concurrentJobs: slots,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
          },
        },
        noHandleSignals: true,
      }),
  };
}
