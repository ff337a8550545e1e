// pg-boss. Its default is one job every two seconds per worker; this is what its documentation offers for load: workers
// woken by NOTIFY, and batches of as many jobs as there are slots, fetched without a pause while they come back full.
import { PgBoss } from "pg-boss";

const QUEUE = "bench";

export async function open({ BENCH_POSTGRES }) {
  const boss = new PgBoss({ connectionString: BENCH_POSTGRES, useListenNotify: true });
  boss.on("error", (error) => console.error(error.message));
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });
  return {
    enqueue: (job) => boss.send(QUEUE, job),
    enqueueMany: (jobs) => boss.insert(QUEUE, jobs.map((data) => ({ data }))),
    async finished() {
      const count = "SELECT count(*)::int AS n FROM pgboss.job WHERE name = $1 AND state = 'completed'";
      return (await boss.getDb().executeSql(count, [QUEUE])).rows[0].n;
    },
    work: (slots, handler) =>
      boss.work(QUEUE, { batchSize: slots, burstWhenBatchFull: true }, (jobs) =>
        Promise.all(jobs.map((job) => handler(job.data))),
      ),
  };
}
