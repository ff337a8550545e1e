//! How apalis-redis is set, and why. What it does with its defaults stands in ARCHITECTURE.md.

use std::time::Duration;

use apalis_redis::Config;

use crate::queue::Queue;

/// How often an idle worker looks: apalis-redis itself would look again when its heartbeat wakes it.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(50);
/// Before another worker takes the place of one that ended: a Redis that is away would be asked as fast as it refuses.
pub(super) const RESTART: Duration = Duration::from_millis(300);
/// A worker that gave no sign of life for four heartbeats, 20 s, is dead: what it had fetched is queued again.
/// The default, 300 s, is longer than anybody waits for a job. A stall of Redis that is shorter than the response
/// timeout of 10 s costs two heartbeats, so it kills nobody.
const HEARTBEAT: Duration = Duration::from_secs(5);
const MISSED_HEARTBEATS: usize = 4;

/// The settings for a queue.
pub(super) fn config(prefix: &str, queue: Queue) -> Config {
    Config::default()
        .queue(format!("{prefix}:apalis:{queue}"))
        // More than one would be taken from other workers while this one has a slot for one only, and no heartbeat is
        // sent while a batch is being worked off.
        .batch_size(1)
        // Locking searches the whole list for each message: 118 messages a second at 100,000. The claim in Postgres
        // locks.
        .lock_tasks(false)
        // Without results nothing tells apalis-redis that a message was handed over: it would stay in flight, and come
        // again, for ever.
        .persist_results(true)
        // Nobody listens to them, and each costs a command per message.
        .emit_events(false)
        .heartbeat_interval(HEARTBEAT)
        .missed_heartbeats(MISSED_HEARTBEATS)
}
