//! What apalis-redis would keep for ever is cleared away: messages that were handed over, workers that are gone.

use std::{sync::LazyLock, time::Duration};

use apalis_redis::Config;
use redis::{RedisResult, Script};

use super::super::link::Link;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Messages per script.
const BATCH: usize = 500;
/// How long what apalis-redis notes about a worker is kept after its process has died, in seconds.
const REMEMBERED_S: usize = 3_600;

/// Forgets some messages that are done (or that apalis-redis has given up), and says how many.
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local forgotten = 0
         for _, set in ipairs({KEYS[1], KEYS[2]}) do
             local ids = redis.call('SPOP', set, ARGV[1])
             for _, id in ipairs(ids) do
                 redis.call('HDEL', KEYS[3], id)
                 redis.call('UNLINK', KEYS[4] .. ':' .. id)
             end
             forgotten = forgotten + #ids
         end
         redis.call('EXPIRE', KEYS[5], ARGV[2])
         return forgotten",
    )
});

/// Signs a worker off. What it had in flight goes back to the queue or, if that may be what killed it, is forgotten:
/// the sweeper dispatches those jobs again.
static SIGN_OFF: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
             if ARGV[2] == 'back' then
                 redis.call('RPUSH', KEYS[2], id)
             else
                 redis.call('HDEL', KEYS[3], id)
                 redis.call('UNLINK', KEYS[4] .. ':' .. id)
             end
         end
         redis.call('UNLINK', KEYS[1], KEYS[5])
         redis.call('ZREM', KEYS[6], ARGV[1])",
    )
});

/// What becomes of the messages that a worker had fetched and not handed over when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InFlight {
    /// They wait again.
    Back,
    /// They are lost.
    Lost,
}

/// Clears away, for as long as the worker of this name lives.
pub(super) async fn clear_away(mut link: Link, config: Config, worker: &str) {
    loop {
        match forget(&mut link, &config, worker).await {
            // There may be more.
            Ok(forgotten) if forgotten >= BATCH => continue,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "what apalis-redis is done with cannot be cleared away now"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn forget(link: &mut Link, config: &Config, worker: &str) -> RedisResult<usize> {
    FORGET
        .key(config.done_jobs_set())
        .key(config.dead_jobs_set())
        .key(config.job_data_hash())
        .key(config.job_meta_hash())
        .key(metadata(config, worker))
        .arg(BATCH)
        .arg(REMEMBERED_S)
        .invoke_async(link)
        .await
}

/// Signs the worker of this name off.
pub(super) async fn sign_off(mut link: Link, config: Config, worker: &str, in_flight: InFlight) -> RedisResult<()> {
    SIGN_OFF
        .key(format!("{}:{worker}", config.inflight_jobs_set()))
        .key(config.active_jobs_list())
        .key(config.job_data_hash())
        .key(config.job_meta_hash())
        .key(metadata(&config, worker))
        .key(config.workers_set())
        .arg(worker)
        .arg(if in_flight == InFlight::Back { "back" } else { "lost" })
        .invoke_async(&mut link)
        .await
}

/// Where apalis-redis notes what kind of worker one is.
fn metadata(config: &Config, worker: &str) -> String {
    format!("{}:workers:metadata:{worker}", config.queue)
}
