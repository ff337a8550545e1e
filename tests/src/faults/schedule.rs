//! What goes wrong, and when: drawn from a seed, the same for the same seed.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A worker ends as by `kill -9`.
    KillWorker(usize),
    /// A scheduler does.
    KillScheduler(usize),
    /// The API does.
    KillApi,
    /// The machine of a worker loses its power: the worker is gone, and nobody tells the stores.
    LoseWorker(usize),
    /// The machine of a scheduler does.
    LoseScheduler(usize),
    /// A worker is asked to end (SIGTERM), as at a deployment.
    AskWorker(usize),
    /// A worker stands still (SIGSTOP), then goes on as if nothing had been (SIGCONT).
    StopWorker(usize, Duration),
    /// A scheduler does.
    StopScheduler(usize, Duration),
    /// The API does.
    StopApi(Duration),
    /// A worker more comes, and is killed for good.
    Visitor(Duration),
    /// Nobody can reach a store: connections break, new ones are refused.
    Cut(Store, Duration),
    /// Connections to a store stay open and carry nothing.
    Freeze(Store, Duration),
    /// One worker can reach neither store; the others can.
    Isolate(usize, Duration),
    /// Whatever goes to or comes from a store takes longer.
    Slow(Store, Duration),
    /// Neither store can be reached.
    CutBoth(Duration),
    /// Redis forgets everything.
    FlushRedis,
    /// Redis is killed and comes back empty.
    RestartRedis,
    /// Postgres crashes and recovers.
    CrashPostgres,
}

/// One of the two stores that processes meet in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The record.
    Postgres,
    /// The delivery.
    Redis,
}

/// How much goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Climate {
    /// For how long.
    pub lasts: Duration,
    /// The lease of workers: stops last longer than it now and then.
    pub lease: Duration,
    /// How many workers there are.
    pub workers: usize,
    /// How many schedulers there are.
    pub schedulers: usize,
    /// The shortest and the longest time between two faults.
    pub gap: (Duration, Duration),
    /// The shortest and the longest outage.
    pub outage: (Duration, Duration),
    /// Redis is wiped or restarted besides whenever this has passed.
    pub redis_trouble: Duration,
    /// How long both stores are cut off at once, after a third of the time.
    pub both: Duration,
}

/// A fault and when it strikes, counted from the start.
pub type Strike = (Duration, Fault);

/// The faults of `climate` by `seed`, in the order of their times. Every sort of fault comes up before any comes up
/// again, as with a shuffled deck of cards.
pub fn draw(seed: u64, climate: &Climate) -> Vec<Strike> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut strikes = vec![(climate.lasts / 3, Fault::CutBoth(climate.both))];
    let mut deck = Vec::new();
    let mut at = between(&mut dice, climate.gap);
    while at < climate.lasts {
        let fault = deck.pop().unwrap_or_else(|| {
            deck = sorts(&mut dice, climate);
            deck.shuffle(&mut dice);
            deck.pop().expect("there are sorts of faults")
        });
        strikes.push((at, fault));
        at += between(&mut dice, climate.gap);
    }
    let mut at = climate.redis_trouble;
    while at < climate.lasts {
        strikes.push((at, if dice.random() { Fault::FlushRedis } else { Fault::RestartRedis }));
        at += climate.redis_trouble;
    }
    strikes.sort_by_key(|(at, _)| *at);
    strikes
}

/// One of each sort.
fn sorts(dice: &mut StdRng, climate: &Climate) -> Vec<Fault> {
    let worker = |dice: &mut StdRng| dice.random_range(0..climate.workers);
    // From a hiccup to twice the lease: about half of the time somebody else has the jobs when it goes on.
    let pause = |dice: &mut StdRng| between(dice, (Duration::from_millis(300), climate.lease * 2));
    let outage = |dice: &mut StdRng| between(dice, climate.outage);
    vec![
        Fault::KillWorker(worker(dice)),
        Fault::KillWorker(worker(dice)),
        Fault::KillScheduler(dice.random_range(0..climate.schedulers)),
        Fault::KillApi,
        Fault::LoseWorker(worker(dice)),
        Fault::LoseScheduler(dice.random_range(0..climate.schedulers)),
        Fault::AskWorker(worker(dice)),
        Fault::StopWorker(worker(dice), pause(dice)),
        Fault::StopScheduler(dice.random_range(0..climate.schedulers), pause(dice)),
        Fault::StopApi(outage(dice)),
        Fault::Visitor(outage(dice)),
        Fault::Cut(Store::Postgres, outage(dice)),
        Fault::Cut(Store::Redis, outage(dice)),
        Fault::Freeze(Store::Postgres, outage(dice)),
        Fault::Freeze(Store::Redis, outage(dice)),
        Fault::Isolate(worker(dice), pause(dice)),
        Fault::Slow(if dice.random() { Store::Postgres } else { Store::Redis }, outage(dice)),
        Fault::FlushRedis,
        Fault::RestartRedis,
        Fault::CrashPostgres,
    ]
}

fn between(dice: &mut StdRng, (least, most): (Duration, Duration)) -> Duration {
    dice.random_range(least..=most)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, mem::discriminant, time::Duration};

    use super::{Climate, Fault, draw};

    const CLIMATE: Climate = Climate {
        lasts: Duration::from_secs(120),
        lease: Duration::from_secs(3),
        workers: 3,
        schedulers: 2,
        gap: (Duration::from_millis(500), Duration::from_secs(2)),
        outage: (Duration::from_secs(1), Duration::from_secs(4)),
        redis_trouble: Duration::from_secs(20),
        both: Duration::from_secs(5),
    };

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(draw(7, &CLIMATE), draw(7, &CLIMATE));
        assert_ne!(draw(7, &CLIMATE), draw(8, &CLIMATE));
    }

    #[test]
    fn every_sort_of_fault_strikes_in_order_in_time_and_on_somebody_who_exists() {
        for seed in 0..200 {
            let strikes = draw(seed, &CLIMATE);
            assert!(strikes.is_sorted_by_key(|(at, _)| *at), "seed {seed}");
            assert!(strikes.iter().all(|(at, _)| *at < CLIMATE.lasts), "seed {seed}");
            let sorts: HashSet<_> = strikes.iter().map(|(_, fault)| discriminant(fault)).collect();
            assert_eq!(sorts.len(), 18, "seed {seed}");
            for (_, fault) in strikes {
                match fault {
                    Fault::KillWorker(index) | Fault::LoseWorker(index) | Fault::AskWorker(index) => {
                        assert!(index < CLIMATE.workers)
                    }
                    Fault::StopWorker(index, pause) | Fault::Isolate(index, pause) => {
                        assert!(index < CLIMATE.workers && pause <= CLIMATE.lease * 2);
                    }
                    Fault::KillScheduler(index) | Fault::LoseScheduler(index) | Fault::StopScheduler(index, _) => {
                        assert!(index < CLIMATE.schedulers);
                    }
                    Fault::Cut(_, outage) | Fault::Freeze(_, outage) | Fault::Slow(_, outage) => {
                        assert!((CLIMATE.outage.0..=CLIMATE.outage.1).contains(&outage));
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn redis_is_troubled_at_a_steady_beat() {
        let steady = |(at, fault): &(Duration, Fault)| {
            matches!(fault, Fault::FlushRedis | Fault::RestartRedis) && at.as_secs() % 20 == 0 && at.subsec_nanos() == 0
        };
        assert_eq!(draw(1, &CLIMATE).iter().filter(|strike| steady(strike)).count(), 5);
    }
}
