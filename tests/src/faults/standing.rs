//! Whether jobs can be expected to move: stores, workers and schedulers as the harness knows them.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

/// Who can be hindered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Postgres or Redis: without either nothing moves.
    Store,
    /// One of several workers.
    Worker(usize),
    /// One of several schedulers.
    Scheduler(usize),
    /// The API: without it jobs move, but none come.
    Api,
}

/// What hinders whom. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Standing(Arc<Mutex<Counts>>);

/// How many hindrances each part has, since they overlap.
#[derive(Debug)]
struct Counts {
    stores: usize,
    workers: Vec<usize>,
    schedulers: Vec<usize>,
    able_since: Option<Instant>,
    /// How often the stores came back.
    returns: usize,
}

/// A hindrance, over when it is dropped.
#[derive(Debug)]
#[must_use = "the hindrance is over when this is dropped"]
pub struct Hindrance {
    standing: Standing,
    part: Part,
}

impl Standing {
    /// So many workers and schedulers, and nothing that hinders them.
    pub fn new(workers: usize, schedulers: usize) -> Self {
        let (workers, schedulers) = (vec![0; workers], vec![0; schedulers]);
        let counts = Counts { stores: 0, workers, schedulers, able_since: Some(Instant::now()), returns: 0 };
        Self(Arc::new(Mutex::new(counts)))
    }

    /// Hinders `part`.
    pub fn hinder(&self, part: Part) -> Hindrance {
        self.lock().change(part, |count| *count += 1);
        Hindrance { standing: self.clone(), part }
    }

    /// Since when both stores, a worker and a scheduler have been well; `None` while one is not.
    pub fn able_since(&self) -> Option<Instant> {
        self.lock().able_since
    }

    /// How often the stores have come back, and whether they are there.
    pub fn returns(&self) -> (usize, bool) {
        let counts = self.lock();
        (counts.returns, counts.stores == 0)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap()
    }
}

impl Counts {
    fn change(&mut self, part: Part, by: impl FnOnce(&mut usize)) {
        match part {
            Part::Store => {
                let were_away = self.stores > 0;
                by(&mut self.stores);
                self.returns += usize::from(were_away && self.stores == 0);
            }
            Part::Worker(index) => by(&mut self.workers[index]),
            Part::Scheduler(index) => by(&mut self.schedulers[index]),
            Part::Api => {}
        }
        let able = self.stores == 0 && self.workers.contains(&0) && self.schedulers.contains(&0);
        self.able_since = able.then(|| self.able_since.unwrap_or_else(Instant::now));
    }
}

impl Drop for Hindrance {
    fn drop(&mut self) {
        self.standing.lock().change(self.part, |count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Standing};

    #[test]
    fn jobs_can_move_while_one_of_each_is_well() {
        let standing = Standing::new(2, 1);
        let one = standing.hinder(Part::Worker(0));
        assert!(standing.able_since().is_some());
        let twice = standing.hinder(Part::Worker(1));
        assert!(standing.able_since().is_none());
        drop(one);
        let since = standing.able_since();
        assert!(since.is_some());
        drop(twice);
        assert_eq!(standing.able_since(), since);
        let (store, other) = (standing.hinder(Part::Store), standing.hinder(Part::Store));
        drop(store);
        assert_eq!((standing.able_since(), standing.returns()), (None, (0, false)));
        drop(other);
        assert_eq!(standing.returns(), (1, true));
        let _scheduler = standing.hinder(Part::Scheduler(0));
        assert!(standing.able_since().is_none());
    }
}
